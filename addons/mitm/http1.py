"""HTTP/1 with a bound on what is held of it, and no head that two readers could understand differently.

Both sides of the proxy: `BoundedHttp1Server` towards clients, `BoundedHttp1Client` towards
providers.
"""

import re
from typing import Any

import h11
from h11._readers import ContentLengthReader
from mitmproxy.connection import Connection
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.http import (
    ErrorCode,
    RequestData,
    RequestHeaders,
    RequestProtocolError,
    ResponseProtocolError,
)
from mitmproxy.proxy.layers.http._base import HttpEvent, ReceiveHttp
from mitmproxy.proxy.layers.http._http1 import (
    Http1Client,
    Http1Server,
)

from addons.mitm.error_page import error_page
from addons.mitm.handlers import TORN, expect_body
from addons.network.connections import Connections

# Bytes of one head: its line and headers. Servers allow 8 to 64 KB; keys and cookies of our
# clients have some 4.
MAX_HEAD = 64 * 1024
HEAD_END = re.compile(rb"\r?\n\r?\n")
START = b"HTTP/1."  # of an answer; an older one has no head
# An answer before the answer (RFC 9110, section 15.2), which no client of a model needs; a 101 is one.
INTERIM = re.compile(
    rb"HTTP/1\.[01] 1(?!01)\d\d(?: [^\r\n]*)?\r?\n(?:[^\r\n]+\r?\n)*\r?\n"
)
MAX_INTERIM = 100  # of one call; who works for an hour may say so twice a minute
# What two readers of a head may understand differently: a line that does not end in CR LF, a
# folded header, a NUL.
AMBIGUOUS = re.compile(rb"(?<!\r)\n|\r(?!\n|\Z)|\n[ \t]|\x00")
# before a head they mean nothing (RFC 9112, section 2.2)
BLANK_LINES = re.compile(rb"(?:\r\n)+")
# bytes a client may send ahead while its last answer is still on the way
MAX_WAITING = 1024 * 1024

Commands = layer.CommandGenerator[None]


class BoundedHttp1Server(Http1Server):
    """mitmproxy's server side: bounded heads, bodies and pipelines, unambiguous heads."""

    def __init__(self, context: Context, connections: Connections):
        super().__init__(context)
        self._connections = connections

    def read_headers(self, event: events.ConnectionEvent) -> Commands:
        if isinstance(event, events.DataReceived):
            came = bytes(self.buf)
            if (blank := BLANK_LINES.match(came)) is not None:
                self.buf.maybe_extract_at_most(blank.end())
                came = came[blank.end() :]
            if not came:
                return
            head = HEAD_END.search(came)
            if len(came) > MAX_HEAD if head is None else head.end() > MAX_HEAD:
                yield from self._refuse(
                    431, f"The request head is larger than {MAX_HEAD} bytes."
                )
                return
            if AMBIGUOUS.search(came, 0, head.end() if head else len(came)):
                yield from self._refuse(
                    400,
                    "The request head has a folded header, a NUL, or a line that does not end in CR LF.",
                )
                return
            if head is None:
                self._connections.expect(self.context.client)
        yield from super().read_headers(event)
        if self.state == self.read_body:
            _expect(self.context, self.conn, self.body_reader)

    def read_body(self, event: events.Event) -> Commands:
        try:
            yield from super().read_body(event)
        # mitmproxy raises this for trailers, which it cannot read: refused here, since a client
        # that gets no answer would wait for ever.
        except NotImplementedError:
            yield from self._refuse(400, "Trailers are not supported.")
            yield ReceiveHttp(
                RequestProtocolError(
                    self.stream_id, "trailers", RequestProtocolError.code
                )
            )
        if (
            self.state == self.read_body and len(self.buf) > MAX_HEAD
        ):  # what is left is no body: a line of a chunk, or trailers
            yield from self._refuse(
                431, "What stands between the pieces of the body is too long."
            )
            yield ReceiveHttp(
                RequestProtocolError(
                    self.stream_id, "endless chunk line", RequestProtocolError.code
                )
            )

    def wait(self, event: events.Event) -> Commands:
        yield from super().wait(event)
        if isinstance(event, events.DataReceived) and len(self.buf) > MAX_WAITING:
            yield commands.CloseConnection(self.conn)

    def _refuse(self, status: int, why: str) -> Commands:
        yield commands.SendData(self.conn, error_page(status, why))
        yield commands.CloseConnection(self.conn)
        self.state = self.done


def _expect(context: Context, connection: Connection, reader: Any) -> None:
    """Tell whoever reads from the socket how much of a body is to come, where that is known."""
    if isinstance(reader, ContentLengthReader):
        expect_body(context.client, connection, reader._remaining)


class WithoutTrailers:
    """A body reader that skips what may follow a chunked body, up to a bound."""

    def __init__(self, reader: Any):
        self.reader = reader

    def __call__(self, buffer: Any) -> Any:
        event = self.reader(buffer)
        if event is None and len(buffer) > MAX_HEAD:
            raise h11.RemoteProtocolError(
                "what stands between or behind the pieces of the body is too long"
            )
        return h11.EndOfMessage() if isinstance(event, h11.EndOfMessage) else event

    def read_eof(self) -> Any:
        return self.reader.read_eof()


class BoundedHttp1Client(Http1Client):
    """mitmproxy's client side: bounded heads; an upstream's trailers do not end the connection."""

    _reader: Any = None
    _interim = 0  # answers before the answer

    def send(self, event: HttpEvent) -> Commands:
        """Send a body without a length in chunks.

        A streamed HTTP/2 body may declare none; unchunked, it would be read here as the next
        call. An empty piece is left out: it would be the chunk that ends the body.
        """
        if isinstance(event, RequestData) and not event.data:
            return
        if isinstance(event, RequestHeaders):
            self._interim = 0
        if (
            isinstance(event, RequestHeaders)
            and not event.end_stream
            and "content-length" not in event.request.headers
        ):
            event.request.headers["transfer-encoding"] = "chunked"
        yield from super().send(event)

    @property
    def body_reader(self) -> Any:
        """The reader that mitmproxy sets, wrapped so that it skips trailers."""
        return self._reader

    @body_reader.setter
    def body_reader(self, reader: Any) -> None:
        self._reader = WithoutTrailers(reader)

    def read_headers(self, event: events.ConnectionEvent) -> Commands:
        if self.request and not START.startswith(bytes(self.buf)[: len(START)]):
            yield from self._no_answer("the provider does not speak HTTP/1")
            return
        while (
            self.request
            and self._interim <= MAX_INTERIM
            and (head := INTERIM.match(bytes(self.buf))) is not None
        ):
            self.buf.maybe_extract_at_most(head.end())
            self._interim += 1
        yield from super().read_headers(event)
        if self.state == self.read_body:
            _expect(self.context, self.conn, self._reader.reader)
        why = ""
        if len(self.buf) > MAX_HEAD:
            why = f"the answer's head is larger than {MAX_HEAD} bytes"
        elif self._interim > MAX_INTERIM:
            why = f"there are more than {MAX_INTERIM} interim answers"
        if why and self.state == self.read_headers:
            yield from self._no_answer(why)

    def read_body(self, event: events.Event) -> Commands:
        if isinstance(event, events.ConnectionClosed) and self.conn in TORN:
            # Without a length, an end would be the answer's.
            yield from self._no_answer("the provider reset the connection")
            return
        yield from super().read_body(event)

    def _no_answer(self, why: str) -> Commands:
        yield commands.CloseConnection(self.conn)
        yield ReceiveHttp(
            ResponseProtocolError(
                self.stream_id or 1, why, ErrorCode.GENERIC_SERVER_ERROR
            )
        )
        self.state = self.done
