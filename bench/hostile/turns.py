"""Attacks on everybody's turn: names nobody answers for, large events and calls, floods of control frames, clients that do not read.

Numbers are those with which a proxy was brought to a halt before.
"""

import asyncio
import json
import struct
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

import hpack

from bench.hostile.target import HOST, Attack, Target
from bench.load import CHAT
from cli.pretend import Given

SILENT, UNKNOWN = 30, 1_000  # names
HELD = 40  # answers that a client asks for and does not read
ANSWER = 20 * 1024 * 1024
SECONDS = 5  # for which it holds them
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
PING, SETTINGS, PRIORITY, RESET, WINDOW, HEADERS, DATA = 6, 4, 2, 3, 8, 1, 0


def frame(kind: int, stream: int, payload: bytes, flags: int = 0) -> bytes:
    """One of HTTP/2 (RFC 9113, 4.1)."""
    return (
        struct.pack(">I", len(payload))[1:]
        + struct.pack(">BBI", kind, flags, stream)
        + payload
    )


def call(stream: int, path: str, *, end: bool = True) -> bytes:
    """A GET, and whether it is whole with that."""
    fields = {":method": "GET", ":scheme": "https", ":authority": HOST, ":path": path}
    encoder = hpack.Encoder()
    encoder.header_table_size = 0
    return frame(HEADERS, stream, encoder.encode(list(fields.items())), 5 if end else 4)


async def _silent_names(target: Target) -> tuple[str, bool]:
    names = (f"silent{number}.example" for number in range(SILENT))
    got = Counter(await asyncio.gather(*map(target.tunnel, names)))
    return f"{dict(got)}", set(got) == {502}


async def _unknown_names(target: Target) -> tuple[str, bool]:
    got: Counter[int] = Counter()
    for start in range(0, UNKNOWN, 100):
        names = (f"nobody{start + number}.example" for number in range(100))
        got += Counter(await asyncio.gather(*map(target.tunnel, names)))
    return f"{dict(got)}", got.total() == UNKNOWN and 200 not in got


FLOODS: dict[str, Callable[[int], bytes]] = {
    "100,000 PING": lambda n: frame(PING, 0, b"12345678"),
    "50,000 SETTINGS": lambda n: frame(SETTINGS, 0, struct.pack(">HI", 5, 16384)),
    "50,000 PRIORITY": lambda n: frame(PRIORITY, 2 * n + 1, bytes(4) + b"\x10"),
    "100,000 WINDOW_UPDATE": lambda n: frame(WINDOW, 0, struct.pack(">I", 1)),
    "5,000 calls that are reset": lambda n: (
        call(2 * n + 1, "/v1/models") + frame(RESET, 2 * n + 1, struct.pack(">I", 8))
    ),
    "100,000 empty pieces of a call": lambda n: (
        frame(DATA, 1, b"") if n else call(1, "/v1/models", end=False)
    ),
}


def _flood(name: str) -> Callable[[Target], object]:
    count = int(name.split()[0].replace(",", ""))

    async def run(target: Target) -> tuple[str, bool]:
        made = b"".join(FLOODS[name](number) for number in range(count))
        reader, writer = await target.http2()
        said = b""
        with suppress(OSError):
            writer.write(PREFACE + frame(SETTINGS, 0, b"") + made)
            reading = asyncio.create_task(reader.read())
            await writer.drain()
            said = await asyncio.wait_for(reading, 60)
        writer.close()
        calm = b"\x00\x00\x00\x0b" in said  # ENHANCE_YOUR_CALM
        return f"{len(made) / 1024:.0f} KB: {'ENHANCE_YOUR_CALM' if calm else 'ended'}", True  # fmt: skip

    return run


async def _not_read(target: Target) -> tuple[str, bool]:
    reader, writer = await target.http2()
    no_window = frame(SETTINGS, 0, struct.pack(">HI", 4, 0))
    calls = b"".join(call(2 * number + 1, "/v1/files/large/content") for number in range(HELD))  # fmt: skip
    writer.write(PREFACE + no_window + calls)
    await writer.drain()
    with suppress(TimeoutError):
        async with asyncio.timeout(SECONDS):
            while await reader.read(65536):
                pass
    writer.close()
    return f"held for {SECONDS} s, then left", True


def _answers(name: str, count: int) -> Callable[[Target], object]:
    body = json.dumps({"model": name, "messages": [], "stream": True}).encode()

    async def run(target: Target) -> tuple[str, bool]:
        got = await asyncio.gather(*(target.read(body) for _ in range(count)))
        return f"{count} of {min(got) / 1024:.0f} KB", min(got) > 100_000

    return run


def _posts(
    make: Callable[[], bytes], count: int, path: str = CHAT
) -> Callable[[Target], object]:
    async def run(target: Target) -> tuple[str, bool]:
        body = await asyncio.to_thread(make)
        asked = (target.post(body, path=path) for _ in range(count))
        done = await asyncio.gather(*asked)
        told = Counter(status for status, _ in done)
        took = max(seconds for _, seconds in done)
        return (
            f"{count} of {len(body) / 1024:.0f} KB: {dict(told)} within {took:.1f} s",
            set(told) == {200},
        )

    return run


def _said(content: object) -> bytes:
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": content}]}).encode()  # fmt: skip


def _keys() -> bytes:
    return json.dumps({"model": "m", "messages": [], "more": {f"k{n}": n for n in range(95_000)}}).encode()  # fmt: skip


def _cards() -> bytes:
    return _said("4111 1111 1111 1112 " * (30 * 1024 * 1024 // 20))


def _tokens() -> bytes:
    return json.dumps({"model": "m", "input": [n % 100_000 for n in range(210_000)]}).encode()  # fmt: skip


def given(path: str, call: Mapping[str, object], *_: object) -> Given | None:
    """What the pretend provider answers to these attacks."""
    if path == "/v1/files/large/content":
        return Given("image/png", [bytes(65536)] * (ANSWER // 65536))
    if call.get("model") == "event":
        texts = [f"text {number}" for number in range(60_000)]
        event = json.dumps({"object": "x", "list": texts}).encode()  # 1.1 MB
        return Given("text/event-stream", [b"data: " + event + b"\n\n"])
    if call.get("model") == "vectors":
        vector = [round(0.001 * (number % 1999) - 1, 7) for number in range(1536)]
        rows = [{"index": n, "embedding": vector} for n in range(100)]
        return Given("application/json", [json.dumps({"data": rows}).encode()])
    return None


ATTACKS: Sequence[Attack] = (
    Attack(f"{SILENT} names that no server answers for", _silent_names),
    Attack(f"{UNKNOWN:,} tunnels to names that nobody has", _unknown_names),
    Attack("events of 60,000 texts", _answers("event", 4)),
    Attack("100 vectors of 1,536 numbers", _answers("vectors", 4)),
    Attack("calls of 210,000 token ids", _posts(_tokens, 4, "/v1/embeddings")),
    Attack("calls of 95,000 keys", _posts(_keys, 8)),
    Attack("calls that look like cards", _posts(_cards, 4)),
    *(Attack(name, _flood(name)) for name in FLOODS),
    Attack(f"{HELD} answers of 20 MB that nobody reads", _not_read),
)
