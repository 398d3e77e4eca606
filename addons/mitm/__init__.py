"""Where Earthflow meets mitmproxy: hooks, layers, certificates, and everything that is bent in it."""
