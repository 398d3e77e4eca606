"""The API on the proxy's port: health is answered here, all else goes to control with the caller's address."""

import msgspec

from addons.calls.flow import Flow, path_of
from addons.calls.refusal import BAD_GATEWAY, Reply
from addons.status.health import Health
from contract.proof import RELAYED, relayed_mac

# A proxy in front of control sets these; from a client they could be forged.
FORWARDED = (
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-real-ip",
    RELAYED,
)
INTERNAL = "/internal"  # paths between proxy and control alone


class ApiRelay:
    """Relays to control, to whom the `token` of proxies proves whose address it passes on. `certificates`: clients must show
    one, but for health.
    """

    def __init__(self, health: Health, token: str, *, certificates: bool):
        self._health, self._token, self._certificates = health, token, certificates

    def relay(self, flow: Flow) -> Reply | None:
        """The proxy's own reply; None where the request, prepared here, goes to control."""
        request, path = flow.request, path_of(flow)
        reads = request.method in ("GET", "HEAD")
        if reads and path == "/health":
            return _json(200, self._health.live())
        if reads and path == "/health/ready":
            strict = request.query.get("strict") == "1"
            return _json(*self._health.ready(strict=strict))
        if self._certificates and not flow.client_conn.tls:
            message = "Connect with TLS and a client certificate."
            return _error(403, "certificate_required", message)
        if path.startswith(INTERNAL):
            return _error(404, "not_found", f"There is no {path} here.")
        headers, peer = request.headers, flow.client_conn.peername
        for name in FORWARDED:
            headers.pop(name, None)
        address = peer[0] if peer else "unknown"
        headers["x-forwarded-for"] = address
        headers[RELAYED] = relayed_mac(self._token, address)
        headers["x-forwarded-proto"] = "https" if flow.client_conn.tls else "http"
        request.stream = True
        return None

    def unreachable(self) -> Reply:
        """The reply where control does not answer."""
        message = (
            "The control service does not answer. "
            "See `earthflow control`, or /health/ready of the proxy."
        )
        return _error(BAD_GATEWAY, "control_away", message)


def _error(status: int, code: str, message: str) -> Reply:
    return _json(status, {"error": {"code": code, "message": message}})


def _json(status: int, body: object) -> Reply:
    headers = {"content-type": "application/json"}
    return Reply(status, msgspec.json.encode(body), headers)
