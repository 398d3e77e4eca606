"""What hostile clients and providers say, and whether others are served meanwhile."""

import contextlib
import gzip
import json
import socket
import struct
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import hpack
from hyperframe.frame import AltSvcFrame, HeadersFrame, PingFrame, WindowUpdateFrame

from tests.support.house import AWS_KEY, PATIENCE, House, Tenant, message
from tests.support.raw import UPGRADE, knock, tls_tunnel
from tests.support.scripted import (
    HOST,
    URL,
    Reader,
    Script,
    Writer,
    data,
    headers,
    raw,
    reset,
)
from tests.support.shared import slack

# Seconds that another client may wait: what stalls, stalled for longer, most of it for many times as long.
LONGEST = 1.0
SECRET, BEGIN, REST = AWS_KEY.encode(), AWS_KEY[:8], AWS_KEY[8:]
SSE, JSON = "text/event-stream", "application/json"
SWITCHED = (
    b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
)
MASK = bytes(4)


def chunk(content: bytes) -> bytes:
    """A piece of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(content), content)


def content(text: str) -> str:
    """An event's data in OpenAI's format."""
    return json.dumps({"choices": [{"index": 0, "delta": {"content": text}}]})


def strings(count: int) -> bytes:
    """JSON of many short strings."""
    words = [f"{number:x}-{count}" for number in range(count)]
    return json.dumps({"object": "x", "list": words}).encode()


def event(text: str | bytes) -> bytes:
    """A server-sent event."""
    return b"data: %b\n\n" % (text.encode() if isinstance(text, str) else text)


def frame(code: int, payload: bytes, first: int = 0x80) -> bytes:
    """A WebSocket's frame, unmasked."""
    size = len(payload)
    if size < 126:
        return bytes([first | code, size]) + payload
    large = size >= 2**16
    return (
        bytes([first | code, 126 + large]) + size.to_bytes(8 if large else 2) + payload
    )


def answers(*pieces: bytes, kind: str = SSE, more: str = "") -> Script:
    """Gives each piece in a chunk of its own, one after the other."""

    async def script(reader: Reader, writer: Writer, stream: int) -> None:
        head = f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\n{more}"
        writer.write(f"{head}transfer-encoding: chunked\r\n\r\n".encode())
        for piece in pieces:
            writer.write(chunk(piece))
            await writer.drain()
        writer.write(chunk(b""))

    return script


def says(*pieces: bytes, end: bool = True) -> Script:
    """Writes bytes as they are."""

    async def script(reader: Reader, writer: Writer, stream: int) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        if end:
            writer.close()

    return script


def heard(client: socket.socket) -> bytes:
    """All that comes until the end."""
    client.settimeout(PATIENCE)
    said = b""
    with contextlib.suppress(OSError):
        while more := client.recv(65536):
            said += more
    return said


def call(house: House, tenant: Tenant, *, stream: bool = True, more: str = "") -> bytes:
    """One call over HTTP/1; all that is answered, with its head."""
    body = message("go", stream=stream)
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: {HOST}\r\nconnection: close\r\n"
    )
    with tls_tunnel(house, tenant, HOST) as client:
        length = f"content-length: {len(body)}\r\n\r\n"
        client.sendall((head + more + length).encode() + body)
        return heard(client)


def ask(tenant: Tenant, version: str = "http1.1", *words: str) -> str:
    """curl's call for a stream; all that it prints, with the head and its statuses."""
    body = message("go", stream=True).decode()
    told = ("-N", "-i", "-w", "|%{http_code}|%{exitcode}", "-d", body)
    return tenant.curl(f"--{version}", *told, *words, URL).stdout


def socket_call(house: House, tenant: Tenant, frames: bytes = b"") -> bytes:
    """A WebSocket; all that its client is told."""
    with tls_tunnel(house, tenant, HOST) as client:
        words = "\r\n".join(word for word in UPGRADE if word != "-H")
        head = f"GET /v1/realtime?model=m HTTP/1.1\r\nhost: {HOST}\r\n{words}\r\n\r\n"
        client.sendall(head.encode() + frames)
        return heard(client)


@contextlib.contextmanager
def others_are_served(house: House) -> Iterator[None]:
    """Another client asks all the time, and never waits for long."""
    over = threading.Event()

    def look() -> list[float]:
        waits: list[float] = []
        with knock(house) as client:
            while not over.is_set() or not waits:
                began = time.monotonic()
                client.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
                assert client.recv(65536)
                waits.append(time.monotonic() - began)
        return waits

    with ThreadPoolExecutor(1) as pool:
        watch = pool.submit(look)
        try:
            yield
        finally:
            over.set()
        waits = watch.result()
    assert max(waits) < LONGEST * slack(), (
        f"another client waited for {max(waits):.1f} s"
    )


def trailers(stream: int) -> bytes:
    """Fields behind a body, one of which holds the secret."""
    block = hpack.Encoder()
    block.header_table_size = 0
    last = HeadersFrame(stream, block.encode([("x-note", AWS_KEY)]))
    last.flags |= {"END_HEADERS", "END_STREAM"}
    return raw(last)


async def with_trailers(reader: Reader, writer: Writer, stream: int) -> None:
    """A script: an answer with them."""
    body = data(stream, event(content("hi")))
    writer.write(headers(stream, 200, ("content-type", SSE)) + body)
    writer.write(trailers(stream))


def torn(kind: str) -> Script:
    """An answer without a length, whose connection is reset."""

    async def script(reader: Reader, writer: Writer, stream: int) -> None:
        head = f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\n\r\n"
        writer.write(head.encode() + event(content("hi")))
        await writer.drain()
        ours = writer.get_extra_info("socket")
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    return script


def upload(stream: int) -> bytes:
    """The head of a call whose body follows."""
    block = hpack.Encoder()
    block.header_table_size = 0
    told = {":method": "POST", ":scheme": "https", ":authority": HOST, ":path": "/v1/x"}
    head = HeadersFrame(stream, block.encode(list(told.items())))
    head.flags |= {"END_HEADERS"}
    return raw(head)


# What readers differ in: an answer's type, more of its head, and its pieces.
TEXTS = ("It is ", BEGIN, REST, " and more" * 5)
EVENTS = [event(content(text)) for text in TEXTS]
LINES = [content(text).encode() + b"\n" for text in TEXTS]
STREAMS: dict[str, tuple[str, str, Sequence[bytes]]] = {
    "events": (SSE, "", EVENTS),
    "events said to be an image": ("image/png", "", EVENTS),
    "events said to be JSON lines": ("application/x-ndjson", "", EVENTS),
    "lines of JSON before events": ("text/plain", "", [b"{}\n{}\n", *EVENTS]),
    "JSON lines said to be events": (SSE, "", LINES),
    "JSON in events without data:": (SSE, "", [line + b"\n" for line in LINES]),
    "a blank before data:": (SSE, "", [b" " + one for one in EVENTS]),
    "a mark before each event": (SSE, "", [b"\xef\xbb\xbf" + one for one in EVENTS]),
    "events behind 64 KB": (JSON, "", [b" " * 66_000 + b"\n", *EVENTS]),
    "an encoding of no name": (SSE, "content-encoding: none\r\n", EVENTS),
    "identity twice": (SSE, "content-encoding: identity, identity\r\n", EVENTS),
}

# What is no answer over HTTP, and holds a secret.
OK = b"HTTP/1.1 200 OK\r\n"
BROKEN = {
    "a line without a colon": OK + SECRET + b"\r\n\r\n",
    "a head that is cut": OK + b"x-note: " + SECRET,
    "a length": OK + b"content-length: " + SECRET + b"\r\n\r\n",
    "an encoding": OK + b"transfer-encoding: " + SECRET + b"\r\n\r\n",
    "a status": b"HTTP/1.1 " + SECRET + b" OK\r\n\r\n",
    "a chunk": OK + b"transfer-encoding: chunked\r\n\r\n" + SECRET + b"\r\n",
    "a name": headers(1, 200, ("X-" + AWS_KEY, "a")),
    "a value": headers(1, 200, ("x-note", "a\r\n" + AWS_KEY)),
    "a second answer": (OK + b"content-length: 2\r\n\r\n{}") + OK + SECRET,
}

# What takes long to judge or to pass on.
SMALL = [strings(400)] * 60
STALLS: dict[str, tuple[str, Script]] = {
    "many small events": ("h1", answers(*[event(content("a"))] * 8000)),
    "events of many strings": ("h1", answers(*map(event, SMALL))),
    "bytes that may be a stream": ("h1", answers(*[b"x"] * 8000, kind=JSON)),
    "an event that was packed": (
        "h1",
        answers(
            gzip.compress(event(json.dumps({"x": ["ab"] * 30_000}))),
            more="content-encoding: gzip\r\n",
        ),
    ),
    "empty pieces": (
        "h2",
        says(
            headers(1, 200, ("content-type", SSE))
            + data(1, b"") * 60_000
            + data(1, b"", end=True),
            end=False,
        ),
    ),
    "answers before the answer": ("h2", says(headers(1, 103) * 20_000)),
}

# What a client may send over HTTP/2 as often as it likes.
FLOODS = {
    "windows": raw(WindowUpdateFrame(0, window_increment=1)) * 200_000,
    "windows of a call": upload(1)
    + raw(WindowUpdateFrame(1, window_increment=1)) * 120_000,
    "empty pieces": upload(1) + data(1, b"") * 40_000,
    "pieces of a byte": upload(1) + data(1, b"x") * 40_000,
    "answers to no ping": raw(PingFrame(0, bytes(8), flags=["ACK"])) * 60_000,
    "other services": raw(AltSvcFrame(0, origin=b"a", field=b"b")) * 80_000,
    "resets of one call": upload(1) + reset(1, 8) * 80_000,
}
