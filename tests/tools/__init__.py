"""Against tools that are not ours and come from no package index: Prometheus' promtool, a Redis that speaks TLS, load balancers."""
