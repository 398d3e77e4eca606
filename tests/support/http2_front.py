"""HTTP/2 in front of the pretend providers, as a provider may speak it at its worst and still be right.

Answers come after an interim one; bodies of calls get a small window; each connection takes a few calls, and says so by an orderly GOAWAY
in the midst of its last answer; a stream that is over is reset without an error, as a provider does that wants no more of a body.
"""

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import aiohttp
import h2.config
import h2.connection
import h2.events
from h2.settings import SettingCodes

CALLS = 3  # that a connection takes
WINDOW = 100  # bytes of a body that may be sent at once
Headers = list[tuple[str, str]]
# method, path, headers, body
Ask = Callable[
    [str, str, dict[str, str], bytes],
    AbstractAsyncContextManager[aiohttp.ClientResponse],
]


class _Connection:
    """One of them."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        ask: Ask,
    ):
        self._reader, self._writer, self._ask = reader, writer, ask
        config = h2.config.H2Configuration(client_side=False, header_encoding="utf-8")
        self._h2 = h2.connection.H2Connection(config)
        self._heads: dict[int, Headers] = {}
        self._bodies: dict[int, bytearray] = {}
        self._window = asyncio.Condition()
        self._answers: set[asyncio.Task[None]] = set()
        self._last: int | None = None  # the stream beyond which nothing is taken

    async def run(self) -> None:
        """Until its client leaves, or its last answer is over."""
        self._h2.initiate_connection()
        self._h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: WINDOW})
        self._send()
        while not self._done and (data := await self._reader.read(65536)):
            for event in self._h2.receive_data(data):
                self._take(event)
            self._send()
            async with self._window:
                self._window.notify_all()
        for task in self._answers:
            task.cancel()

    @property
    def _done(self) -> bool:
        return self._last is not None and not self._answers

    def _send(self) -> None:
        self._writer.write(self._h2.data_to_send())

    def _take(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.RequestReceived):
            stream = event.stream_id
            self._heads[stream], self._bodies[stream] = event.headers, bytearray()
        elif isinstance(event, h2.events.DataReceived):
            self._bodies[event.stream_id] += event.data
            length = event.flow_controlled_length
            self._h2.acknowledge_received_data(length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded) and self._last is None:
            task = asyncio.create_task(self._answer(event.stream_id))
            self._answers.add(task)
            task.add_done_callback(self._answers.discard)

    async def _answer(self, stream: int) -> None:
        told = dict(self._heads[stream])
        headers = {name: value for name, value in told.items() if name[0] != ":"}
        headers["host"] = told[":authority"]
        body = bytes(self._bodies[stream])
        async with self._ask(told[":method"], told[":path"], headers, body) as answer:
            self._h2.send_headers(stream, [(":status", "103"), ("link", "</a>")])
            head = [(":status", str(answer.status))]
            head += [
                (name.lower(), value)
                for name, value in answer.headers.items()
                if name.lower() not in ("transfer-encoding", "connection")
            ]
            self._h2.send_headers(stream, head)
            self._send()
            if stream >= 2 * CALLS - 1 and self._last is None:
                self._last = self._h2.highest_inbound_stream_id
                # By hand: the library would take no more of the streams that are open.
                self._send_frame(7, 0, self._last.to_bytes(4) + bytes(4))
            async for piece in answer.content.iter_any():
                await self._write(stream, piece)
        self._h2.end_stream(stream)
        self._send()
        self._send_frame(3, stream, bytes(4))  # RST_STREAM, NO_ERROR
        if self._last is not None and self._answers == {asyncio.current_task()}:
            await self._writer.drain()
            self._writer.close()

    def _send_frame(self, kind: int, stream: int, payload: bytes) -> None:
        head = len(payload).to_bytes(3) + bytes([kind, 0]) + stream.to_bytes(4)
        self._writer.write(head + payload)

    async def _write(self, stream: int, piece: bytes) -> None:
        while piece:
            async with self._window:
                await self._window.wait_for(
                    lambda: self._h2.local_flow_control_window(stream) > 0
                )
            size = min(
                self._h2.local_flow_control_window(stream),
                self._h2.max_outbound_frame_size,
            )
            self._h2.send_data(stream, piece[:size])
            self._send()
            await self._writer.drain()
            piece = piece[size:]


class Http2Front:
    """Use as a context manager. It leads each call to a port on this machine, and counts them."""

    def __init__(self, pair: Path, target: int):
        self._target = f"https://127.0.0.1:{target}"
        self._tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._tls.load_cert_chain(pair)
        self._tls.set_alpn_protocols(["h2"])
        self._loop = asyncio.new_event_loop()
        self.port = 0
        self.calls = 0

    def __enter__(self) -> "Http2Front":
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._run(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: "asyncio._CoroutineLike[None]") -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _start(self) -> None:
        self._session = aiohttp.ClientSession(auto_decompress=False)
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", 0, ssl=self._tls
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def _stop(self) -> None:
        self._server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await self._session.close()

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            await _Connection(reader, writer, self._ask).run()
        writer.close()

    def _ask(
        self, method: str, path: str, headers: dict[str, str], body: bytes
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        self.calls += 1
        url = f"{self._target}{path}"
        return self._session.request(method, url, headers=headers, data=body, ssl=False)
