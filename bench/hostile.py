"""`make hostile`: what clients and upstreams can do at their worst, and what becomes meanwhile of memory and of a caller who means well.

Everything goes to loopback and ends by itself. Ends with 1 where memory or an outcome is out of bounds; latencies are shown, not judged,
since nobody else's load is known here.
"""

import asyncio
import base64
import json
import socket
import ssl
import sys
import tempfile
import time
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import brotli
import zstandard

from bench.load import ANSWER, CALL, HOST, Client, request
from cli.pretend import Providers
from cli.settings import settings_of
from cli.stack import Stack
from cli.state_folder import claim
from cli.trust import bundle_path

RATE = 50  # calls a second of the caller who means well
CALM_SECONDS = 10.0
MAX_GROWTH = 64.0  # MB; reliability.md, T15 and T16
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


@dataclass
class Watch:
    """The memory of a process, and the latencies of a caller, while something goes on."""

    pid: int
    caller: Client
    peak: float = 0.0
    taken: list[float] = field(default_factory=list)

    @property
    def memory(self) -> float:
        """Resident, MB."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return (
            next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))
            / 1024
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Look and call until the end."""
        self.peak, self.taken = self.memory, []
        tasks = [asyncio.create_task(self._look()), asyncio.create_task(self._call())]
        yield
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _look(self) -> None:
        while True:
            self.peak = max(self.peak, self.memory)
            await asyncio.sleep(0.02)

    async def _call(self) -> None:
        reader, writer = self.caller.streams[0]
        due = time.perf_counter()
        while True:
            writer.write(request(CALL))
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                int(line[15:])
                for line in head.split(b"\r\n")
                if line.lower().startswith(b"content-length:")
            )
            await reader.readexactly(length)
            self.taken.append((time.perf_counter() - due) * 1000)
            due = max(due + 1 / RATE, time.perf_counter())
            await asyncio.sleep(due - time.perf_counter())

    def latency(self) -> tuple[float, float]:
        """p50 and p99, ms."""
        taken = sorted(self.taken) or [0.0]
        return taken[len(taken) // 2], taken[len(taken) * 99 // 100]


@dataclass
class Attack:
    """What is done, and what must come of it; `run` says what came, and whether that is right."""

    name: str
    run: Callable[["Target"], Awaitable[tuple[str, bool]]]


@dataclass
class Target:
    """The proxy under attack, as somebody with a key of it."""

    port: int
    key: str
    trust: Path

    async def post(self, body: bytes, encoding: str = "") -> tuple[int, float]:
        """One call on a connection of its own: status, seconds from its last byte to the answer."""
        client = Client(self.port, self.key, self.trust)
        await client.connect(1)
        reader, writer = client.streams[0]
        more = f"Content-Encoding: {encoding}\r\n" if encoding else ""
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {HOST}\r\n{more}Content-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()
        began = time.perf_counter()
        status = int((await reader.readline()).split()[1])
        client.close()
        return status, time.perf_counter() - began


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


def _reply(message: str) -> list[str]:
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


async def run(folder: Path) -> int:
    """All of it; the exit status."""
    with Providers(
        folder, reply=_reply, answer=lambda *_: json.loads(ANSWER)
    ) as providers:
        extra = {
            "EARTHFLOW_UPSTREAM_MAP": providers.upstream_map,
            "EARTHFLOW_UPSTREAM_CA": str(providers.ca_file),
            "RATE_LIMIT_DEFAULT_RPM": "1000000",
        }
        with Stack(
            settings_of(folder), lambda line: print(line, file=sys.stderr), extra
        ) as stack:
            trust = bundle_path(folder)
            target = Target(stack.port, stack.new_key or "", trust)
            caller = Client(stack.port, target.key, trust)
            await caller.connect(1)
            watch = Watch(stack.services["proxy"].process.pid, caller)
            return await _attack(target, watch)


async def _attack(target: Target, watch: Watch) -> int:
    async with watch.running():
        await asyncio.sleep(CALM_SECONDS)
    async with watch.running():
        await asyncio.sleep(CALM_SECONDS)
    p50, p99 = watch.latency()
    print(
        f"calm: {RATE} calls a second, p50 {p50:.1f} ms, p99 {p99:.1f} ms, {watch.memory:.0f} MB\n"
    )
    print(
        "| attack | what came of it | memory, MB more at most | calls of others meanwhile: p50 / p99, ms | in bounds |"
    )
    print("|---|---|---|---|---|", flush=True)
    failed = 0
    for attack in ATTACKS:
        before = watch.memory
        async with watch.running():
            outcome, right = await attack.run(target)
        growth, (p50, p99) = watch.peak - before, watch.latency()
        fine = right and growth <= MAX_GROWTH
        failed += not fine
        print(
            f"| {attack.name} | {outcome} | {growth:.0f} | {p50:.1f} / {p99:.1f} | {'yes' if fine else 'NO'} |",
            flush=True,
        )
    return 1 if failed else 0


def main() -> None:
    """Run it in a folder of its own."""
    socket.setdefaulttimeout(60)
    with tempfile.TemporaryDirectory(
        prefix="earthflow-hostile-", ignore_cleanup_errors=True
    ) as folder:
        claim(Path(folder))
        sys.exit(asyncio.run(run(Path(folder))))


if __name__ == "__main__":
    main()
