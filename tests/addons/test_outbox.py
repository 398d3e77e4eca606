"""Spool to Redis: what Redis loses is sent again, what PostgreSQL holds leaves the disk, what is damaged is kept aside. A real Valkey."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import redis.asyncio as aioredis

from addons.record import outbox as module
from addons.record import spool as spool_module
from addons.record.outbox import Outbox
from addons.record.spool import Spool
from cli.engines import Engines
from contract.decision import Completion, Place, Record, decode, new_id
from contract.streams import FIELD, ONE
from tests.support.house import PATIENCE


@pytest.fixture
async def valkey(
    engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator["aioredis.Redis"]:
    monkeypatch.setattr(module, "CHECK_SECONDS", 0.05)
    monkeypatch.setattr(spool_module, "SEGMENT_BYTES", 1000)
    client = aioredis.Redis.from_url(engines.redis_url)
    await client.flushall()
    yield client
    await client.aclose()


class Control:
    """What PostgreSQL is said to hold."""

    def __init__(self) -> None:
        self.stored = -1

    async def watermark(self, worker: str, boot: str) -> int | None:
        return self.stored


def write(spool: Spool, count: int) -> None:
    def make(place: Place) -> Record:
        return Completion(
            id=new_id(),
            time=datetime.now(UTC),
            place=place,
            tenant="t",
            outcome="ok",
            duration_ms=1,
        )

    for _ in range(count):
        spool.append(make)


async def seqs(valkey: "aioredis.Redis") -> set[int]:
    return {
        decode(fields[FIELD]).place.seq
        for _, fields in await valkey.xrange(ONE.records)
    }


async def until(outbox: Outbox, wanted: object) -> None:
    assert callable(wanted)
    job = asyncio.create_task(outbox.run())
    try:
        async with asyncio.timeout(PATIENCE):
            while not (
                await wanted() if asyncio.iscoroutinefunction(wanted) else wanted()
            ):
                await asyncio.sleep(0.01)
    finally:
        job.cancel()
        await asyncio.gather(job, return_exceptions=True)


async def test_everything_written_is_sent_and_leaves_the_disk_once_it_is_stored(
    valkey: "aioredis.Redis", tmp_path: Path
) -> None:
    spool, control = Spool(tmp_path), Control()
    outbox = Outbox(spool, valkey, control.watermark)
    write(spool, 40)
    assert len(spool.segments()) > 3

    async def sent() -> bool:
        return await seqs(valkey) == set(range(40))

    await until(outbox, sent)
    before = len(spool.segments())
    control.stored = 20
    await until(outbox, lambda: len(spool.segments()) < before)
    assert len(spool.segments()) > 1
    control.stored = 39
    await until(outbox, lambda: len(spool.segments()) == 1)
    assert list(tmp_path.glob("*.damaged")) == []


async def test_what_redis_loses_is_sent_again_even_when_more_was_sent_since(
    valkey: "aioredis.Redis", tmp_path: Path
) -> None:
    spool, control = Spool(tmp_path), Control()
    outbox = Outbox(spool, valkey, control.watermark)
    write(spool, 20)
    await outbox._send_all()
    await valkey.flushall()
    write(spool, 1)

    async def again() -> bool:
        return await seqs(valkey) == set(range(21))

    await until(outbox, again)


async def test_a_record_of_a_version_we_do_not_know_is_sent_as_it_is(
    valkey: "aioredis.Redis", tmp_path: Path
) -> None:
    spool, control = Spool(tmp_path), Control()
    payload = b'{"kind":"omen","place":{"worker":"w","boot":"b","seq":0}}'
    assert spool.has_room(0)
    spool._write(
        spool_module.HEADER.pack(len(payload), spool_module.zlib.crc32(payload))
        + payload
    )

    async def sent() -> bool:
        return [fields[FIELD] for _, fields in await valkey.xrange(ONE.records)] == [
            payload
        ]

    await until(Outbox(spool, valkey, control.watermark), sent)


async def test_what_stands_behind_a_damaged_frame_is_kept_aside_never_deleted(
    valkey: "aioredis.Redis", tmp_path: Path
) -> None:
    spool, control = Spool(tmp_path), Control()
    outbox = Outbox(spool, valkey, control.watermark)
    write(spool, 12)
    first = spool.segments()[0]
    data = bytearray(first.read_bytes())
    data[len(data) // 2] ^= 0xFF
    first.write_bytes(data)
    control.stored = 11
    await until(outbox, lambda: first.with_suffix(".damaged").exists())
    assert first.with_suffix(".damaged").read_bytes() == bytes(data)


async def test_sending_again_starts_from_the_oldest_and_ends_at_the_newest(
    valkey: "aioredis.Redis", tmp_path: Path
) -> None:
    spool, control = Spool(tmp_path), Control()
    outbox = Outbox(spool, valkey, control.watermark)
    write(spool, 40)
    await outbox._send_all()
    await valkey.flushall()
    write(spool, 40)
    assert len(spool.segments()) > 6
    await outbox._send_all()
    assert outbox._sent == {}
    await valkey.delete(ONE.records)
    await outbox._send_all()
    assert [
        decode(fields[FIELD]).place.seq
        for _, fields in await valkey.xrange(ONE.records)
    ] == list(range(80))
    assert outbox._sent == {spool.boot: 79}


async def test_what_was_written_since_the_last_sending_is_not_taken_for_damage(
    valkey: "aioredis.Redis", tmp_path: Path
) -> None:
    spool, control = Spool(tmp_path), Control()
    outbox = Outbox(spool, valkey, control.watermark)
    write(spool, 1)
    await outbox._send_all()
    write(spool, 1)
    spool._close_segment()  # as after a failed write: closed, and none follows it yet
    control.stored = 0
    await outbox._confirm()
    assert list(tmp_path.glob("*.damaged")) == []
    await outbox._send_all()
    assert await seqs(valkey) == {0, 1}


async def test_what_was_written_last_is_sent_without_reading_a_file(
    valkey: "aioredis.Redis", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool, control = Spool(tmp_path), Control()
    outbox = Outbox(spool, valkey, control.watermark)
    await outbox._send_all()
    monkeypatch.setattr(module, "read_frames", None)  # whoever reads one fails
    for _ in range(5):
        write(spool, 30)
        await outbox._send_all()
    assert await sent_in_order(valkey) == list(range(150))
    ends = {path: path.stat().st_size for path in spool.segments()}
    assert outbox._offsets == ends and spool.recent.following(150, 1) == []


async def test_more_than_memory_keeps_is_read_from_files(
    valkey: "aioredis.Redis", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool_module, "KEPT_BYTES", 2_000)
    spool, control = Spool(tmp_path), Control()
    outbox = Outbox(spool, valkey, control.watermark)
    write(spool, 1)
    await outbox._send_all()
    write(spool, 100)
    assert (spool.recent.first or 0) > 80
    await outbox._send_all()
    assert await sent_in_order(valkey) == list(range(101))


async def test_behind_a_damaged_frame_memory_gives_what_files_cannot(
    valkey: "aioredis.Redis", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool_module, "SEGMENT_BYTES", 1_000_000)
    monkeypatch.setattr(spool_module, "KEPT_BYTES", 2_000)
    spool, control = Spool(tmp_path), Control()
    outbox = Outbox(spool, valkey, control.watermark)
    write(spool, 40)
    (path,) = spool.segments()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    kept = spool.recent.first or 0
    await outbox._send_all()
    sent = await sent_in_order(valkey)
    before = [seq for seq in sent if seq < kept]
    assert before == list(range(len(before))) and 10 < len(before) < 30
    assert sent[len(before) :] == list(range(kept, 40))


@pytest.mark.parametrize("earlier", [0, 12])
@pytest.mark.parametrize("rounds", range(0, 12, 3))
async def test_what_is_written_while_files_are_sent_is_sent_too(
    valkey: "aioredis.Redis", tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rounds: int, earlier: int
) -> None:  # fmt: skip
    """More than memory keeps, and into segments that were not there when the sending began; beside what an earlier run left."""
    monkeypatch.setattr(spool_module, "KEPT_BYTES", 1_000)
    monkeypatch.setattr(module, "BATCH", 5)
    old = Spool(tmp_path)
    write(old, earlier)
    old.close()
    spool, control = Spool(tmp_path), Control()
    outbox = Outbox(spool, valkey, control.watermark)
    send, left = outbox._script, rounds

    async def slow(*, keys: list[str], args: list[object]) -> object:
        nonlocal left
        done = await send(keys=keys, args=args)
        if left:
            left -= 1
            write(spool, 9)
        return done

    outbox._script = slow
    write(spool, 0 if earlier else 30)
    await outbox._send_all()
    while left or outbox._sent.get(spool.boot, -1) != spool.seq - 1:
        await outbox._send_all()
    of_boot = [place.seq for place in await places(valkey) if place.boot == spool.boot]
    assert of_boot == list(range(spool.seq)) and spool.seq == (0 if earlier else 30) + 9 * rounds  # fmt: skip
    assert len(await places(valkey)) == earlier + spool.seq


@pytest.mark.parametrize("at", range(0, 60, 7))
async def test_a_flush_at_any_moment_loses_nothing_and_breaks_no_order(
    valkey: "aioredis.Redis", tmp_path: Path, at: int
) -> None:
    """Once all is there, each has come in its order, though some of them twice."""
    spool, control = Spool(tmp_path), Control()
    outbox = Outbox(spool, valkey, control.watermark)
    for number in range(60):
        write(spool, 1)
        if number % 3 == 0:
            await outbox._send_all()
        if number == at:
            await valkey.flushall()
    while outbox._sent.get(spool.boot) != 59:
        await outbox._send_all()
    assert await sent_in_order(valkey) == list(range(60))


async def test_a_batch_from_files_is_bounded_in_bytes(
    valkey: "aioredis.Redis", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool_module, "SEGMENT_BYTES", 1_000_000)
    monkeypatch.setattr(module, "BATCH_BYTES", 2_000)
    spool, control = Spool(tmp_path), Control()
    write(spool, 100)
    outbox = Outbox(spool, valkey, control.watermark)
    sizes: list[int] = []
    send = outbox._send

    async def counted(batch: list[spool_module.Frame], behind: object) -> bool:
        sizes.append(sum(len(frame.payload) for frame in batch))
        return await send(batch, behind)  # type: ignore[arg-type]

    monkeypatch.setattr(outbox, "_send", counted)
    await outbox._send_files()
    largest = len(next(spool_module.read_frames(spool.segments()[0]))[0].payload)
    assert len(sizes) > 5 and max(sizes) < 2_000 + 2 * largest
    assert await sent_in_order(valkey) == list(range(100))


async def places(valkey: "aioredis.Redis") -> list[Place]:
    return [decode(fields[FIELD]).place for _, fields in await valkey.xrange(ONE.records)]  # fmt: skip


async def sent_in_order(valkey: "aioredis.Redis") -> list[int]:
    entries = await valkey.xrange(ONE.records)
    return [decode(fields[FIELD]).place.seq for _, fields in entries]
