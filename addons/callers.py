"""Who comes: how many may, and whether they trust the interception CA."""

import asyncio
from collections import defaultdict
from collections.abc import Hashable
from typing import Any

from mitmproxy import ctx, tls
from mitmproxy.connection import Client

from addons.connections import Connections
from addons.distrust import Distrust
from addons.front import Front
from addons.record import Address, Recorder
from addons.tls import is_outer

MAX_CONNECTIONS = 1000  # from one client connection to one address; mitmproxy's five would hold back h2 clients of h1 upstreams


class Callers:
    """The hooks of connections and handshakes."""

    name = "earthflow_callers"

    def __init__(self, front: Front, connections: Connections, recorder: Recorder, distrust: Distrust):
        self._front, self._connections, self._recorder, self._distrust = (
            front,
            connections,
            recorder,
            distrust,
        )

    def client_connected(self, client: Client) -> None:
        """One more, if it may; an h2 client may open as many upstream connections as it has calls."""
        if not self._connections.open(client, client.peername[0] if client.peername else ""):
            client.error = "too many connections"
            return
        handler = _handler(client)
        if handler is not None:
            handler.max_conns = defaultdict(lambda: asyncio.Semaphore(MAX_CONNECTIONS))

    def tls_established_client(self, data: tls.TlsData) -> None:
        """A handshake is over; its connection may rest now, unless it was with us and nothing has been asked yet."""
        session = self._front.sessions.get(data.context.client)
        if session is not None and not is_outer(data):
            self._connections.came(data.context.client)
            self._distrust.trusts(session.identity.key.id, session.host)

    def tls_failed_client(self, data: tls.TlsData) -> None:
        """A client went away in the middle of a handshake: inside of a tunnel that we open, since it does not trust our CA."""
        session = self._front.sessions.get(data.context.client)
        if session is None or is_outer(data):
            return
        error = data.conn.error or ""
        if self._distrust.note(session.identity.key.id, session.host, error):
            peer = data.context.client.peername
            self._recorder.distrusted(
                session.identity, Address(session.host, "CONNECT", "", peer[0] if peer else ""), error
            )


def _handler(client: Hashable) -> Any:
    """What serves a client's connection, in mitmproxy."""
    return (
        ctx.master.addons.get("proxyserver").connections.get(client.id)
        if isinstance(client, Client)
        else None
    )


def end(client: Hashable) -> None:
    """Close a client's connection, as mitmproxy does where nothing comes any more."""
    handler = _handler(client)
    transport = handler.transports.get(client) if handler is not None else None
    if transport is not None and transport.handler is not None:
        transport.handler.cancel("ended by a limit")
