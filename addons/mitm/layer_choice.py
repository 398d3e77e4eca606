"""Chooses the layer for a connection, or for the inside of a tunnel, by its first bytes.

    connection    TLS record       → the port's own TLS, then look again
                  METHOD /path     → the API of the control service
                  CONNECT, or an absolute URL → the proxy
    inside CONNECT
                  to an AI host    → TLS is opened, HTTP is judged
                  to any other     → bytes pass unopened, once the ClientHello agrees

It takes the place of the decision of mitmproxy's NextLayer addon (`bends.py`), so it works in
`earthflow proxy` and under mitmdump.
"""

import logging
import re
from weakref import WeakSet

from mitmproxy.addons.next_layer import NeedsMoreData
from mitmproxy.connection import Client
from mitmproxy.net.tls import starts_like_tls_record
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layer import Layer
from mitmproxy.proxy.layers import modes
from mitmproxy.proxy.layers.http import HTTPMode
from mitmproxy.proxy.layers.tls import (
    ClientTLSLayer,
    ServerTLSLayer,
    parse_client_hello,
)

from addons.mitm.http import Bounds, JudgedHttpLayer
from addons.mitm.tunnel import RefusedLayer, TunnelLayer
from addons.settings import Address
from addons.tunnels import Tunnel, Tunnels

logger = logging.getLogger("earthflow.connections")

# The first byte of a TLS handshake record (RFC 8446, section 5.1).
TLS_RECORD = b"\x16"
TLS_HEADER = 3  # bytes that mitmproxy needs to recognise a TLS record
REQUEST_LINE = re.compile(rb"([A-Za-z]{1,20}) (\S)")
LONGEST_METHOD = 22  # bytes: a method, the blank, and the first byte of what follows
# Bytes of a ClientHello: post-quantum keys make 2 KB of it; a record has at most 16 KB.
MAX_CLIENT_HELLO = 64 * 1024


class LayerChoice:
    """Chooses for all connections. `control` is the address of the control service.

    `api_clients` are the connections that speak to the API, and to nobody else.
    """

    def __init__(self, control: Address, bounds: Bounds, tunnels: Tunnels):
        self.api_clients: WeakSet[Client] = WeakSet()
        self._control, self._bounds, self._tunnels = control, bounds, tunnels

    def next_layer(
        self, context: Context, data_client: bytes, data_server: bytes
    ) -> Layer | None:
        """The layer for what has arrived. Raises NeedsMoreData. Any failure ends the connection."""
        try:
            if _is_connection(context):
                return self._of_connection(context, data_client)
            return self._inside_tunnel(context, data_client)
        except NeedsMoreData:
            raise
        except Exception as error:
            name = type(error).__name__
            logger.error("connection ended: %s while looking at its first bytes", name)
            return RefusedLayer(context)

    def _of_connection(self, context: Context, data: bytes) -> Layer:
        if len(context.layers) == 1 and data[:1] == TLS_RECORD:
            if len(data) < TLS_HEADER:
                raise NeedsMoreData
            if starts_like_tls_record(data):
                return ClientTLSLayer(context)
        line = REQUEST_LINE.match(data)
        if line is None:
            is_method = len(data) < LONGEST_METHOD and data.isalpha()
            is_method_and_blank = data[:-1].isalpha() and data[-1:] == b" "
            if is_method or is_method_and_blank:
                raise NeedsMoreData
            return self._http(context, HTTPMode.regular)  # answers 400
        if line[1].upper() != b"CONNECT" and line[2] == b"/":
            self.api_clients.add(context.client)
            context.server.address = self._control
            return self._http(context, HTTPMode.transparent)
        return self._http(context, HTTPMode.regular)

    def _inside_tunnel(self, context: Context, data: bytes) -> Layer:
        tunnel = self._tunnels.of(context.client)
        if tunnel is None:
            return RefusedLayer(context)
        if not tunnel.opened:
            return self._unopened(context, tunnel, data)
        is_inner = isinstance(context.layers[-1], ClientTLSLayer)
        if not is_inner and data[:1] == TLS_RECORD:
            if len(data) < TLS_HEADER:
                raise NeedsMoreData
            server_tls = ServerTLSLayer(context)
            server_tls.child_layer = ClientTLSLayer(context)
            return server_tls
        return self._http(context, HTTPMode.transparent)

    def _unopened(self, context: Context, tunnel: Tunnel, data: bytes) -> Layer:
        """Pass bytes on, unless the ClientHello names an AI host: its calls would go unjudged."""
        if data[:1] == TLS_RECORD:
            if len(data) < TLS_HEADER:
                raise NeedsMoreData
            if not starts_like_tls_record(data):
                return RefusedLayer(context)
            hello = parse_client_hello(data)
            if hello is None:
                if len(data) > MAX_CLIENT_HELLO:
                    return RefusedLayer(context)
                raise NeedsMoreData
            if hello.sni and self._bounds.capped(hello.sni):
                self._tunnels.mismatched(tunnel, hello.sni)
                return RefusedLayer(context)
        return TunnelLayer(
            context, lambda up, down: self._tunnels.ended(tunnel, up, down)
        )

    def _http(self, context: Context, mode: HTTPMode) -> JudgedHttpLayer:
        return JudgedHttpLayer(context, mode, self._bounds)


def _is_connection(context: Context) -> bool:
    """Whether this is the client's own connection, plain or under our TLS, not a tunnel in it."""
    stack = context.layers
    return len(stack) == 1 or (
        len(stack) == 2
        and isinstance(stack[0], modes.HttpProxy)
        and isinstance(stack[1], ClientTLSLayer)
    )
