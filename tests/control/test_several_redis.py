"""Redis by Sentinels and as a Cluster, real ones: what proxies send is stored once, through a failover, a move of slots, and a shard that is away."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
import redis.asyncio as aioredis
from pydantic import SecretStr
from redis.crc import key_slot

from addons.record import outbox as module
from addons.record.outbox import Outbox
from addons.record.spool import Spool
from addons.tenants.rate_limit import RateLimiter
from addons.tenants.remembered import Remembered
from contract.decision import Place, Record
from contract.redis_client import connect
from contract.streams import LANES
from control.jobs import ingest
from control.redis_queue import Queue, redis_fault, waiting
from control.state import State
from control.store import audit
from tests.addons.test_limits import RATE, caller
from tests.control.test_ingest import decision
from tests.support.house import PATIENCE
from tests.support.redis_servers import Cluster, Server, WithSentinels

TIMEOUT = 1.0  # seconds for an answer of Redis
WORKERS, EACH = 12, 40  # proxies, and records of each in a round


@asynccontextmanager
async def client_of(url: str) -> AsyncIterator["aioredis.Redis"]:
    made = connect(url, TIMEOUT)
    try:
        yield made
    finally:
        await made.aclose()


class Proxies:
    """The sending half of several proxies, each with a spool and a client of its own."""

    def __init__(self, state: State, folder: Path, url: str):
        self.clients = [connect(url, TIMEOUT) for _ in range(WORKERS)]
        self.outboxes = [
            Outbox(Spool(folder / f"w{number}"), client, self._watermark)
            for number, client in enumerate(self.clients)
        ]
        self._state, self.written = state, 0

    async def _watermark(self, worker: str, boot: str) -> int | None:
        return await audit.watermark_of(self._state.pool, worker, boot)

    def write(self) -> None:
        """A round of records of each proxy."""
        for outbox in self.outboxes:
            for _ in range(EACH):
                outbox.spool.append(_decision)
                self.written += 1

    @asynccontextmanager
    async def sending(self) -> AsyncIterator[None]:
        """Send, and have control store, for the length of the block."""
        jobs = [asyncio.create_task(outbox.run()) for outbox in self.outboxes]
        jobs.append(asyncio.create_task(ingest.run(self._state)))
        try:
            yield
        finally:
            for job in jobs:
                job.cancel()
            await asyncio.gather(*jobs, return_exceptions=True)
            for outbox, client in zip(self.outboxes, self.clients, strict=True):
                outbox.spool.close()
                await client.aclose()

    async def stored(self) -> Counter[str]:
        """By worker, how many records PostgreSQL holds."""
        async with self._state.pool.connection() as connection:
            rows = await connection.execute("SELECT tenant, count(*) AS n FROM decision GROUP BY tenant")  # fmt: skip
            return Counter({row["tenant"]: row["n"] for row in await rows.fetchall()})

    async def until_stored(self, count: int | None = None) -> None:
        """Until so many records are stored, or all that were written."""
        wanted = self.written if count is None else count
        async with asyncio.timeout(PATIENCE):
            while (await self.stored()).total() < wanted:
                await asyncio.sleep(0.05)


def _decision(place: Place) -> Record:
    return msgspec.structs.replace(
        decision(place.seq, tenant=place.worker), place=place
    )


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHECK_SECONDS", 0.2)
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.1)


def use(state: State, url: str) -> None:
    """Have control use this Redis."""
    state.redis = connect(url, TIMEOUT)
    state.settings = state.settings.model_copy(update={"redis_url": SecretStr(url)})


async def counted(state: State) -> int:
    """Decisions by the metrics, which rise in the transaction that stores a record: one that came twice would show."""
    async with state.pool.connection() as connection:
        rows = await connection.execute("SELECT coalesce(sum(value), 0)::int AS n FROM tally WHERE name = 'decisions'")  # fmt: skip
        [row] = await rows.fetchall()
        return int(row["n"])


async def test_a_failover_loses_nothing_and_doubles_nothing(
    state: State, tmp_path: Path
) -> None:
    with WithSentinels() as servers:
        use(state, servers.url)
        proxies = Proxies(state, tmp_path, servers.url)
        async with proxies.sending():
            proxies.write()
            await proxies.until_stored()
            proxies.write()
            servers.primary.kill()
            proxies.write()
            assert await redis_fault(state.redis) is not None
            await asyncio.to_thread(servers.wait_for_failover)
            proxies.write()
            await proxies.until_stored()
            assert await redis_fault(state.redis) is None
            # The old primary returns, and learns that it is none.
            await asyncio.to_thread(servers.primary.start)
            proxies.write()
            await proxies.until_stored()
        assert (await proxies.stored()).total() == proxies.written
        assert await counted(state) == proxies.written
        await state.redis.aclose()


async def test_sentinels_that_know_no_primary_are_named(tmp_path: Path) -> None:
    with WithSentinels() as servers:
        async with client_of(servers.url.replace("/records", "/other")) as client:
            assert await redis_fault(client) == "has no primary; see its Sentinels"
            assert await waiting(client) is None
    async with client_of("redis+sentinel://127.0.0.1:1/records") as client:
        assert await redis_fault(client) is not None


LEAVE = {"killed": (Server.kill, Server.start), "hanging": (Server.hang, Server.resume)}


@pytest.mark.parametrize("how", LEAVE)
async def test_a_cluster_that_moves_slots_and_loses_a_shard_stores_all_once(
    state: State, tmp_path: Path, how: str
) -> None:
    leave, come_back = LEAVE[how]
    with Cluster() as cluster:
        one, two, three = cluster.servers
        use(state, cluster.url)
        proxies = Proxies(state, tmp_path, cluster.url)
        async with proxies.sending():
            proxies.write()
            await proxies.until_stored()
            # Every lane of the first shard moves to the second, under load.
            for lane in LANES:
                if (slot := key_slot(lane.records.encode())) < 16384 // 3:
                    proxies.outboxes[0].spool.append(_decision)
                    proxies.written += 1
                    await asyncio.to_thread(cluster.move, slot, one, two)
            proxies.write()
            await proxies.until_stored()
            # A shard is away: its lanes wait, and no others.
            leave(three)
            before = await proxies.stored()
            proxies.write()
            lanes = {outbox.spool.worker: outbox.stream for outbox in proxies.outboxes if outbox.stream}  # fmt: skip
            assert len(lanes) == WORKERS
            away = {worker for worker, lane in lanes.items() if key_slot(lane.records.encode()) >= 2 * (16384 // 3)}  # fmt: skip
            there = (len(lanes) - len(away)) * EACH
            await proxies.until_stored(before.total() + there)
            assert await redis_fault(state.redis) is not None
            async with asyncio.timeout(PATIENCE):
                while (
                    not state.ingest_detail
                ):  # said once what was read is acknowledged
                    await asyncio.sleep(0.05)
            stored = await proxies.stored()
            assert {worker: stored[worker] - before[worker] for worker in lanes} == {
                worker: 0 if worker in away else EACH for worker in lanes
            }
            await asyncio.to_thread(come_back, three)
            await proxies.until_stored()
            # What was stored before the shard was away is acknowledged once its lanes are read again.
            async with asyncio.timeout(PATIENCE):
                while await waiting(state.redis) != Queue(0, 0.0):
                    await asyncio.sleep(0.05)
        assert (await proxies.stored()).total() == proxies.written
        assert await counted(state) == proxies.written
        await state.redis.aclose()


async def test_limits_and_what_is_remembered_are_shared_by_a_cluster() -> None:
    with Cluster() as cluster:
        async with client_of(cluster.url) as first, client_of(cluster.url) as second:
            one, other = Remembered(first), Remembered(second)
            limits = [RateLimiter(client, f"w{number}") for number, client in enumerate((first, second))]  # fmt: skip
            await asyncio.gather(*(first.ping(target_nodes="primaries"), second.ping()))  # fmt: skip
            for tenant in (f"tenant-{number}" for number in range(12)):
                await one.remember("refused", tenant, {b"hash": b"kept"})
                assert await other.recall("refused", tenant, [b"hash"]) == {b"hash": b"kept"}  # fmt: skip
                allowed = []
                for limiter in limits:
                    # A burst of one call, for both together.
                    enquiry = limiter.ask(caller(tenant, 60), RATE)
                    assert enquiry.answer is not None
                    allowed.append((await enquiry.answer)[0])
                assert allowed == [1, 0]
            kept = [server.client.dbsize() for server in cluster.servers]
            assert min(kept) > 0
