"""What serves a client's connection in mitmproxy (its `ConnectionHandler`), and the sockets of that."""

import asyncio
import functools
import socket
from collections import defaultdict
from collections.abc import Callable, Coroutine, Hashable
from typing import Any
from weakref import WeakSet

from mitmproxy import ctx
from mitmproxy.connection import Client, Connection, ConnectionState
from mitmproxy.proxy.events import ConnectionClosed

# Connections from one client's connection to one upstream address. An HTTP/2 client may have
# this many calls at once; each takes one connection to an HTTP/1 upstream.
MAX_CONNECTIONS = 1000
# Seconds of silence before TCP asks whether the other side is there, and between two questions.
KEEPALIVE_IDLE, KEEPALIVE_EVERY = 60, 30

# Bytes that are taken at once: of a flood of frames that have no content, some thousand.
PIECE = 16 * 1024
# and of a body whose length is known, which is nothing but content
PIECE_OF_BODY = 64 * 1024
KEPT = 64 * 1024  # bytes that may still wait for an upstream when its client has left
# Connections that were reset, and did not end.
TORN: WeakSet[Connection] = WeakSet()

Handling = Callable[[Any, Connection], Coroutine[Any, Any, None]]


def handle_to_the_end(handle: Handling) -> Handling:
    """mitmproxy's `handle_connection`, with its end even where it is cancelled during an event.

    There it leaves the socket open then, and tells no layer: calls on it would never end.
    """
    if getattr(handle, "__wrapped__", None) is not None:
        return handle

    @functools.wraps(handle)
    async def handle_connection(self: Any, connection: Connection) -> None:
        try:
            await handle(self, connection)
        finally:
            left = self.transports.pop(connection, None)
            if left is not None:
                connection.state = ConnectionState.CLOSED
                left.writer.close()
                await self.server_event(ConnectionClosed(connection))

    return handle_connection


def allow_connections(client: Client) -> None:
    """Let a client have as many upstream connections as it has calls."""
    handler = _handler(client)
    if handler is not None:
        handler.max_conns = defaultdict(lambda: asyncio.Semaphore(MAX_CONNECTIONS))


def keep_alive(client: Hashable, connection: Connection) -> None:
    """Have the kernel probe a connection, the client's or one of its upstreams', while it is silent.

    NATs and load balancers of clouds forget what was silent for 100 to 350 seconds, and models
    think for longer.
    """
    io = _io(client, connection)
    if io is None or io.writer is None:
        return
    kept = io.writer.get_extra_info("socket")
    kept.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    kept.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE)
    kept.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_EVERY)


def close_client(client: Hashable) -> None:
    """Close a client's connection, as mitmproxy does after its own idle timeout."""
    io = _io(client, client)
    if io is not None and io.handler is not None:
        io.handler.cancel("ended by a limit")


class FairReader:
    """A reader that gives others their turn between two pieces, and that can be told to wait.

    asyncio's gives what it has at once, and whoever sends fast is served alone. While it waits, the
    kernel's buffers fill, and TCP holds back the sender. (Pausing its transport would not do: the
    reader resumes that by itself.)
    """

    def __init__(self, reader: Any, connection: Connection):
        self._reader, self._connection = reader, connection
        self._full = False
        self.body = 0  # bytes that are still to come of a body whose length is known
        self.may_read = asyncio.Event()
        self.may_read.set()

    async def read(self, size: int) -> bytes:
        """As asyncio's reader, in pieces of at most PIECE bytes, or PIECE_OF_BODY."""
        if self._full:
            await asyncio.sleep(0)
        await self.may_read.wait()
        most = PIECE if self.body <= PIECE else PIECE_OF_BODY
        try:
            data: bytes = await self._reader.read(min(size, most))
        except OSError:
            TORN.add(self._connection)  # mitmproxy takes it for an orderly end
            raise
        self._full = len(data) == most  # then there may be more
        self.body -= len(data)
        return data


def read_fairly(client: Hashable, connection: Connection) -> None:
    """Take turns in reading from a connection. Call before it is read from."""
    io = _io(client, connection)
    if io is not None and io.reader is not None:
        io.reader = FairReader(io.reader, connection)


def expect_body(client: Hashable, connection: Connection, size: int) -> None:
    """Read a body of a known length in larger pieces."""
    if size <= PIECE:
        return
    io = _io(client, connection)
    if io is not None and isinstance(io.reader, FairReader):
        io.reader.body = size


def allow_uploads(client: Client, upstream: Connection, size: int) -> None:
    """Let the body of a call wait for an upstream that does not read.

    Until all that is written is taken, mitmproxy reads from nobody on this client's connection, and
    its other calls would wait.
    """
    io = _io(client, upstream)
    if io is not None and io.writer is not None:
        io.writer.transport.set_write_buffer_limits(high=size + size // 256 + PIECE)


def abandon_uploads(client: Client) -> None:
    """Give up what still waits for an upstream of a client that has left."""
    handler = _handler(client)
    for io in [] if handler is None else list(handler.transports.values()):
        transport = io.writer.transport if io.writer is not None else None
        if transport is not None and transport.get_write_buffer_size() > KEPT:
            transport.abort()


def expect_handshake(client: Client, upstream: Connection, seconds: float) -> None:
    """End a connection to an upstream that has not finished its TLS handshake by then, if it is to have one."""

    def look() -> None:
        io = _io(client, upstream)
        waits = upstream.tls and upstream.timestamp_tls_setup is None
        if waits and io is not None and io.writer is not None:
            io.writer.transport.abort()

    asyncio.get_running_loop().call_later(seconds, look)


def read_on(client: Connection, connection: Connection, read: bool) -> None:
    """Stop or begin to read from an upstream."""
    io = _io(client, connection)
    if io is None or not isinstance(io.reader, FairReader):
        return
    if read:
        io.reader.may_read.set()
    else:
        io.reader.may_read.clear()


def _io(client: Hashable, connection: Hashable) -> Any:
    handler = _handler(client)
    return handler.transports.get(connection) if handler is not None else None


def _handler(client: Hashable) -> Any:
    """What serves a client's connection, in mitmproxy."""
    if not isinstance(client, Client):
        return None
    return ctx.master.addons.get("proxyserver").connections.get(client.id)
