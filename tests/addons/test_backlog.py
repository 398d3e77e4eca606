"""What waits in a spool is told exactly: records, bytes and age, across restarts, torn ends and what Redis took."""

import asyncio
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
import redis.asyncio as aioredis
from hypothesis import given
from hypothesis import strategies as st
from redis import exceptions

from addons.record import outbox as outbox_module
from addons.record import spool as spool_module
from addons.record.backlog import backlog_of
from addons.record.outbox import Outbox
from addons.record.spool import Spool, count_frames
from cli.engines import Engines
from contract.decision import Decision, Place, new_id
from contract.redis_faults import AWAY, fault_by


def written(spool: Spool, count: int, made: float | None = None) -> None:
    for _ in range(count):
        spool.append(lambda place: decision(place, made))


def decision(place: Place, made: float | None = None) -> Decision:
    return Decision(
        id=new_id(made), time=datetime.now(UTC), place=place, tenant="t", key="k", action="ALLOW", coverage="full", host="h",
    )  # fmt: skip


async def none(worker: str, boot: str) -> int | None:
    return None


def outbox_of(spool: Spool, url: str = "redis://127.0.0.1:1") -> Outbox:
    return Outbox(spool, aioredis.Redis.from_url(url), none)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool_module, "SEGMENT_BYTES", 2_000)


def test_what_waits_is_counted_over_segments_and_restarts(
    tmp_path: Path, small: None
) -> None:
    first = Spool(tmp_path)
    written(first, 30, time.time() - 100)
    first.close()
    again = Spool(tmp_path)
    written(again, 12)
    assert len(again.segments()) > 5
    found = backlog_of([outbox_of(again)])
    assert found.records == 42
    assert found.bytes == found.kept == sum(path.stat().st_size for path in again.segments())  # fmt: skip
    assert found.oldest is not None
    assert 100 <= found.oldest < 160
    again.close()


async def test_what_redis_took_waits_no_more(
    tmp_path: Path, small: None, engines: Engines
) -> None:
    spool = Spool(tmp_path)
    written(spool, 30)
    sender = outbox_of(spool, engines.redis_url)
    await sender.flush()
    found = backlog_of([sender])
    assert (found.records, found.bytes, found.oldest) == (0, 0, None)
    assert found.kept > 0
    written(spool, 3)
    found = backlog_of([sender])
    assert (found.records, found.oldest is not None) == (3, True)
    spool.close()


def test_an_empty_spool_has_no_backlog(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    assert backlog_of([outbox_of(spool)]) == (0, 0, 0, None)
    spool.close()


@given(whole=st.integers(0, 5), torn=st.integers(0, 300))
def test_frames_are_counted_up_to_a_torn_end(
    tmp_path_factory: pytest.TempPathFactory, whole: int, torn: int
) -> None:
    spool = Spool(tmp_path_factory.mktemp("spool"))
    written(spool, whole + 1)
    (segment,) = spool.segments()
    content = segment.read_bytes()
    ends = [behind for _, behind in spool_module.read_frames(segment)]
    spool.close()
    cut = min(ends[-1] - 1, (ends[whole - 1] if whole else 0) + torn)
    segment.write_bytes(content[:cut])
    assert count_frames(segment) == sum(end <= cut for end in ends)


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (exceptions.AuthenticationError("WRONGPASS x"), "password"), (exceptions.ResponseError("NOAUTH Authentication required."), "password"), (exceptions.NoPermissionError("x"), "ACL"),
        (exceptions.BusyLoadingError("x"), "loading"), (exceptions.ReadOnlyError("x"), "only reads"), (exceptions.OutOfMemoryError("x"), "memory"),
        (exceptions.ResponseError("MISCONF Redis is configured to save RDB snapshots"), "disk"), (exceptions.ConnectionError("secret@host"), AWAY), (exceptions.TimeoutError(), AWAY),
        (OSError("x"), AWAY), (exceptions.ResponseError("ERR something"), AWAY),
    ],
)  # fmt: skip
def test_each_fault_of_redis_has_its_own_words(error: Exception, word: str) -> None:
    said = fault_by(error)
    assert word in said
    assert "secret" not in said


async def test_a_proxy_says_what_redis_lacks(
    tmp_path: Path, engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(tmp_path)
    sender = outbox_of(spool, engines.redis_url)
    monkeypatch.setattr(outbox_module, "RETRY_SECONDS", 0.01)
    client = aioredis.Redis.from_url(engines.redis_url)
    running = asyncio.create_task(sender.run())
    await client.config_set("maxmemory", "1")
    try:
        written(spool, 1)
        async with asyncio.timeout(20):
            while "memory" not in sender.fault:
                await asyncio.sleep(0.01)
    finally:
        await client.config_set("maxmemory", "0")
    async with asyncio.timeout(20):
        while sender.fault or backlog_of([sender]).records:
            await asyncio.sleep(0.01)
    running.cancel()
    await client.aclose()
    spool.close()
