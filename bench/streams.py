"""StreamedAnswer answers: how much later their first token comes through Earthflow, and what each chunk costs beside bare mitmproxy."""

import asyncio
import json
import sys
import time
from collections.abc import Mapping, Sequence
from random import Random

from bench import texts
from bench.load import Client, request, spread
from bench.process import cpu_seconds

# streams whose first token is waited for; seconds between the chunks of any stream
FIRST = 300
PACE = 0.004
# tokens of a stream: while the first is waited for, and while chunks are counted
SHORT = 6
LONG = 200
STREAMS, ROUNDS = 8, 7
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


async def first_tokens(clients: Mapping[str, Client]) -> None:
    """Each way, in turns; the first one is straight to the upstream."""
    taken: dict[str, list[float]] = {name: [] for name in clients}
    for _ in range(FIRST):
        for name, client in clients.items():
            taken[name].append(await first_token(*client.streams[0]) * 1000)
    middle, last = FIRST // 2, FIRST * 99 // 100
    print(
        f"time to the first token, {FIRST} streams each in turns, rules on answers on (preset default), ms"
    )
    straight = sorted(next(iter(taken.values())))
    for name, times in taken.items():
        times.sort()
        added = f"   added p50 {times[middle] - straight[middle]:.2f}   p99 {times[last] - straight[last]:.2f}"
        print(
            f"{name}".ljust(20)
            + f" p50 {times[middle]:.2f}   p99 {times[last]:.2f}"
            + (added if times is not straight else "")
        )


async def chunks(client: Client, pid: int) -> float:
    """CPU milliseconds of a proxy per chunk."""
    before = cpu_seconds(pid)
    await asyncio.gather(*(_read(*stream) for stream in client.streams[:STREAMS]))
    return (cpu_seconds(pid) - before) * 1000 / (STREAMS * LONG)


async def read_all(client: Client, times: int) -> None:
    """A stream on each connection, that many times."""
    for _ in range(times):
        await asyncio.gather(*(_read(*stream) for stream in client.streams))


async def _read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(call(LONG))
    await reader.readuntil(b"[DONE]")
    await reader.readuntil(END)


async def each_chunk(
    ours: Client, our_pid: int, theirs: Client, their_pid: int
) -> None:
    """Both proxies in turns."""
    for client, pid in ((ours, our_pid), (theirs, their_pid)):
        await chunks(client, pid)
    earthflow: list[float] = []
    bare: list[float] = []
    for number in range(ROUNDS):
        bare.append(await chunks(theirs, their_pid))
        earthflow.append(await chunks(ours, our_pid))
        print(f"round {number + 1} of {ROUNDS}", file=sys.stderr)
    report(earthflow, bare)


def report(earthflow: Sequence[float], bare: Sequence[float]) -> None:
    """What each chunk cost."""
    print(
        f"proxy CPU per streamed chunk, {STREAMS} streams of {LONG} chunks each {PACE * 1000:.0f} ms, {ROUNDS} rounds in turns"
    )
    print(f"bare mitmproxy, ms                 {spread(bare)}")
    print(f"Earthflow, everything on, ms       {spread(earthflow)}")
    print(
        f"ratio, each pair of rounds         {spread([ours / theirs for ours, theirs in zip(earthflow, bare, strict=True)])}"
    )
