"""Pretend providers on loopback:

OpenAI's and Anthropic's formats over real TLS, under their own CA, streaming at a
realistic pace.

They keep what they receive, so that a demo or a test can show what arrived and what did
not.
"""

import asyncio
import json
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from aiohttp import web

from contract.authority import issue, make_root
from contract.providers import ai_hosts

PACE = 0.03  # seconds between tokens
HOSTS = tuple(host for host in ai_hosts() if "*" not in host)

Wait = Callable[[int], Awaitable[None]]
Reply = Callable[[str], list[str]]  # the answer to a message of a WebSocket
# The answer to a call, from its path, its body and a text; None: the demo's own answer.
Answer = Callable[[str, dict[str, Any], str], Any]


class Given(NamedTuple):
    """An answer, byte by byte: its content type, its encoding, and the pieces in which
    it is sent.
    """

    content_type: str
    chunks: Sequence[bytes]
    encoding: str = ""
    status: int = 200
    paced: bool = False  # `wait` is awaited before each piece but the first
    # the pieces are the whole response, head included; then the connection closes
    raw: bool = False


@dataclass
class Heard:
    """A request as received."""

    host: str
    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body parsed."""
        return json.loads(self.body)


def _echo(message: str) -> list[str]:
    """The default answer to a WebSocket message."""
    return [message]


def _no_answer(path: str, call: dict[str, Any], text: str) -> None:
    """No own answer: the demo's is given."""


async def _pace(token: int) -> None:
    await asyncio.sleep(PACE)


@dataclass
class Providers:
    """Runs in its own thread, as a context manager.

    `wait` is awaited before each streamed token but the first. `answer` answers calls
    that the demo does not make.
    """

    folder: Path
    wait: Wait = _pace
    answer: Answer = _no_answer
    reply: Reply = _echo
    hosts: Sequence[str] = HOSTS
    heard: list[Heard] = field(default_factory=list)
    left: int = 0  # clients that left before their answer was complete
    closed: int | None = None  # how the last WebSocket was closed
    port: int = 0

    def __enter__(self) -> "Providers":
        authority = make_root("Pretend providers", days=30)
        self.ca_file = self.folder / "providers-ca.pem"
        self.ca_file.write_bytes(authority.pem)
        chain, key = issue(authority, list(self.hosts), days=30)
        pair = self.folder / "providers.pem"
        pair.write_bytes(key + chain)
        self._tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._tls.load_cert_chain(pair)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result()
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def upstream_map(self) -> str:
        """For EARTHFLOW_UPSTREAM_MAP."""
        return ",".join(f"{host}=127.0.0.1:{self.port}" for host in self.hosts)

    async def _start(self) -> None:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(
            self._runner, "127.0.0.1", self.port, ssl_context=self._tls
        ).start()
        self.port = self._runner.addresses[0][1]

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        heard = Heard(
            request.host,
            request.method,
            request.path,
            dict(request.headers),
            await request.read(),
        )
        self.heard.append(heard)
        if "upgrade" in request.headers:
            return await self._talk(request, heard)
        known = request.path in ("/v1/chat/completions", "/v1/messages")
        call = _parsed(heard.body)
        other = self.answer(request.path, call, f"You wrote {len(heard.body)} bytes.")
        if isinstance(other, Given):
            return await self._given(request, other)
        if not known:
            return web.json_response(
                {"object": "list", "data": []} if other is None else other
            )
        openai = request.path == "/v1/chat/completions"
        words = _answer(call, len(heard.body)).split(" ")
        if not call.get("stream"):
            return web.json_response(
                (_openai_whole if openai else _anthropic_whole)(call, " ".join(words))
            )
        response = web.StreamResponse(
            headers={"content-type": "text/event-stream", "cache-control": "no-cache"}
        )
        await response.prepare(request)
        async for event in self._events(call, words, openai):
            await response.write(event)
        return response

    async def _talk(self, request: web.Request, opened: Heard) -> web.StreamResponse:
        socket = web.WebSocketResponse(max_msg_size=0)
        await socket.prepare(request)
        async for message in socket:
            content = (
                message.data
                if isinstance(message.data, str)
                else bytes(message.data).decode("latin-1")
            )
            self.heard.append(
                Heard(opened.host, "MESSAGE", opened.path, {}, content.encode())
            )
            for said in self.reply(content):
                await socket.send_str(said)
        self.closed = socket.close_code
        return socket

    async def _given(self, request: web.Request, answer: Given) -> web.StreamResponse:
        if answer.raw and request.transport is not None:
            request.transport.writelines(answer.chunks)
            request.transport.close()
        headers = {
            "content-type": answer.content_type,
            **({"content-encoding": answer.encoding} if answer.encoding else {}),
        }
        response = web.StreamResponse(status=answer.status, headers=headers)
        await response.prepare(request)
        try:
            for number, chunk in enumerate(answer.chunks):
                if number and answer.paced:
                    await self.wait(number)
                await response.write(chunk)
        except ConnectionError:
            self.left += 1
        return response

    async def _events(
        self, call: dict[str, Any], words: list[str], openai: bool
    ) -> AsyncIterator[bytes]:
        for event in _anthropic_head(call) if not openai else ():
            yield event
        for number, word in enumerate(words):
            if number:
                await self.wait(number)
            text = word if number == 0 else f" {word}"
            yield _openai_delta(call, text) if openai else _anthropic_delta(text)
        for event in (
            _openai_tail(call, len(words)) if openai else _anthropic_tail(len(words))
        ):
            yield event


def _parsed(body: bytes) -> dict[str, Any]:
    """The call; empty where it is none."""
    try:
        call = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return call if isinstance(call, dict) else {}


def _answer(call: dict[str, Any], size: int) -> str:
    """A provider's text: what it was asked to repeat, or how much it read."""
    last = call["messages"][-1]["content"] if call.get("messages") else ""
    return (
        last
        if isinstance(last, str) and last.startswith("please repeat")
        else f"You wrote {size} bytes."
    )


def _openai_whole(call: dict[str, Any], text: str) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1", "object": "chat.completion", "created": 0, "model": call.get("model", ""),
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16},
    }  # fmt: skip


def _openai_chunk(call: dict[str, Any], choices: list[Any], **more: Any) -> bytes:
    chunk = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 0,
        "model": call.get("model", ""),
        "choices": choices,
        **more,
    }
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


def _openai_delta(call: dict[str, Any], text: str) -> bytes:
    return _openai_chunk(
        call,
        [
            {
                "index": 0,
                "delta": {"role": "assistant", "content": text},
                "finish_reason": None,
            }
        ],
    )


def _openai_tail(call: dict[str, Any], tokens: int) -> list[bytes]:
    tail = [_openai_chunk(call, [{"index": 0, "delta": {}, "finish_reason": "stop"}])]
    if (call.get("stream_options") or {}).get("include_usage"):
        tail.append(
            _openai_chunk(
                call,
                [],
                usage={
                    "prompt_tokens": 11,
                    "completion_tokens": tokens,
                    "total_tokens": 11 + tokens,
                },
            )
        )
    return [*tail, b"data: [DONE]\n\n"]


def _anthropic_whole(call: dict[str, Any], text: str) -> dict[str, Any]:
    return {
        "id": "msg_1", "type": "message", "role": "assistant", "model": call.get("model", ""),
        "content": [{"type": "text", "text": text}], "stop_reason": "end_turn", "stop_sequence": None,
        "usage": {"input_tokens": 12, "output_tokens": 5},
    }  # fmt: skip


def _event(kind: str, **more: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **more})}\n\n".encode()


def _anthropic_head(call: dict[str, Any]) -> list[bytes]:
    message = {
        **_anthropic_whole(call, ""),
        "content": [],
        "stop_reason": None,
        "usage": {"input_tokens": 12, "output_tokens": 1},
    }
    return [
        _event("message_start", message=message),
        _event(
            "content_block_start", index=0, content_block={"type": "text", "text": ""}
        ),
    ]


def _anthropic_delta(text: str) -> bytes:
    return _event(
        "content_block_delta", index=0, delta={"type": "text_delta", "text": text}
    )


def _anthropic_tail(tokens: int) -> list[bytes]:
    return [
        _event("content_block_stop", index=0),
        _event(
            "message_delta",
            delta={"stop_reason": "end_turn", "stop_sequence": None},
            usage={"output_tokens": tokens},
        ),
        _event("message_stop"),
    ]
