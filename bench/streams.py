"""Streamed answers of the upstream: one token after the other, at a pace."""

import asyncio
import json
import time
from random import Random

from bench import texts
from bench.load import Client, request

PACE = 0.004  # seconds between two chunks
# tokens of a stream: while the first is waited for, and while chunks are counted
SHORT = 6
LONG = 200
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"


def call(tokens: int) -> bytes:
    """A call for a stream of so many tokens."""
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
        await asyncio.sleep(PACE)
    writer.write(event({}, "stop") + chunked(b"data: [DONE]\n\n") + END)


async def first_token(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> float:
    """Seconds from the call to its first token; then the rest is read."""
    began = time.perf_counter()
    writer.write(call(SHORT))
    while (
        b'"content":"' not in (line := await reader.readline())
        or b'"content":""' in line
    ):
        pass
    taken = time.perf_counter() - began
    await reader.readuntil(END)
    return taken


async def read_all(client: Client, times: int) -> None:
    """A stream on each connection, that many times."""
    for _ in range(times):
        await asyncio.gather(*(_read(*stream) for stream in client.streams))


async def _read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(call(LONG))
    await reader.readuntil(b"[DONE]")
    await reader.readuntil(END)
