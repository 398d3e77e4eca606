"""The API on the proxy's port: health is answered here, all else is handed to control with the caller's address."""

import msgspec
from mitmproxy import http

from addons.heads import canonical
from addons.health import Health

# Said by whoever stands before control; from a client they would be lies.
FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-real-ip")
NOT_OFFERED = "/internal"  # between proxy and control alone


def relay(flow: http.HTTPFlow, health: Health, *, anyone: bool) -> None:
    """Answer, or prepare the request for control; for health alone where not `anyone` may ask."""
    path = canonical(flow.request.path.partition("?")[0])
    if flow.request.method in ("GET", "HEAD") and path == "/health":
        _answer(flow, 200, health.live())
    elif flow.request.method in ("GET", "HEAD") and path == "/health/ready":
        _answer(flow, *health.ready(strict=flow.request.query.get("strict") == "1"))
    elif not anyone:
        _answer(
            flow,
            403,
            {
                "error": {
                    "code": "certificate_required",
                    "message": "Connect with TLS and a client certificate.",
                }
            },
        )
    elif path.startswith(NOT_OFFERED):
        _answer(flow, 404, {"error": {"code": "not_found", "message": f"There is no {path} here."}})
    else:
        for name in FORWARDED:
            flow.request.headers.pop(name, None)
        peer = flow.client_conn.peername
        flow.request.headers["x-forwarded-for"] = peer[0] if peer else "unknown"
        flow.request.headers["x-forwarded-proto"] = "https" if flow.client_conn.tls else "http"
        flow.request.stream = True


def stream_answer(flow: http.HTTPFlow) -> None:
    """Pass control's answer on as it comes."""
    if flow.response is not None and flow.request.stream:
        flow.response.stream = True


def away(flow: http.HTTPFlow) -> None:
    """Control does not answer."""
    message = "The control service does not answer. See `earthflow control`, or /health/ready of the proxy."
    _answer(flow, 502, {"error": {"code": "control_away", "message": message}})


def _answer(flow: http.HTTPFlow, status: int, body: object) -> None:
    flow.response = http.Response.make(
        status, msgspec.json.encode(body), {"content-type": "application/json"}
    )
