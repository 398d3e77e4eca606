"""What clients have sent of old to bring a proxy down: half-open connections, heads without end, bombs, deep JSON, an hour of a WebSocket."""

import asyncio
import base64
import json
import ssl
import time
import zlib
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress

import aiohttp
import brotli
import zstandard

from bench.hostile.target import HOST, Attack, Target

HALF_OPEN, HEADS, SECONDS_TO_CLOSE = 1000, 100, 15
BOMB = 10 * 1024**3  # bytes that a bomb decodes to
PIECE = 64 * 1024 * 1024
ATTACKER = "127.0.0.2"
DEPTH, KEYS = 100_000, 1_000_000
# messages of a dialogue that lasts an hour: a piece of sound every 20 ms
AN_HOUR = 50 * 3600
SOUND = json.dumps(
    {
        "type": "input_audio_buffer.append",
        "audio": base64.b64encode(bytes(960)).decode(),
    }
)


async def _half_open(target: Target) -> tuple[str, bool]:
    """Four ways of coming and saying too little."""
    openings = (
        b"",
        b"CONNECT api.openai.com:443 HTTP/1.1\r\nX: ",
        b"\x16\x03\x01\x02",
        b"GET /hea",
    )

    async def one(number: int) -> float:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", target.port, local_addr=(ATTACKER, 0)
        )
        began = time.perf_counter()
        writer.write(openings[number % len(openings)])
        with suppress(ConnectionError):
            await reader.read()
        writer.close()
        return time.perf_counter() - began

    lasted = await asyncio.gather(*(one(number) for number in range(HALF_OPEN)))
    return f"all {HALF_OPEN} closed within {max(lasted):.1f} s", max(
        lasted
    ) < SECONDS_TO_CLOSE + 5


async def _heads(target: Target) -> tuple[str, bool]:
    """Heads without end."""

    async def one() -> bytes:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", target.port, local_addr=(ATTACKER, 0)
        )
        try:
            writer.write(b"CONNECT api.openai.com:443 HTTP/1.1\r\nX: ")
            for _ in range(1000):
                writer.write(b"a" * 65536)
                await writer.drain()
            return await reader.readline()
        except ConnectionError:
            return b"HTTP/1.1 431"
        finally:
            writer.close()

    said = await asyncio.gather(*(one() for _ in range(HEADS)))
    fine = sum(one.startswith(b"HTTP/1.1 431") or one == b"" for one in said)
    return f"{fine} of {HEADS} ended with 431", fine == HEADS


def _gzip_bomb() -> bytes:
    maker = zlib.compressobj(9, zlib.DEFLATED, 31)
    first = maker.compress(bytes(PIECE)) + maker.flush(zlib.Z_FULL_FLUSH)
    piece = maker.compress(bytes(PIECE)) + maker.flush(zlib.Z_FULL_FLUSH)
    return first + piece * (BOMB // PIECE - 1)


def _brotli_bomb() -> bytes:
    maker = brotli.Compressor(quality=5)
    pieces = [maker.process(bytes(PIECE)) + maker.flush() for _ in range(3)]
    return pieces[0] + pieces[1] + pieces[2] * (BOMB // PIECE - 2)


def _zstd_bomb() -> bytes:
    maker = zstandard.ZstdCompressor(level=3).compressobj()
    return (
        b"".join(maker.compress(bytes(PIECE)) for _ in range(BOMB // PIECE))
        + maker.flush()
    )


def _nested_bomb() -> bytes:
    return zlib.compress(_gzip_bomb(), 9)


def _bomb(
    make: Callable[[], bytes], encoding: str
) -> Callable[[Target], Awaitable[tuple[str, bool]]]:
    async def run(target: Target) -> tuple[str, bool]:
        body = await asyncio.to_thread(make)
        status, seconds = await target.post(body, encoding)
        return (
            f"{len(body) / 1024**2:.1f} MB -> 10 GB: {status} in {seconds:.2f} s",
            status == 400 and seconds < 1,
        )

    return run


def _bodies() -> Iterator[tuple[str, bytes]]:
    start, end = b'{"model":"m","messages":[{"role":"user","content":', b"}]}"
    yield f"JSON {DEPTH:,} deep", start + b"[" * DEPTH + b"]" * DEPTH + end
    yield (
        f"JSON with {KEYS:,} keys",
        b"{" + b",".join(b'"%d":0' % n for n in range(KEYS)) + b',"messages":[]}',
    )
    yield "a key that stands twice", start + b'"a","content":"b"' + end
    yield "half a surrogate pair", start + rb'"\ud800 and \udfff"' + end
    yield "1,000,000 digits", start + b"1" * 1_000_000 + end


def _body(name: str, body: bytes) -> Attack:
    async def run(target: Target) -> tuple[str, bool]:
        status, seconds = await target.post(body)
        return (
            f"{len(body) / 1024:.0f} KB: {status} in {seconds * 1000:.0f} ms",
            status in (200, 400),
        )

    return Attack(name, run)


async def _dialogue(target: Target) -> tuple[str, bool]:
    """An hour of a realtime dialogue, as fast as it goes."""
    context = ssl.create_default_context(cafile=str(target.trust))
    url = f"https://{HOST}/v1/realtime?model=m"
    proxy = f"http://127.0.0.1:{target.port}"
    told = {"Proxy-Authorization": aiohttp.encode_basic_auth("key", target.key)}
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(
            url, proxy=proxy, proxy_headers=told, ssl=context, max_msg_size=0
        ) as socket_,
    ):
        began = time.perf_counter()
        for number in range(AN_HOUR):
            await socket_.send_str(SOUND)
            if (
                number % 50 == 49
            ):  # what comes back is waited for, so that nothing piles up on our side
                await socket_.send_str(
                    json.dumps(
                        {
                            "type": "response.create",
                            "response": {"instructions": "go on"},
                        }
                    )
                )
                while (
                    json.loads((await socket_.receive()).data)["type"]
                    != "response.done"
                ):
                    pass
        seconds = time.perf_counter() - began
        closed = socket_.close_code
    return (
        f"{AN_HOUR:,} messages up and {AN_HOUR // 50:,} answers in {seconds:.0f} s",
        closed is None,
    )


def reply(message: str) -> list[str]:
    """What the pretend provider says to a message of the dialogue."""
    if "response.create" not in message:
        return []
    delta = {
        "type": "response.output_text.delta",
        "output_index": 0,
        "content_index": 0,
        "delta": "word ",
    }
    return [json.dumps(delta)] * 5 + [
        json.dumps({"type": "response.done", "response": {"status": "completed"}})
    ]


ATTACKS = (
    Attack(f"{HALF_OPEN:,} half-open connections", _half_open),
    Attack(f"{HEADS} heads of 64 MB", _heads),
    Attack("gzip bomb", _bomb(_gzip_bomb, "gzip")),
    Attack("brotli bomb", _bomb(_brotli_bomb, "br")),
    Attack("zstd bomb", _bomb(_zstd_bomb, "zstd")),
    Attack("gzip in deflate", _bomb(_nested_bomb, "gzip, deflate")),
    *(_body(name, body) for name, body in _bodies()),
    Attack("an hour of a WebSocket", _dialogue),
)
