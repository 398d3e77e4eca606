"""For `mitmdump -s bench/stock.py`: mitmproxy as it is installed, which finds the provider of the bench on loopback."""

import os

from mitmproxy import http
from mitmproxy.proxy.server_hooks import ServerConnectionHookData


def server_connect(data: ServerConnectionHookData) -> None:
    """mitmproxy's hook."""
    data.server.address = ("127.0.0.1", int(os.environ["BENCH_UPSTREAM_PORT"]))


def responseheaders(flow: http.HTTPFlow) -> None:
    """mitmproxy's hook: streams stream."""
    assert flow.response is not None
    kind = flow.response.headers.get("content-type", "")
    flow.response.stream = kind == "text/event-stream"
