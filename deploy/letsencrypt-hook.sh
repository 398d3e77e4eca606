#!/bin/sh
# Lets Earthflow (gid 1000) read what certbot renewed, and nobody else. Put it into /etc/letsencrypt/renewal-hooks/deploy,
# and run it once by hand. Nothing is restarted: the proxy takes up a renewed certificate by itself.
set -eu
folder=${LETSENCRYPT_DIR:-/etc/letsencrypt}
group=${EARTHFLOW_GID:-1000}
for part in live archive; do
  chgrp -R "$group" "$folder/$part"
  chmod -R g+rX,o-rwx "$folder/$part"
done
