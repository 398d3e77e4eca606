"""HTTP/2 with orderly ends, and a bound on what costs its sender nothing.

GOAWAY without an error   (RFC 9113, section 6.8) from either side: calls that were taken run on.
                          Those that a provider did not take are answered for, and new ones take
                          a new connection.
control frames            have a budget; beyond it the connection ends with ENHANCE_YOUR_CALM
a stream's window         stays closed while its client takes nothing (`back_pressure.py`)
a provider's reset        is said to be the provider's, not the client's
"""

from collections.abc import Iterable
from typing import Any
from weakref import WeakSet

import h2.config
import h2.events
import h2.exceptions
from h2.errors import ErrorCodes
from mitmproxy.connection import Connection
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.http import (
    ErrorCode,
    GetHttpConnection,
    ResponseProtocolError,
)
from mitmproxy.proxy.layers.http._base import HttpEvent, ReceiveHttp
from mitmproxy.proxy.layers.http._http2 import Http2Client, Http2Server
from mitmproxy.proxy.layers.http._http_h2 import BufferedH2Connection

from addons.mitm.budget import Budget
from addons.mitm.error_page import body_of
from addons.network.connections import Connections

# What an event costs of a connection's budget. A reset call has cost us most of a call.
COSTS: dict[type[h2.events.Event], float] = {
    h2.events.PingReceived: 1,
    h2.events.PingAckReceived: 1,
    h2.events.RemoteSettingsChanged: 1,
    h2.events.PriorityUpdated: 1,
    h2.events.UnknownFrameReceived: 1,
    h2.events.SettingsAcknowledged: 1,
    h2.events.AlternativeServiceAvailable: 1,
    h2.events.InformationalResponseReceived: 1,
    h2.events.StreamReset: 5,
    # An honest peer sends two for 32 KB or so.
    h2.events.WindowUpdated: 0.05,
}
# What each frame costs besides, with or without an event: also those of a stream that is over.
FRAME = 0.01
EMPTY = 0.5  # a piece of a body without content, and without an end
SMALL, OF_SMALL = 16, 0.1  # bytes of a piece of a call that is too small to be honest
# Bytes that are taken at a time, so that a flood is noticed within some hundred frames.
SLICE = 8 * 1024
# Bytes that a provider may send of one answer before its client has taken some: enough for 10 MB a
# second over 100 ms. A hundred streams that nobody reads hold a hundred times as much.
WINDOW = 1024 * 1024
LEAST = 200  # bytes that a piece counts that waits: it takes as many besides its own
# Connections whose provider takes no more calls.
RETIRED: WeakSet[Connection] = WeakSet()

Commands = layer.CommandGenerator[None]


class GoingAway(h2.events.Event):
    """The peer takes no calls beyond stream `last`, and answers those up to it."""

    def __init__(self, last: int):
        self.last = last


class Taken(HttpEvent):
    """A client took what there was of an answer: more of it may come."""


class TooManyFrames(h2.exceptions.ProtocolError):
    """The peer spent its budget of control frames."""


class OrderlyH2Connection(BufferedH2Connection):
    """hyper-h2's connection; there an orderly GOAWAY ends it, and nothing has a budget."""

    def __init__(self, config: h2.config.H2Configuration):
        super().__init__(config)
        self._budget = Budget()
        # Bytes of streams whose window stays as it is, since nobody takes their bytes.
        self._kept: dict[int, int] = {}
        # What waited of a stream when it was last counted, and its bytes.
        self._waiting: dict[int, tuple[tuple[int, ...], int]] = {}
        if config.client_side:
            self.local_settings.initial_window_size = WINDOW
            self.local_settings.acknowledge()

    def waits(self, stream: int) -> int:
        """Bytes of a stream that its peer has not taken yet."""
        pieces = self.stream_buffers.get(stream)
        if not pieces:
            self._waiting.pop(stream, None)
            return 0
        first = pieces[0]
        seen = len(pieces), id(first), len(first.data), id(pieces[-1])
        known, size = self._waiting.get(stream, ((), 0))
        if seen != known:  # else none arrived, and none was taken
            size = sum(max(len(piece.data), LEAST) for piece in pieces)
            self._waiting[stream] = seen, size
        return size

    def hold_back(self, stream: int) -> None:
        """Let the peer send no more of a stream than its window."""
        self._kept.setdefault(stream, 0)

    def release(self, stream: int) -> None:
        """Open the window of a stream again."""
        size = self._kept.pop(stream, 0)
        if size:
            super().acknowledge_received_data(size, stream)

    def acknowledge_received_data(self, size: int, stream: int) -> None:
        if stream in self._kept:
            self._kept[stream] += size
        else:
            super().acknowledge_received_data(size, stream)

    def receive_data(self, data: bytes) -> list[h2.events.Event]:
        received: list[h2.events.Event] = []
        for start in range(0, len(data), SLICE):
            more = super().receive_data(data[start : start + SLICE])
            received += more
            self._spend(more)
        return received

    def _spend(self, received: Iterable[h2.events.Event]) -> None:
        spent = sum(map(self._cost, received))
        if spent and self._budget.is_spent(spent):
            raise TooManyFrames

    def _cost(self, event: h2.events.Event) -> float:
        if not isinstance(event, h2.events.DataReceived):
            return COSTS.get(type(event), 0.0)
        if event.stream_ended is not None or len(event.data) >= SMALL:
            return 0.0
        if not event.data:
            return EMPTY
        return 0.0 if self.config.client_side else OF_SMALL  # a provider's tokens

    def _receive_frame(self, frame: Any) -> Any:
        if self._budget.is_spent(FRAME):
            raise TooManyFrames
        return super()._receive_frame(frame)

    def _receive_goaway_frame(self, frame: Any) -> Any:
        if frame.error_code == ErrorCodes.NO_ERROR:
            return [], [GoingAway(frame.last_stream_id)]
        return super()._receive_goaway_frame(frame)


class JudgedHttp2Server(Http2Server):
    """Towards clients. `connections` counts those that were ended for a flood."""

    h2_conn: OrderlyH2Connection

    def __init__(self, context: Context, connections: Connections):
        super().__init__(context)
        self._connections = connections

    def _handle_event(self, event: events.Event) -> Commands:
        if isinstance(event, ResponseProtocolError) and self._tell(event):
            yield commands.SendData(self.conn, self.h2_conn.data_to_send())
        else:
            yield from super()._handle_event(event)

    def _tell(self, event: ResponseProtocolError) -> bool:
        """Answer a call that failed before its answer began; whether that is so."""
        stream, status = event.stream_id, event.code.http_status_code()
        if (
            status is None
            or not self.is_open_for_us(stream)
            or self.h2_conn.streams[stream].state_machine.headers_sent
        ):
            return False
        told = [(b":status", b"%d" % status), (b"content-type", b"application/json")]
        self.h2_conn.send_headers(stream, told)
        body = body_of(status, event.message)
        self.h2_conn.send_data(stream, body, end_stream=True)
        return True

    def handle_h2_event(self, event: Any) -> layer.CommandGenerator[bool]:
        if isinstance(event, GoingAway):
            return False  # the client makes no more calls, and waits for its answers
        if isinstance(event, TooManyFrames):
            self._connections.refused["flood"] += 1
            yield from self.protocol_error(
                "too many control frames", ErrorCodes.ENHANCE_YOUR_CALM
            )
            return True
        return (yield from super().handle_h2_event(event))


class GetConnection(GetHttpConnection):
    """A connection to an upstream that takes calls."""

    def connection_spec_matches(self, connection: Connection) -> bool:
        return connection not in RETIRED and super().connection_spec_matches(connection)


class OrderlyHttp2Client(Http2Client):
    """Towards providers."""

    h2_conn: OrderlyH2Connection

    def _handle_event(self, event: events.Event) -> Commands:
        if isinstance(event, Taken):
            self.h2_conn.release(self.our_stream_id[event.stream_id])
            if data := self.h2_conn.data_to_send():
                yield commands.SendData(self.conn, data)
            return
        yield from super()._handle_event(event)
        done = not self.streams and not self.stream_queue
        if done and self.conn in RETIRED and self.conn.connected:
            yield commands.CloseConnection(self.conn)

    def handle_h2_event(self, event: Any) -> layer.CommandGenerator[bool]:
        if isinstance(event, GoingAway):
            yield from self._retire(event.last)
            return False
        if isinstance(event, TooManyFrames):
            yield from self.protocol_error(
                "too many control frames", ErrorCodes.ENHANCE_YOUR_CALM
            )
            return True
        given = super().handle_h2_event(event)
        if not isinstance(event, h2.events.StreamReset):
            return (yield from given)
        for command in given:
            if isinstance(command, ReceiveHttp) and isinstance(
                command.event, ResponseProtocolError
            ):
                name = getattr(event.error_code, "name", str(event.error_code))
                command.event.message = f"the provider reset the stream ({name})"
            yield command
        return False

    def _retire(self, last: int) -> Commands:
        """The provider takes no more calls: tell those that it did not take."""
        RETIRED.add(self.conn)
        left_out = [stream for stream in self.streams if stream > last]
        for theirs in self.stream_queue:
            # They have no stream of ours yet, and an error names one.
            self.their_stream_id[-theirs] = theirs
            left_out.append(-theirs)
        self.stream_queue.clear()
        for stream in left_out:
            self.streams.pop(stream, None)
            yield ReceiveHttp(
                ResponseProtocolError(
                    stream,
                    "the provider closed the connection before it took the call",
                    ErrorCode.GENERIC_SERVER_ERROR,
                )
            )
