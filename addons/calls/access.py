"""Who may call through this proxy, and which hosts a call may go to."""

from addons.calls.flow import Flow
from addons.calls.heads import proxy_key
from addons.calls.refusal import Refusal, Reply, plain
from addons.calls.state import CallState
from addons.settings import ProxySettings
from addons.tenants.compiled_snapshot import Caller
from addons.tenants.snapshot import SnapshotHolder

NO_CERTIFICATE = "Connect to this proxy with TLS (https://) and a client certificate."


class Access:
    """Answers by the newest snapshot and the operator's settings."""

    def __init__(self, settings: ProxySettings, holder: SnapshotHolder):
        self._holder = holder
        self._unknown_hosts = settings.unknown_hosts
        self._certificates_required = settings.tls_ca is not None

    def without_certificate(self, flow: Flow) -> Reply | None:
        """The reply to a client without TLS, where clients must show a certificate."""
        if not self._certificates_required or flow.client_conn.tls:
            return None
        return plain(403, NO_CERTIFICATE)

    def caller(self, flow: Flow) -> Caller | None:
        """The caller that a request's own proxy key names. The key leaves the request."""
        key = proxy_key(flow.request.headers.pop("proxy-authorization", ""))
        return self._holder.current.caller(key) if key else None

    def still(self, caller: Caller) -> Caller | None:
        """The same caller as of now; None where the key has ended since."""
        return self._holder.current.still(caller)

    def forbidden(self, flow: Flow, state: CallState) -> Refusal | None:
        """The refusal of a call to a host that is no AI provider's, where those are denied."""
        policy = state.caller.tenant.unknown_hosts or self._unknown_hosts
        if state.provider is not None or policy == "tunnel":
            return None
        message = (
            f"{flow.request.host} is not an AI provider's host, and other hosts are denied "
            "(EARTHFLOW_UNKNOWN_HOSTS, or the tenant's own)"
        )
        return Refusal("unknown_host", 403, message)
