"""Streamed answers of the upstream: one token after the other, at a pace."""

import asyncio
import json
import time
from random import Random

from bench import texts
from bench.load import Client, request

PACE = 0.004  # seconds between two chunks; a long stream is ten times as fast
# tokens of a stream: while the first is waited for, and while chunks are counted
SHORT = 6
LONG, VERY_LONG = 200, 2_000
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"


def call(tokens: int) -> bytes:
    """A call for a stream of this many tokens."""
    body = {
        "model": "gpt-5.2",
        "stream": True,
        "max_tokens": tokens,
        "messages": [{"role": "user", "content": "Tell me."}],
    }
    return request(json.dumps(body).encode())


def event(delta: dict[str, str], finish: str | None = None) -> bytes:
    """One event, as HTTP/1.1 sends it in a chunk of its own."""
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    chunk = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "gpt-5.2",
        "choices": [choice],
    }
    return chunked(
        b"data: " + json.dumps(chunk, separators=(",", ":")).encode() + b"\n\n"
    )


def chunked(data: bytes) -> bytes:
    """One chunk."""
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


async def answer(writer: asyncio.StreamWriter, tokens: int) -> None:
    """What the upstream says to such a call: one token, and then one by one at its pace."""
    words = texts.text(Random(tokens), tokens * 8).split(" ")[:tokens]
    writer.write(HEAD + event({"role": "assistant", "content": ""}))
    for word in words:
        writer.write(event({"content": f"{word} "}))
        await asyncio.sleep(PACE if tokens < VERY_LONG else PACE / 10)
    writer.write(event({}, "stop") + chunked(b"data: [DONE]\n\n") + END)


async def first_token(client: Client) -> float:
    """Seconds from a call on the first connection to its first token; then the rest is read."""
    reader, writer = client.streams[0]
    began = time.perf_counter()
    writer.write(client.written(call(SHORT)))
    while (
        b'"content":"' not in (line := await reader.readline())
        or b'"content":""' in line
    ):
        pass
    taken = time.perf_counter() - began
    await reader.readuntil(END)
    return taken


async def read_all(client: Client, tokens: int) -> None:
    """A stream of this many tokens on each connection."""
    await asyncio.gather(*(_read(client, *one, tokens) for one in client.streams))


async def _read(
    client: Client,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    tokens: int,
) -> None:
    writer.write(client.written(call(tokens)))
    end = b""
    while not end.endswith(END):
        data = await reader.read(64 * 1024)
        if not data:
            raise ConnectionError("a stream has no end")
        end = (end + data)[-len(END) :]
