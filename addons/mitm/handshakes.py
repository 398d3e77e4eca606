"""The hooks of connections and TLS handshakes: how many clients may connect, and whether they trust the interception CA."""

from mitmproxy import tls
from mitmproxy.connection import Client
from mitmproxy.proxy.server_hooks import ServerConnectionHookData

from addons.mitm.certificates import is_outer
from addons.mitm.handlers import (
    allow_connections,
    allow_uploads,
    expect_handshake,
    keep_alive,
    read_fairly,
)
from addons.network.connections import Connections
from addons.network.distrust import Distrust
from addons.record.recorder import Address, Recorder
from addons.tunnels import Tunnels


class Handshakes:
    """Bounds connections and counts failed handshakes."""

    name = "earthflow_handshakes"

    def __init__(
        self,
        tunnels: Tunnels,
        connections: Connections,
        recorder: Recorder,
        distrust: Distrust,
    ):
        self._tunnels, self._connections = tunnels, connections
        self._recorder, self._distrust = recorder, distrust

    def client_connected(self, client: Client) -> None:
        """A client connects, if it may."""
        if self._connections.open(client, _address(client)):
            allow_connections(client)
            keep_alive(client, client)
            read_fairly(client, client)
        else:
            client.error = "not allowed, or one connection too many"

    def server_connected(self, data: ServerConnectionHookData) -> None:
        """An upstream is reached."""
        keep_alive(data.client, data.server)
        read_fairly(data.client, data.server)
        limits = self._connections.limits
        tunnel = self._tunnels.of(data.client)
        if tunnel is None or tunnel.opened:
            allow_uploads(data.client, data.server, limits.max_body)
        expect_handshake(data.client, data.server, limits.handshake_seconds)

    def tls_established_client(self, data: tls.TlsData) -> None:
        """A handshake inside a tunnel succeeded: the client trusts our CA."""
        tunnel = self._tunnels.of(data.context.client)
        if tunnel is not None and not is_outer(data):
            self._connections.arrived(data.context.client)
            self._distrust.trusts(tunnel.caller.key.id, tunnel.host)

    def tls_failed_client(self, data: tls.TlsData) -> None:
        """A client left a handshake; inside a tunnel, probably since it does not trust our CA."""
        client = data.context.client
        tunnel = self._tunnels.of(client)
        if tunnel is None or is_outer(data):
            return
        error = data.conn.error or ""
        if self._distrust.note(tunnel.caller.key.id, tunnel.host, error):
            to = Address(tunnel.host, "CONNECT", "", _address(client))
            self._recorder.distrusted(tunnel.caller, to, error)


def _address(client: Client) -> str:
    return client.peername[0] if client.peername else ""
