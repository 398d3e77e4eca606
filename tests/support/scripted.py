"""An upstream that says byte for byte what a test wants, over TLS, as HTTP/1 or HTTP/2: what no server of a library would send."""

import asyncio
import contextlib
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import h2.config
import h2.connection
import h2.events
import hpack
from hyperframe.frame import (
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    RstStreamFrame,
    SettingsFrame,
)

HOST = "us.api.openai.com"
URL = f"https://{HOST}/v1/chat/completions"

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

Reader, Writer = asyncio.StreamReader, asyncio.StreamWriter
# What is done with one connection, once its first call is whole: told that call's stream (1 in HTTP/1).
Script = Callable[[Reader, Writer, int], Awaitable[None]]


async def _nothing(reader: Reader, writer: Writer, stream: int) -> None:
    """The default: the connection is closed."""


class Scripted:
    """Use as a context manager. `calls` counts calls, by connection; `connection` is the newest of HTTP/2, for scripts
    that keep its rules.
    """

    connection: h2.connection.H2Connection

    def __init__(self, pair: Path):
        self.script: Script = _nothing
        self.calls: list[int] = []
        self._tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._tls.load_cert_chain(pair)
        self._loop = asyncio.new_event_loop()
        self.port = 0

    def offer(self, version: str) -> None:
        """Speak this version: h1 or h2."""
        self._tls.set_alpn_protocols(["h2"] if version == "h2" else ["http/1.1"])

    def __enter__(self) -> "Scripted":
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        started = asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        self._server = asyncio.run_coroutine_threadsafe(started, self._loop).result()
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        async def stop() -> None:
            self._server.close()
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()

        asyncio.run_coroutine_threadsafe(stop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _h2_calls(self, reader: Reader, writer: Writer) -> AsyncIterator[int]:
        config = h2.config.H2Configuration(client_side=False)
        self.connection = connection = h2.connection.H2Connection(config)
        connection.initiate_connection()
        writer.write(connection.data_to_send())
        while data := await reader.read(65536):
            for event in connection.receive_data(data):
                if isinstance(event, h2.events.DataReceived):
                    connection.acknowledge_received_data(
                        event.flow_controlled_length, event.stream_id
                    )
                if isinstance(event, h2.events.StreamEnded):
                    writer.write(connection.data_to_send())
                    yield event.stream_id
            writer.write(connection.data_to_send())

    async def _serve(self, reader: Reader, writer: Writer) -> None:
        number = len(self.calls)
        self.calls.append(0)
        is_h2 = writer.get_extra_info("ssl_object").selected_alpn_protocol() == "h2"
        with contextlib.suppress(
            ConnectionError, asyncio.IncompleteReadError, ssl.SSLError
        ):
            calls = self._h2_calls if is_h2 else _h1_calls
            async for stream in calls(reader, writer):
                self.calls[number] += 1
                await self.script(reader, writer, stream)
                await writer.drain()
        writer.close()


async def _h1_calls(reader: Reader, writer: Writer) -> AsyncIterator[int]:
    while head := await reader.readuntil(b"\r\n\r\n"):
        length = sum(
            int(line.split(b":")[1])
            for line in head.lower().split(b"\r\n")
            if line.startswith(b"content-length:")
        )
        await reader.readexactly(length)
        yield 1


# -- frames of HTTP/2, as a peer may send them in any order -----------------------------


def headers(
    stream: int, status: int, *more: tuple[str, str], end: bool = False
) -> bytes:
    """The head of an answer. Without a dynamic table, so that heads may be written by hand."""
    block = hpack.Encoder()
    block.header_table_size = 0
    frame = HeadersFrame(stream)
    frame.data = block.encode([(":status", str(status)), *more])
    frame.flags |= {"END_HEADERS", "END_STREAM"} if end else {"END_HEADERS"}
    return bytes(frame.serialize())


def data(stream: int, content: bytes, *, end: bool = False) -> bytes:
    """A piece of a body."""
    frame = DataFrame(stream, content)
    frame.flags |= {"END_STREAM"} if end else set()
    return bytes(frame.serialize())


def goaway(last: int, code: int = 0) -> bytes:
    """No more calls are taken beyond stream `last`."""
    return bytes(GoAwayFrame(last_stream_id=last, error_code=code).serialize())


def reset(stream: int, code: int) -> bytes:
    """A stream is ended."""
    return bytes(RstStreamFrame(stream, error_code=code).serialize())


def settings(**values: int) -> bytes:
    """Settings, by hyperframe's names."""
    told = {getattr(SettingsFrame, name): value for name, value in values.items()}
    return bytes(SettingsFrame(settings=told).serialize())


def raw(frame: Frame) -> bytes:
    """Any frame."""
    return bytes(frame.serialize())


def request(stream: int, host: str = HOST) -> bytes:
    """The head of a call without a body."""
    block = hpack.Encoder()
    block.header_table_size = 0
    frame = HeadersFrame(stream)
    fields = {
        ":method": "GET",
        ":scheme": "https",
        ":authority": host,
        ":path": "/v1/models",
    }
    frame.data = block.encode(list(fields.items()))
    frame.flags |= {"END_HEADERS", "END_STREAM"}
    return bytes(frame.serialize())


def codes_of(said: bytes, kind: type[Frame]) -> list[int]:
    """The error codes of the frames of a kind in what a peer sent."""
    codes = []
    while len(said) >= 9:
        frame, length = Frame.parse_frame_header(memoryview(said[:9]))
        if isinstance(frame, kind) and len(said) >= 9 + length:
            frame.parse_body(memoryview(said[9 : 9 + length]))
            codes.append(frame.error_code)
        said = said[9 + length :]
    return codes
