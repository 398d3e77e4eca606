"""A client that does not read its answer over HTTP/2 holds back the provider that sends it.

HTTP/1 clients do so by TCP. Over HTTP/2 mitmproxy keeps what a client's window does not allow to
send, without a bound. Here each answer has a high-water mark: beyond it an HTTP/2 provider's window
stays closed, and an HTTP/1 provider, which sends nothing else on its connection, is not read.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any

from mitmproxy.connection import Connection

from addons.mitm.http2 import JudgedHttp2Server, OrderlyHttp2Client

# Bytes of one answer that wait for its client, from which on its provider is held back, and from
# which it is released.
HIGH, LOW = 256 * 1024, 64 * 1024


class BackPressure:
    """The answers of one client's connection. `read` stops and begins to read a connection."""

    def __init__(
        self,
        connections: dict[Connection, Any],
        client: Connection,
        read: Callable[[Connection, bool], None],
    ):
        self._connections, self._client, self._read = connections, client, read
        # Providers, and since when they are held back, by the stream of their answer.
        self._held: dict[int, tuple[Connection, float]] = {}
        self._judging: set[int] = (
            set()
        )  # answers of which a piece is judged in a thread

    def __bool__(self) -> bool:
        """Whether anything is held back."""
        return bool(self._held)

    def holds(self, stream: int) -> bool:
        """Whether the provider of this answer is."""
        return stream in self._held

    def is_stalled(self, stream: int, since: float) -> bool:
        """Whether its client has taken too little of it since that time."""
        return self._held[stream][1] < since

    def sent(self, stream: int, provider: Connection) -> None:
        """A piece of an answer was sent, or waits."""
        if stream in self._held or self._waits(stream) <= HIGH:
            return
        self._held[stream] = provider, time.monotonic()
        if stream not in self._judging:
            self._hold(stream, provider)

    def judging(self, stream: int, provider: Connection) -> None:
        """A piece is judged in a thread: what comes meanwhile would wait without a bound."""
        self._judging.add(stream)
        if stream not in self._held:
            self._hold(stream, provider)

    def judged(self, stream: int, provider: Connection) -> bool:
        """It was judged. Whether an HTTP/2 provider must learn that it may send more."""
        self._judging.discard(stream)
        return stream not in self._held and self._release(provider)

    def _hold(self, stream: int, provider: Connection) -> None:
        upstream = self._upstream(provider)
        if isinstance(upstream, OrderlyHttp2Client):
            upstream.h2_conn.hold_back(upstream.our_stream_id[stream])
        else:
            self._read(provider, False)

    def taken(self) -> Iterator[tuple[Connection, int]]:
        """The client took something: release what it took enough of. Gives the answers of which
        an HTTP/2 provider must learn it.
        """
        for stream in [one for one in self._held if self._waits(one) <= LOW]:
            provider, _ = self._held.pop(stream)
            if stream not in self._judging and self._release(provider):
                yield provider, stream

    def _release(self, provider: Connection) -> bool:
        """Read on from a provider; whether it is one of HTTP/2, whose window must be opened."""
        if not provider.connected:
            return False
        if isinstance(self._upstream(provider), OrderlyHttp2Client):
            return True
        self._read(provider, True)
        return False

    def _waits(self, stream: int) -> int:
        server = self._connections.get(self._client)
        if not isinstance(server, JudgedHttp2Server):
            return 0
        return server.h2_conn.waits(stream)

    def _upstream(self, provider: Connection) -> Any:
        known = self._connections.get(provider)
        return known.context.layers[-1] if known is not None else None
