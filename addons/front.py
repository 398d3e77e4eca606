"""The front door: what the first bytes of a connection, or of a tunnel, are, and which layer takes them.

    outer   TLS record -> the proxy's own certificate, then look again; METHOD / -> the API; CONNECT or absolute form -> proxy
    inner   (after CONNECT) an AI host -> opened and judged; any other -> passed on unopened, once its ClientHello agrees

It takes the place of the decision method of mitmproxy's NextLayer addon, so it works in `earthflow proxy` and under mitmdump.
"""

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from weakref import WeakKeyDictionary, WeakSet

from mitmproxy.addons.next_layer import NeedsMoreData
from mitmproxy.connection import Client
from mitmproxy.net.tls import starts_like_tls_record
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layer import Layer
from mitmproxy.proxy.layers import modes
from mitmproxy.proxy.layers.http import HTTPMode
from mitmproxy.proxy.layers.tls import ClientTLSLayer, ServerTLSLayer, parse_client_hello

from addons.layers import Bounds, JudgedHttpLayer, Refused, Tunnel
from addons.record import Ongoing
from addons.settings import Address
from addons.snapshot import Identity

logger = logging.getLogger("earthflow.front")

FIRST = re.compile(rb"([A-Za-z]{1,20}) (\S)")
LONGEST_METHOD = 22  # bytes: a method, the blank, and what follows it
MAX_CLIENT_HELLO = 64 * 1024


@dataclass(slots=True)
class Session:
    """A client's authenticated tunnel: who, to where, and whether it is opened. `ongoing` is an unopened tunnel's record."""

    identity: Identity
    host: str
    port: int
    opened: bool
    ongoing: Ongoing | None = None


class Front:
    """Decides layers. `control` is where the API lives; hosts that are `capped` are AI hosts."""

    def __init__(
        self,
        control: Address,
        bounds: Bounds,
        on_tunnel_end: Callable[[Session, int, int], None],
        on_mismatch: Callable[[Session, str], None],
    ):
        self.direct: WeakSet[Client] = WeakSet()
        self.sessions: WeakKeyDictionary[Client, Session] = WeakKeyDictionary()
        self._control, self._bounds = control, bounds
        self._on_tunnel_end, self._on_mismatch = on_tunnel_end, on_mismatch

    def next_layer(self, context: Context, data_client: bytes, data_server: bytes) -> Layer | None:
        """The layer for what has arrived. Raises NeedsMoreData; any other failure ends the connection."""
        try:
            if _is_outer(context):
                return self._outer(context, data_client)
            return self._inner(context, data_client)
        except NeedsMoreData:
            raise
        except Exception as error:  # the guard of this room: what cannot be placed is not served
            logger.error("connection ended: %s while looking at its first bytes", type(error).__name__)
            return Refused(context)

    def _outer(self, context: Context, data: bytes) -> Layer:
        if len(context.layers) == 1 and data[:1] == b"\x16":
            if len(data) < 3:
                raise NeedsMoreData
            if starts_like_tls_record(data):
                return ClientTLSLayer(context)
        first = FIRST.match(data)
        if first is None:
            if (len(data) < LONGEST_METHOD and data.isalpha()) or (data[:-1].isalpha() and data[-1:] == b" "):
                raise NeedsMoreData
            return self._http(context, HTTPMode.regular)  # answers 400
        if first[1].upper() != b"CONNECT" and first[2] == b"/":
            self.direct.add(context.client)
            context.server.address = self._control
            return self._http(context, HTTPMode.transparent)
        return self._http(context, HTTPMode.regular)

    def _inner(self, context: Context, data: bytes) -> Layer:
        session = self.sessions[context.client]
        if not session.opened:
            return self._tunnel(context, session, data)
        if not isinstance(context.layers[-1], ClientTLSLayer) and data[:1] == b"\x16":
            if len(data) < 3:
                raise NeedsMoreData
            server_tls = ServerTLSLayer(context)
            server_tls.child_layer = ClientTLSLayer(context)
            return server_tls
        return self._http(context, HTTPMode.transparent)

    def _tunnel(self, context: Context, session: Session, data: bytes) -> Layer:
        """Pass on, unless the ClientHello asks an AI host for what CONNECT asked another: that would go by unseen."""
        if data[:1] == b"\x16":
            if len(data) < 3:
                raise NeedsMoreData
            if not starts_like_tls_record(data):
                return Refused(context)
            hello = parse_client_hello(data)
            if hello is None:
                if len(data) > MAX_CLIENT_HELLO:
                    return Refused(context)
                raise NeedsMoreData
            if hello.sni and self._bounds.capped(hello.sni):
                self._on_mismatch(session, hello.sni)
                return Refused(context)
        return Tunnel(context, lambda up, down: self._on_tunnel_end(session, up, down))

    def _http(self, context: Context, mode: HTTPMode) -> JudgedHttpLayer:
        return JudgedHttpLayer(context, mode, self._bounds)


def _is_outer(context: Context) -> bool:
    """Whether this is the client's own connection, plain or under our TLS, and not yet a tunnel inside it."""
    stack = context.layers
    return len(stack) == 1 or (
        len(stack) == 2 and isinstance(stack[0], modes.HttpProxy) and isinstance(stack[1], ClientTLSLayer)
    )
