"""The HTTP layer and its streams: bounds on bodies and on time, and replies in the provider's format.

mitmproxy's HttpStream      JudgedStream changes
check_body_size             a call over EARTHFLOW_MAX_BODY is refused at once; a whole answer
                            over MAX_ANSWER streams, or is refused
state_consume_request_body  a body that trickles in is refused
state_stream_response_body  the answer passes through its GuardedAnswer
handle_protocol_error,      a provider that fails is answered for in its own format
make_server_connection
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from mitmproxy import flow as mitm_flow
from mitmproxy import http
from mitmproxy.net.http.http1 import expected_http_body_size
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.http import (
    DropStream,
    HttpErrorHook,
    HttpLayer,
    HTTPMode,
    HttpRequestHeadersHook,
    HttpResponseHook,
    RequestData,
    RequestEndOfMessage,
    RequestHeaders,
    RequestProtocolError,
    ResponseData,
    ResponseEndOfMessage,
    ResponseHeaders,
    ResponseProtocolError,
    ResponseTrailers,
    SendHttp,
)

from addons.answers.guarded import GuardedAnswer, Piece
from addons.calls.state import ANSWER, SNIFF
from addons.mitm.back_pressure import BackPressure
from addons.mitm.handlers import read_on
from addons.mitm.http1 import BoundedHttp1Server, Commands
from addons.mitm.http2 import GetConnection, JudgedHttp2Server, Taken
from addons.mitm.http_hooks import (
    AT_ONCE,
    LEFT,
    REPLACED,
    AnswerTooLargeHook,
    TooLargeHook,
    TooSlowHook,
)
from addons.mitm.watched_stream import WatchedStream
from addons.mitm.websocket import JudgedWebSocket
from addons.network.connections import Connections, Upload

# Bytes held of a body whose call is refused already: a client that waits for our reply needs
# none of them; one that sends on is answered before it is done.
MAX_UNWANTED = 64 * 1024
# Bytes of a whole answer that are held to be judged. Images in JSON have some 10 MB.
MAX_ANSWER = 16 * 1024 * 1024
NO_BODY = (204, 304)  # status codes
MAX_SNIFFS = 100  # looks at what is held, for whether it is a stream


@dataclass
class JudgeHook(commands.StartHook):
    """A piece of an answer is to be judged while others are served; the hook sets `passed`."""

    name = "earthflow_judge"
    piece: Piece


@dataclass(frozen=True, slots=True)
class Bounds:
    """The bounds of an HTTP layer.

    `capped`: whether a host is an AI provider's, whose calls are held to be judged; calls to
    others may stream. `endless`: whether a call declares a protocol whose bodies may have no
    end; even then what is held of one is capped.
    """

    connections: Connections
    capped: Callable[[str], bool]
    endless: Callable[[http.HTTPFlow], bool]


class JudgedHttpLayer(HttpLayer):
    """mitmproxy's HTTP layer with `JudgedStream` for its streams."""

    def __init__(self, context: Context, mode: HTTPMode, bounds: Bounds):
        super().__init__(context, mode)
        self.bounds, self.limits = bounds, bounds.connections.limits
        # HttpLayer keeps a connection that it finds here.
        server = (
            JudgedHttp2Server if context.client.alpn == b"h2" else BoundedHttp1Server
        )
        self.connections[context.client] = server(
            self.context.fork(), bounds.connections
        )

        self.back_pressure = BackPressure(
            self.connections, context.client, partial(read_on, context.client)
        )

    def _handle_event(self, event: events.Event) -> Commands:
        yield from super()._handle_event(event)
        if self.back_pressure:
            for provider, stream in self.back_pressure.taken():
                known = self.connections[provider]
                yield from self.event_to_child(known, Taken(stream))

    def make_stream(self, stream_id: int) -> Commands:
        stream = JudgedStream(self.context.fork(), stream_id, self)
        self.streams[stream_id] = stream
        yield from self.event_to_child(stream, events.Start())


class JudgedStream(WatchedStream):
    """One call and its answer."""

    def __init__(self, context: Context, stream_id: int, parent: JudgedHttpLayer):
        super().__init__(context, stream_id, parent.limits, parent.back_pressure)
        self._parent = parent
        self._discarded = 0
        self._sniffed = self._sniffs = 0  # bytes that were looked at, and how often
        self._upload: Upload | None = None

    def check_body_size(self, request: bool) -> layer.CommandGenerator[bool]:
        """Refuse a call over the cap at once, and discard the rest of its body.

        A declared length counts for AI hosts; what is really held counts for all. What is
        streamed has no cap.
        """
        if not request:
            return (yield from self._check_answer_size())
        if self.flow.request.stream:
            return False
        held = len(self.request_body_buf)
        if not held and self._parent.bounds.endless(self.flow):
            return False
        declared = (
            self._declared()
            if not held and self._parent.bounds.capped(self.flow.request.host)
            else 0
        )
        if max(held, declared) <= (
            self._limits.max_body if self.flow.response is None else MAX_UNWANTED
        ):
            return False
        if not held:
            yield HttpRequestHeadersHook(self.flow)  # no hook has seen this flow yet
        yield from self._refuse_body(
            TooLargeHook(self.flow), http.Response.make(413, "The body is too large.\n")
        )
        return True

    def _refuse_body(
        self, hook: commands.StartHook, otherwise: http.Response
    ) -> Commands:
        """Answer a call before its body is whole, and keep nothing of the rest."""
        self.request_body_buf.clear()
        self._end_upload()
        if self.flow.response is None:
            yield hook
        response = self.flow.response or otherwise
        response.headers["connection"] = "close"
        yield HttpResponseHook(self.flow)
        yield from self._answer(response)
        self.client_state, self.server_state = self.state_discard, self.state_errored
        self.flow.live = False

    def state_consume_request_body(self, event: events.Event) -> Commands:
        if isinstance(event, RequestData):
            self._upload = self._upload or self._parent.bounds.connections.upload(
                self.context.client
            )
            if self._upload.is_slow(time.monotonic(), len(event.data)):
                yield from self._refuse_body(
                    TooSlowHook(self.flow),
                    http.Response.make(408, "The body arrives too slowly.\n"),
                )
                return
        else:
            self._end_upload()
        yield from super().state_consume_request_body(event)

    def _end_upload(self) -> None:
        if self._upload is not None:
            self._upload.done = True

    def state_wait_for_request_headers(self, event: RequestHeaders) -> Commands:
        yield from super().state_wait_for_request_headers(event)
        if (
            self.client_state == self.state_consume_request_body
            and not event.end_stream
            and AT_ONCE in self.flow.metadata
        ):
            yield from self._refuse_body(
                TooSlowHook(self.flow), http.Response.make(400, "Refused.\n")
            )

    def _check_answer_size(self) -> layer.CommandGenerator[bool]:
        response = self.flow.response
        if response is not None and self._is_stream_after_all():
            yield from self._stream_held()
            return False
        if (
            response is None
            or response.stream
            or len(self.response_body_buf) <= MAX_ANSWER
        ):
            return False
        yield AnswerTooLargeHook(self.flow)
        if self.flow.metadata.pop(REPLACED, False):
            yield from self._replace()
            return True
        response.stream = response.stream or True
        yield from self._stream_held()
        return False

    def _is_stream_after_all(self) -> bool:
        """Whether the answer that is held shows that it is a stream, whatever its type said."""
        sniff: Callable[[bytes], bool] | None = self.flow.metadata.get(SNIFF)
        if sniff is None:
            return False
        held = self.response_body_buf
        # All of it is looked at each time: with each of the first pieces, and when it has doubled.
        if self._sniffs > MAX_SNIFFS and len(held) < 2 * self._sniffed:
            return False
        self._sniffed, self._sniffs = len(held), self._sniffs + 1
        return sniff(bytes(held))

    def _stream_held(self) -> Commands:
        """Stream from now on, beginning with what is held."""
        held = bytes(self.response_body_buf)
        self.response_body_buf.clear()
        yield from self.start_response_stream()
        if self._parent.bounds.capped(self.flow.request.host):
            yield from self._watch()
        yield from self.server_state(ResponseData(self.stream_id, held))

    def state_wait_for_response_headers(self, event: ResponseHeaders) -> Commands:
        yield from super().state_wait_for_response_headers(event)
        if self.flow.metadata.pop(REPLACED, False):
            yield from self._replace()
        elif (
            self.server_state == self.state_stream_response_body
            and self._parent.bounds.capped(self.flow.request.host)
        ):
            yield from self._watch()

    def state_stream_response_body(self, event: events.Event) -> Commands:
        self._last_data = time.monotonic()
        answer: GuardedAnswer | None = self.flow.metadata.get(ANSWER)
        if self._is_unwanted(event):
            return
        if answer is None:
            yield from super().state_stream_response_body(event)
            self._sent()
            return
        piece = Piece(answer, event.data if isinstance(event, ResponseData) else None)
        if piece.is_work:
            yield from self._judge_beside(piece)
        else:
            piece.judge()
        if sent := piece.passed:
            self._silent = False
            yield SendHttp(ResponseData(self.stream_id, sent), self.context.client)
            self._sent()
        if isinstance(event, ResponseEndOfMessage):
            yield from self.send_response(already_streamed=True)
        elif answer.ended:
            yield from self._end()

    def _is_unwanted(self, event: events.Event) -> bool:
        """Whether a part of an answer is not sent: trailers, which nobody judges and no client of a
        model reads, and a body where none may be.
        """
        if isinstance(event, ResponseTrailers):
            bounds = self._parent.bounds
            return bounds.capped(self.flow.request.host) and not bounds.endless(
                self.flow
            )
        return isinstance(event, ResponseData) and self._has_no_body

    @property
    def _has_no_body(self) -> bool:
        answered = self.flow.response and self.flow.response.status_code in NO_BODY
        return self.flow.request.method == "HEAD" or bool(answered)

    def state_consume_response_body(self, event: events.Event) -> Commands:
        if not self._is_unwanted(event):
            yield from super().state_consume_response_body(event)

    def _judge_beside(self, piece: Piece) -> Commands:
        """Judge a piece while others are served, and take no more of this answer."""
        provider = self.context.server
        self._back_pressure.judging(self.stream_id, provider)
        yield JudgeHook(piece)
        if self._back_pressure.judged(self.stream_id, provider):
            yield SendHttp(Taken(self.stream_id), provider)

    def flow_done(self) -> Commands:
        yield from super().flow_done()
        if isinstance(self.child_layer, JudgedWebSocket):
            self.child_layer.max_message = self._limits.max_body

    def _replace(self) -> Commands:
        """Answer in the provider's place. Nothing of its answer was sent yet."""
        assert self.flow.response is not None
        yield HttpResponseHook(self.flow)
        yield from self._leave()
        yield from self._answer(self.flow.response)

    def _declared(self) -> int:
        try:
            return expected_http_body_size(self.flow.request) or 0
        except ValueError:
            return 0

    def state_discard(self, event: events.Event) -> Commands:
        """Discard the rest of a body; end the connection of a client that does not stop."""
        if isinstance(event, RequestData):
            self._discarded += len(event.data)
            if self._discarded > self._limits.max_body:
                yield commands.CloseConnection(self.context.client)
        elif isinstance(event, RequestEndOfMessage):
            yield DropStream(self.stream_id)

    def make_server_connection(self) -> layer.CommandGenerator[bool]:
        """As mitmproxy does it, but a failure is answered with the error hook's flow.response."""
        connection, error = yield GetConnection(
            (self.flow.request.host, self.flow.request.port),
            self.flow.request.scheme == "https",
            self.flow.server_conn.via,
            self.flow.server_conn.transport_protocol,
        )
        if not error:
            self.context.server = self.flow.server_conn = connection
            return True
        yield from self._failed(error)
        return False

    def handle_protocol_error(
        self, event: RequestProtocolError | ResponseProtocolError
    ) -> Commands:
        """Answer for a provider that ends before it answered; the rest is mitmproxy's to handle."""
        self._end_upload()
        if isinstance(event, RequestProtocolError):
            self.flow.metadata[LEFT] = True
        silent = self.client_state == self.state_done and self.server_state in (
            self.state_wait_for_response_headers,
            self.state_consume_response_body,
        )
        if isinstance(event, ResponseProtocolError) and silent:
            self.flow.response = None  # of an answer that is held, nothing was sent
            self.response_body_buf.clear()
            yield from self._failed(event.message)
        else:
            yield from super().handle_protocol_error(event)

    def _failed(self, error: str) -> Commands:
        self.flow.error = mitm_flow.Error(error)
        yield HttpErrorHook(self.flow)
        if (yield from self.check_killed(False)):
            return
        yield from self._answer(
            self.flow.response
            or http.Response.make(502, error, {"content-type": "text/plain"})
        )
        self.client_state = self.server_state = self.state_errored
        self.flow.live = False
        yield DropStream(self.stream_id)

    def _answer(self, response: http.Response) -> Commands:
        content = b"" if self._has_no_body else response.raw_content or b""
        yield SendHttp(
            ResponseHeaders(self.stream_id, response, False), self.context.client
        )
        if content:
            yield SendHttp(ResponseData(self.stream_id, content), self.context.client)
        yield SendHttp(ResponseEndOfMessage(self.stream_id), self.context.client)
