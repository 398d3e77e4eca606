"""A thousand wrong keys a second: what becomes of a caller with a right one; and whether the time that a wrong key takes says anything."""

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import aiohttp

from bench.process import cpu_seconds
from cli.settings import settings_of
from cli.stack import Stack
from cli.state_folder import claim
from contract import keys

RATE, WRONG, SECONDS, ROUNDS = 50, 1000, 8.0, 3
CONNECTIONS = (10, 300)  # by which they come; each is slowed to four a second
TRIES = 100_000


async def called(
    session: aiohttp.ClientSession, url: str, key: str, of: str = ""
) -> tuple[int, float]:
    """A call's status, and what it took in ms; `of` another address, by which wrong keys are counted."""
    began = time.perf_counter()
    async with session.get(
        url, headers={"X-API-Key": key, "X-Forwarded-For": of}
    ) as answer:
        await answer.read()
        return answer.status, (time.perf_counter() - began) * 1000


async def caller(
    session: aiohttp.ClientSession, url: str, key: str, seconds: float
) -> list[float]:
    """A right key, 50 times a second: what each call took."""
    taken, due = [], time.perf_counter()
    until = due + seconds
    while due < until:
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        status, took = await called(session, url, key)
        assert status == 200
        taken.append(took)
        due += 1 / RATE
    return taken


FLOOD = """
import asyncio, sys, time
sys.path.insert(0, {root!r})
from contract import keys
async def one(texts, until, begins):
    await asyncio.sleep(begins)
    reader, writer = await asyncio.open_connection("127.0.0.1", {port})
    due = time.monotonic()
    while time.monotonic() < until:
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        writer.write(b"GET /v1/audit HTTP/1.1\\r\\nHost: x\\r\\nX-API-Key: " + next(texts).encode() + b"\\r\\n\\r\\n")
        head = await reader.readuntil(b"\\r\\n\\r\\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\\r\\n")[0])
        await reader.readexactly(length)
        due = max(due + {pause}, time.monotonic())
    writer.close()
async def main():
    made = [keys.mint().text for _ in range(2000)]
    until = time.monotonic() + {seconds}
    await asyncio.gather(*(one(iter(made[n % 1000:] * 100), until, n / {wrong}) for n in range({connections})))
asyncio.run(main())
"""


async def flooded(
    session: aiohttp.ClientSession,
    url: str,
    key: str,
    port: int,
    pid: int,
    connections: int,
) -> tuple[list[float], float]:
    """The same while another process sends wrong keys; and what part of a core control took."""
    source = FLOOD.format(
        root=str(Path(__file__).resolve().parent.parent),
        port=port,
        wrong=WRONG,
        pause=connections / WRONG,
        connections=connections,
        seconds=SECONDS + 3,
    )
    process = await asyncio.create_subprocess_exec("nice", sys.executable, "-c", source)
    await asyncio.sleep(4)  # it makes its keys, and connects
    before = cpu_seconds(pid)
    taken = await caller(session, url, key, SECONDS)
    share = (cpu_seconds(pid) - before) / SECONDS
    await process.wait()
    return taken, share


def p99(taken: Sequence[float]) -> float:
    """In ms."""
    return sorted(taken)[int(len(taken) * 0.99)]


async def timing(
    session: aiohttp.ClientSession, url: str, known: str
) -> tuple[float, float]:
    """Wrong keys of one kind against those of another, in turns: how much longer one takes (µs, trimmed means), and Welch's t of it.

    One is of a key that there is, with another secret; the other of none.
    """
    prefix = known.split("_")[2]
    taken: tuple[list[float], list[float]] = ([], [])
    for number in range(TRIES):
        kind = number % 2
        minted = keys.mint()
        text = (
            minted.text if kind else _with_checksum(f"ef_live_{prefix}_{minted.secret}")
        )
        taken[kind].append(
            (await called(session, url, text, str(number // 10)))[1] * 1000
        )
    trimmed = [sorted(each)[: int(len(each) * 0.9)] for each in taken]
    first, second = (statistics.fmean(each) for each in trimmed)
    spread = sum(statistics.variance(each) / len(each) for each in trimmed) ** 0.5
    return first - second, (first - second) / spread


def _with_checksum(body: str) -> str:
    return f"{body}_{keys._checksum(body)}"


async def run(folder: Path) -> None:
    """Both."""
    with Stack(
        settings_of(folder), lambda _: None, {"EARTHFLOW_LOG_LEVEL": "WARN"}
    ) as stack:
        made = stack.control.post("/v1/tenants", {"name": "Bench"})
        url = f"{stack.control.url}/v1/tenants/{made['id']}"
        port = stack.services["control"].port
        async with aiohttp.ClientSession() as session:
            for _ in range(200):
                await called(session, url, made["api_key"])
            pid = stack.services["control"].process.pid
            for number, connections in [
                (number, connections)
                for number in range(1, ROUNDS + 1)
                for connections in CONNECTIONS
            ]:
                calm = await caller(session, url, made["api_key"], SECONDS)
                wrong, share = await flooded(
                    session, url, made["api_key"], port, pid, connections
                )
                print(
                    f"round {number}: p99 {p99(calm):.1f} ms calm, {p99(wrong):.1f} ms under a flood of {WRONG}/s by {connections} connections; "
                    f"p50 {statistics.median(calm):.1f} and {statistics.median(wrong):.1f}; control took {share:.0%} of a core",
                    flush=True,
                )
            difference, t = await timing(
                session, f"{stack.control.url}/v1/audit", made["api_key"]
            )
            print(
                f"{TRIES:,} wrong keys: of a key that there is {difference:+.2f} µs against one of none, t = {t:+.2f}"
            )


def main() -> None:
    """Print what came out."""
    with tempfile.TemporaryDirectory(prefix="ef-flood-") as folder:
        asyncio.run(run(claim(Path(folder)).folder))
