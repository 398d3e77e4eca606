"""A host that is nobody's and that the proxy answers itself: by it `earthflow doctor` sees whether a client comes by here and trusts us."""

from mitmproxy import http

from contract.probe import PROBE_HOST, SEEN


def is_probe(host: str) -> bool:
    """Whether a call is such a probe."""
    return host.lower().rstrip(".") == PROBE_HOST


def seen() -> http.Response:
    """What it is answered."""
    return http.Response.make(200, f"{SEEN}\n", {"content-type": "text/plain"})
