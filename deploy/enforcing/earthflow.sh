# /etc/profile.d/earthflow.sh: shells and what they start. The key is the user's own, in ~/.config/earthflow/key.
if [ -r "$HOME/.config/earthflow/key" ]; then
  HTTPS_PROXY="http://any:$(cat "$HOME/.config/earthflow/key")@proxy.example.com:8443"
  export HTTPS_PROXY https_proxy="$HTTPS_PROXY" HTTP_PROXY="$HTTPS_PROXY" http_proxy="$HTTPS_PROXY"
  export NO_PROXY=localhost,127.0.0.1,::1,.example.com no_proxy=localhost,127.0.0.1,::1,.example.com
  # These take the place of the system's roots: a bundle with all of them, which `earthflow ca install` keeps.
  export SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt REQUESTS_CA_BUNDLE=/etc/ssl/certs/ca-certificates.crt
  # This adds to them.
  export NODE_EXTRA_CA_CERTS=/usr/local/share/ca-certificates/earthflow.crt NODE_USE_ENV_PROXY=1
fi
