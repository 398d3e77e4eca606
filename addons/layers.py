"""The few mitmproxy layers that Earthflow bends: bounds on heads and bodies, errors in the provider's shape, counted tunnels.

These classes are semi-private in mitmproxy, which is pinned exactly; tests/addons/test_layers.py fails loudly when they change.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from mitmproxy import flow as mitm_flow
from mitmproxy import http
from mitmproxy.net.http.http1 import expected_http_body_size
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.http import (
    DropStream,
    ErrorCode,
    GetHttpConnection,
    HttpErrorHook,
    HttpLayer,
    HTTPMode,
    HttpRequestHeadersHook,
    HttpResponseHook,
    HttpStream,
    RequestData,
    RequestEndOfMessage,
    RequestProtocolError,
    ResponseData,
    ResponseEndOfMessage,
    ResponseHeaders,
    ResponseProtocolError,
    ResponseTrailers,
    SendHttp,
)
from mitmproxy.proxy.layers.http._base import ReceiveHttp
from mitmproxy.proxy.layers.http._http1 import Http1Server, make_error_response
from mitmproxy.proxy.layers.tcp import TCPLayer

MAX_HEAD = 64 * 1024  # bytes of one request's line and headers
MAX_UNWANTED = 64 * 1024  # bytes of a body held when its call is already refused
MAX_WAITING = 1024 * 1024  # bytes a client may send ahead while its last answer is still on the way

MAX_ANSWER = 16 * 1024 * 1024  # bytes of a whole answer that are held to be judged
KEEPALIVE = 10.0  # seconds for which a client hears nothing of a held stream
ANSWER, REPLACED = "earthflow_answer", "earthflow_replaced"  # in flow.metadata: a StreamedAnswer; flow.response is ours

Commands = layer.CommandGenerator[None]


class StreamedAnswer(Protocol):
    """What judges an answer while it streams. Never raises."""

    @property
    def over(self) -> bool:
        """Whether it was ended: then nothing more is passed on."""

    @property
    def idle(self) -> bytes:
        """What keeps a client waiting while something is held, or nothing."""

    def feed(self, chunk: bytes) -> bytes:
        """Take what came; give what may go on."""

    def end(self) -> bytes:
        """Nothing more comes."""


@dataclass
class AnswerTooLargeHook(commands.StartHook):
    """A whole answer is too large to be judged; whoever answers lets it stream, or replaces it."""

    name = "earthflow_answer_too_large"
    flow: http.HTTPFlow


@dataclass
class TooLargeHook(commands.StartHook):
    """A call's body is over the cap; whoever answers sets flow.response."""

    name = "earthflow_too_large"
    flow: http.HTTPFlow


class BoundedHttp1Server(Http1Server):
    """mitmproxy's server side of HTTP/1 with an end to what it will hold."""

    def read_headers(self, event: events.ConnectionEvent) -> Commands:
        yield from super().read_headers(event)
        if self.state == self.read_headers and len(self.buf) > MAX_HEAD:
            yield commands.SendData(self.conn, make_error_response(431, f"The request head is larger than {MAX_HEAD} bytes."))
            yield commands.CloseConnection(self.conn)
            self.state = self.done

    def read_body(self, event: events.Event) -> Commands:
        try:
            yield from super().read_body(event)
        # mitmproxy's own, raised where it meets trailers, which it cannot read: without an answer the client would wait for ever.
        except NotImplementedError:
            yield commands.SendData(self.conn, make_error_response(400, "Trailers are not supported."))
            yield commands.CloseConnection(self.conn)
            yield ReceiveHttp(RequestProtocolError(self.stream_id, "trailers", RequestProtocolError.code))
            self.state = self.done

    def wait(self, event: events.Event) -> Commands:
        yield from super().wait(event)
        if isinstance(event, events.DataReceived) and len(self.buf) > MAX_WAITING:
            yield commands.CloseConnection(self.conn)


class JudgedHttpLayer(HttpLayer):
    """An HTTP layer whose streams keep to a body cap. `capped` tells which hosts it is for; others may stream at will."""

    def __init__(self, context: Context, mode: HTTPMode, max_body: int, capped: Callable[[str], bool]):
        super().__init__(context, mode)
        self.max_body, self.capped = max_body, capped
        if context.client.alpn not in (b"h2", b"h3"):
            self.connections[context.client] = BoundedHttp1Server(self.context.fork())  # HttpLayer keeps what it finds there

    def make_stream(self, stream_id: int) -> Commands:
        stream = JudgedStream(self.context.fork(), stream_id, self)
        self.streams[stream_id] = stream
        yield from self.event_to_child(stream, events.Start())


class JudgedStream(HttpStream):
    """One exchange."""

    def __init__(self, context: Context, stream_id: int, parent: JudgedHttpLayer):
        super().__init__(context, stream_id)
        self._parent = parent
        self._discarded = 0
        self._silent = True

    def check_body_size(self, request: bool) -> layer.CommandGenerator[bool]:
        """Answer a call over the cap at once, and let the rest of its body pass by unkept. What is streamed has no cap.

        A length that is declared counts for hosts that are judged; what is really held counts for all.
        """
        if not request:
            return (yield from self._check_answer_size())
        if self.flow.request.stream:
            return False
        held = len(self.request_body_buf)
        declared = self._declared() if not held and self._parent.capped(self.flow.request.host) else 0
        if max(held, declared) <= (self._parent.max_body if self.flow.response is None else MAX_UNWANTED):
            return False
        if not held:
            yield HttpRequestHeadersHook(self.flow)  # nobody has seen this flow yet
        self.request_body_buf.clear()
        if self.flow.response is None:
            yield TooLargeHook(self.flow)
        response = self.flow.response or http.Response.make(413, "The body is too large.\n")
        response.headers["connection"] = "close"
        yield HttpResponseHook(self.flow)
        yield from self._answer(response)
        self.client_state, self.server_state = self.state_discard, self.state_errored
        self.flow.live = False
        return True

    def _check_answer_size(self) -> layer.CommandGenerator[bool]:
        response = self.flow.response
        if response is None or response.stream or len(self.response_body_buf) <= MAX_ANSWER:
            return False
        yield AnswerTooLargeHook(self.flow)
        if self.flow.metadata.pop(REPLACED, False):
            yield from self._replace()
            return True
        held = bytes(self.response_body_buf)
        self.response_body_buf.clear()
        response.stream = response.stream or True
        yield from self.start_response_stream()
        yield from self.server_state(ResponseData(self.stream_id, held))
        return False

    def _handle_event(self, event: events.Event) -> Commands:
        return self._keep_alive() if isinstance(event, events.Wakeup) else super()._handle_event(event)

    def state_wait_for_response_headers(self, event: ResponseHeaders) -> Commands:
        yield from super().state_wait_for_response_headers(event)
        if self.flow.metadata.pop(REPLACED, False):
            yield from self._replace()
        elif ANSWER in self.flow.metadata and self.server_state == self.state_stream_response_body:
            yield commands.RequestWakeup(KEEPALIVE)

    def state_stream_response_body(self, event: events.Event) -> Commands:
        answer: StreamedAnswer | None = self.flow.metadata.get(ANSWER)
        if answer is None or isinstance(event, ResponseTrailers):
            yield from super().state_stream_response_body(event)
            return
        passed = answer.feed(event.data) if isinstance(event, ResponseData) else answer.end()
        if passed:
            self._silent = False
            yield SendHttp(ResponseData(self.stream_id, passed), self.context.client)
        if isinstance(event, ResponseEndOfMessage):
            yield from self.send_response(already_streamed=True)
        elif answer.over:
            yield HttpResponseHook(self.flow)
            yield from self._leave()
            yield SendHttp(ResponseEndOfMessage(self.stream_id), self.context.client)

    def _keep_alive(self) -> Commands:
        """Say something that means nothing where a client has heard nothing since the last time."""
        if self.server_state != self.state_stream_response_body:
            return
        if self._silent and (idle := self.flow.metadata[ANSWER].idle):
            yield SendHttp(ResponseData(self.stream_id, idle), self.context.client)
        self._silent = True
        yield commands.RequestWakeup(KEEPALIVE)

    def _replace(self) -> Commands:
        """Answer in the upstream's place, of which nothing was passed on."""
        assert self.flow.response is not None
        yield HttpResponseHook(self.flow)
        yield from self._leave()
        yield from self._answer(self.flow.response)

    def _leave(self) -> Commands:
        """Have no more to do with the upstream: what it does not generate need not be paid."""
        yield SendHttp(RequestProtocolError(self.stream_id, "ended by a rule", ErrorCode.CANCEL), self.context.server)
        self.flow.live = False
        self.client_state = self.server_state = self.state_errored
        yield DropStream(self.stream_id)

    def _declared(self) -> int:
        try:
            return expected_http_body_size(self.flow.request) or 0
        except ValueError:
            return 0

    def state_discard(self, event: events.Event) -> Commands:
        """Keep nothing of what still comes; end the connection of a client that does not stop."""
        if isinstance(event, RequestData):
            self._discarded += len(event.data)
            if self._discarded > self._parent.max_body:
                yield commands.CloseConnection(self.context.client)
        elif isinstance(event, RequestEndOfMessage):
            yield DropStream(self.stream_id)

    def make_server_connection(self) -> layer.CommandGenerator[bool]:
        """As mitmproxy does, but a failure is answered with what the error hook put into flow.response."""
        connection, error = yield GetHttpConnection(
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

    def handle_protocol_error(self, event: RequestProtocolError | ResponseProtocolError) -> Commands:
        """An upstream that ends before it answered is answered for; any other failure is mitmproxy's to handle."""
        silent = self.client_state == self.state_done and self.server_state == self.state_wait_for_response_headers
        if isinstance(event, ResponseProtocolError) and silent:
            yield from self._failed(event.message)
        else:
            yield from super().handle_protocol_error(event)

    def _failed(self, error: str) -> Commands:
        self.flow.error = mitm_flow.Error(error)
        yield HttpErrorHook(self.flow)
        if (yield from self.check_killed(False)):
            return
        yield from self._answer(self.flow.response or http.Response.make(502, error, {"content-type": "text/plain"}))
        self.client_state = self.server_state = self.state_errored
        self.flow.live = False
        yield DropStream(self.stream_id)

    def _answer(self, response: http.Response) -> Commands:
        content = response.raw_content or b""
        yield SendHttp(ResponseHeaders(self.stream_id, response, False), self.context.client)
        if content:
            yield SendHttp(ResponseData(self.stream_id, content), self.context.client)
        yield SendHttp(ResponseEndOfMessage(self.stream_id), self.context.client)


class Tunnel(TCPLayer):
    """Bytes passed on unopened, and counted."""

    def __init__(self, context: Context, on_end: Callable[[int, int], None]):
        super().__init__(context, ignore=True)
        self._on_end = on_end
        self.up = self.down = 0

    def relay_messages(self, event: events.Event) -> Commands:
        if isinstance(event, events.DataReceived):
            if event.connection == self.context.client:
                self.up += len(event.data)
            else:
                self.down += len(event.data)
        yield from super().relay_messages(event)
        if self._handle_event == self.done:
            self._on_end(self.up, self.down)


class Refused(layer.Layer):
    """Ends the connection, whatever comes."""

    def _handle_event(self, event: events.Event) -> Commands:
        yield commands.CloseConnection(self.context.client)
