"""What a call costs each process of a whole Earthflow: CPU, memory, disk; and by that what many calls a second take. docs/sizing.md."""

import asyncio
import math
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import NamedTuple

import psycopg
import redis
import uvloop

from bench import streams, texts
from bench.audit import Ingested, ingested_alone
from bench.contest import conversation
from bench.load import CALL, Client, request, settings_for, upstream
from bench.process import resident, tree_seconds
from cli import ca_folder
from cli.settings import settings_of
from cli.stack import Stack
from cli.state_folder import claim
from cli.trust import bundle_path
from contract.proof import record_mac
from contract.streams import FIELD, MAC

CONNECTIONS, IDLE, SAMPLES = 8, 400, 500
CONVERSATIONS = 40  # a few texts of each are looked at anew with each turn, where a rule fired on them
REST = 10.0  # seconds in which nothing is asked
PROCESSES = ("proxy", "control", "PostgreSQL", "Redis")
# Of a core: what is left is for peaks, and for what a proxy does beside calls.
FULL = 0.7
RATES = (100, 1_000, 10_000)
STORED = 60.0  # seconds until what was sent is in PostgreSQL
SIZES = """SELECT (SELECT count(*) FROM completion),
    (SELECT sum(pg_total_relation_size(inhrelid)) FROM pg_inherits
     WHERE inhparent IN ('decision'::regclass, 'completion'::regclass)),
    (SELECT sum(length(record)) FROM decision) + (SELECT sum(length(record)) FROM completion)"""


class Cost(NamedTuple):
    """Of a kind of call: CPU milliseconds of each process, in the order of PROCESSES."""

    kind: str
    ms: tuple[float, ...]

    def less(self, other: "Cost", kind: str, times: int) -> "Cost":
        """What is left beyond another one, of each of so many."""
        return Cost(kind, tuple(max(0.0, ours - theirs) / times for ours, theirs in zip(self.ms, other.ms, strict=True)))  # fmt: skip

    @property
    def row(self) -> Sequence[str]:
        """Of the table."""
        return self.kind, *(f"{one:.2f}" for one in self.ms)


class Raw(NamedTuple):
    """Of so many calls of a kind: the seconds that they took, and those of each process's CPU."""

    kind: str
    calls: int
    took: float
    spent: Sequence[float]

    def beside(self, idle: Cost) -> Cost:
        """Of one call, without what the processes take when nothing is asked."""
        return Cost(
            self.kind,
            tuple(
                max(0.0, one * 1000 - alone * self.took) / self.calls
                for one, alone in zip(self.spent, idle.ms, strict=True)
            ),
        )


class Space(NamedTuple):
    """Bytes: of an exchange in PostgreSQL with its indexes, on the proxy's disk, in Redis's memory; of a connection that waits, in the proxy; of the proxy."""

    stored: float
    sent: float
    waiting: float
    connection: float
    proxy: int


class Sizing:
    """A stack under load."""

    def __init__(self, stack: Stack):
        assert stack.engines is not None
        folder = stack.engines.folder
        self._pids = [
            stack.services["proxy"].process.pid,
            stack.services["control"].process.pid,
            int((folder / "postgres" / "postmaster.pid").read_text().split()[0]),
            int((folder / "valkey" / "pid").read_text()),
        ]
        self._redis = stack.engines.redis_url
        self._database = psycopg.connect(stack.engines.database_url, autocommit=True)

    @property
    def proxy(self) -> int:
        """Its process."""
        return self._pids[0]

    def sizes(self) -> tuple[int, ...]:
        """Exchanges that are stored; bytes of their tables, and of their records."""
        row = self._database.execute(SIZES).fetchone()
        assert row is not None
        return tuple(int(one or 0) for one in row)

    def in_redis(self) -> float:
        """Bytes of Redis's memory that an exchange takes on its way, its two records with their MACs."""
        client, key = redis.Redis.from_url(self._redis), "ef:bench"
        for table in ("decision", "completion"):
            rows = self._database.execute(f"SELECT record FROM {table} LIMIT {SAMPLES}".encode())  # fmt: skip
            for (record,) in rows.fetchall():
                client.xadd(key, {FIELD: record, MAC: record_mac(bytes(32), record)})
        size = int(client.memory_usage(key, samples=0) or 0)
        client.delete(key)
        client.close()
        return size / SAMPLES

    async def cost(self, kind: str, client: Client, calls: Sequence[bytes]) -> Raw:
        """Send these, and wait until they are stored."""
        before, (stored, *_) = self._spent(), self.sizes()
        began = time.monotonic()
        if kind.startswith("a stream"):
            for _ in range(len(calls) // CONNECTIONS):
                await streams.read_all(client, streams.LONG)
        else:
            await client.send(calls)
        deadline = time.monotonic() + STORED
        while self.sizes()[0] < stored + len(calls):
            assert time.monotonic() < deadline, "records are not stored"
            await asyncio.sleep(0.5)
        took = time.monotonic() - began
        return Raw(kind, len(calls), took, self._since(before))

    async def rest(self) -> Cost:
        """What a second takes in which nothing is asked."""
        before = self._spent()
        await asyncio.sleep(REST)
        return Cost("a second without a call", tuple(one * 1000 / REST for one in self._since(before)))  # fmt: skip

    def _since(self, before: Sequence[float]) -> list[float]:
        return [now - then for now, then in zip(self._spent(), before, strict=True)]

    def _spent(self) -> list[float]:
        return [tree_seconds(pid) for pid in self._pids]


def kinds(rng: Random) -> Iterator[tuple[str, list[bytes], list[bytes]]]:
    """Kinds of calls: what was said before, and the calls, in as many as their figures need."""
    yield "1 KB, answered whole", [], [request(CALL)] * 4_000
    for turns, each in ((10, 50), (200, 20)):
        before, calls = [], []
        for _ in range(CONVERSATIONS):
            said = [f"{texts.text(rng, 500)}." for _ in range(turns)]
            first, *more = (request(conversation([*said, f"{texts.text(rng, 500)}."])) for _ in range(each + 1))  # fmt: skip
            before.append(first)
            calls += more
        yield f"a turn more after {turns} of 500 characters, answered whole", before, calls  # fmt: skip
    yield f"a stream of {streams.LONG} chunks, {streams.PACE * 1000:.0f} ms apart", [], [b""] * 80  # fmt: skip


async def measured(folder: Path, rng: Random) -> tuple[list[Cost], Space]:
    """All of it, on a stack of its own in the folder."""
    server, roots = await upstream(folder, streams.answer)
    extra = settings_for(server, roots)
    with Stack(settings_of(folder), lambda _: None, extra) as stack:
        sizing = Sizing(stack)
        client = Client(stack.port, stack.new_key or "", bundle_path(folder))
        await client.connect(CONNECTIONS)
        await sizing.cost("warm up", client, [request(CALL)] * 4_000)
        count, table, records = sizing.sizes()
        raw = []
        for kind, said, calls in kinds(rng):
            if said:
                await sizing.cost("warm up", client, said)
            raw.append(await sizing.cost(kind, client, calls))
            print(f"{kind}: {len(calls):,} calls", file=sys.stderr, flush=True)
        more, larger, sent = sizing.sizes()
        in_redis = sizing.in_redis()
        idle = await sizing.rest()
        before = resident(sizing.proxy)
        await client.connect(IDLE)
        await client.send([request(CALL)] * (CONNECTIONS + IDLE))
        after = resident(sizing.proxy)
        client.close()
    server.close()
    return [idle, *(one.beside(idle) for one in raw)], Space(
        (larger - table) / (more - count),
        (sent - records) / (more - count),
        in_redis,
        (after - before) / IDLE,
        before,
    )


def needs(
    costs: Sequence[Cost], batches: Ingested, space: Space
) -> Iterator[Sequence[str]]:
    """For so many calls a second: processors of each process, and what a day's records take.

    The busier control is, the larger its batches: what those cost counts.
    """
    for cost in costs:
        proxy, *_, redis = cost.ms
        for rate in RATES:
            cores = (rate * one / 1000 / FULL for one in (proxy, batches.control, batches.postgres, redis))  # fmt: skip
            a_day = rate * 86_400 * space.stored / 1e9
            yield f"{rate:,}", cost.kind, *(_cores(one) for one in cores), f"{a_day:,.0f}"  # fmt: skip


def _cores(count: float) -> str:
    return f"{count:.1f}" if count < 10 else f"{math.ceil(count):,}"


def run(rng: Random) -> tuple[list[Cost], Ingested, Space]:
    """Each in a folder of its own."""
    batches = asyncio.run(ingested_alone())
    with tempfile.TemporaryDirectory(prefix="earthflow-bench-", ignore_cleanup_errors=True) as name:  # fmt: skip
        folder = Path(name)
        ca_folder.write_local(claim(folder).folder / "ca")
        costs, space = uvloop.run(measured(folder, rng))
        return costs, batches, space
