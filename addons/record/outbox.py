"""Sends the spool to the Redis stream, off the path of calls.

A segment is deleted once PostgreSQL has its records.

Redis may be away, or return without what it was given (flushed, or restored from an old
copy). A mark that is written in one transaction with the entries shows that; then
everything that PostgreSQL has not confirmed is sent again. Records are idempotent by
id.
"""

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

import redis.asyncio as aioredis
from redis.exceptions import RedisError

from addons.record.spool import Frame, Spool, count_frames, read_frames
from contract.proof import record_mac
from contract.redis_client import is_cluster
from contract.redis_faults import fault_by
from contract.streams import FIELD, MAC, ONE, TURN, Stream, lane_of, sent_field

logger = logging.getLogger("earthflow.outbox")

BATCH = 500  # records in one transaction
LINGER_SECONDS = 0.02  # records that follow one another this closely are sent together
CHECK_SECONDS = 2.0  # between checks of the watermark and of Redis's mark
# Between attempts while Redis is away: nobody waits for it, and a log line comes only
# on a change.
RETRY_SECONDS = 1.0

# (worker, boot) -> the highest seq that PostgreSQL holds without a gap, -1 for none;
# None where control cannot tell.
Watermark = Callable[[str, str], Awaitable[int | None]]


class Waiting(NamedTuple):
    """Of a segment: the bytes that are `kept`, and what Redis has not taken; the id of its `first` record."""

    kept: int
    records: int
    bytes: int
    first: str


class Outbox:
    """Sends one spool. `up`: whether Redis took the last batch."""

    def __init__(
        self,
        spool: Spool,
        redis: "aioredis.Redis",
        watermark: Watermark,
        key: Callable[[], bytes | None] = lambda: None,
    ):
        """`key` signs records, where there is one."""
        self.spool = spool
        self._key = key
        self.up = True
        self._redis = redis
        # Of a Cluster the lane is chosen when Redis answers first.
        self.stream = None if is_cluster(redis) else ONE
        self._watermark = watermark
        self._news = asyncio.Event()
        self._offsets: dict[Path, int] = {}  # up to where each segment was sent
        self._sent: dict[str, int] = {}  # by boot: the highest seq sent
        self._counts: dict[Path, int] = {}  # of segments that nobody writes any more
        self.fault = ""  # why Redis takes nothing; empty where it does
        spool.on_append = self._news.set

    async def run(self) -> None:
        """Send new records until cancelled. Any failure is logged, and tried again."""
        checked = 0.0
        while True:
            self._news.clear()
            try:
                await self._send_all()
                if time.monotonic() - checked > CHECK_SECONDS:
                    await self._confirm()
                    checked = time.monotonic()
                self._up(True)
            except Exception as error:
                self._up(False, error)
                await asyncio.sleep(RETRY_SECONDS)
                continue
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), CHECK_SECONDS)
                await asyncio.sleep(LINGER_SECONDS)

    def waiting(self) -> Iterator[Waiting]:
        """What of each segment Redis has not taken, oldest first; `first` is known of the first one alone."""
        segments, begun = self.spool.segments(), False
        for segment, following in zip_longest(segments, segments[1:]):
            done = self._offsets.get(segment, 0)
            with contextlib.suppress(FileNotFoundError):  # it was deleted meanwhile
                size = segment.stat().st_size
                if done >= size:
                    yield Waiting(size, 0, 0, "")
                    continue
                seq, id = _first_seq(segment), ""
                if not begun and (frame := next(read_frames(segment, done), None)):
                    seq, id = frame[0].place.seq, frame[0].id
                begun = True
                count = max(0, self._end(segment, following) - seq)
                yield Waiting(size, count, size - done, id)

    def _end(self, segment: Path, following: Path | None) -> int:
        """The seq behind a segment's last record."""
        boot = segment.name.rpartition("-")[0]
        if self.spool.writing(segment):
            return self.spool.seq
        if following is not None and following.name.startswith(f"{boot}-"):
            return _first_seq(following)
        return _first_seq(segment) + self._counted(segment)

    def _counted(self, segment: Path) -> int:
        """The frames of the last segment of an earlier run, which nobody writes any more."""
        if segment not in self._counts:
            self._counts[segment] = count_frames(segment)
        return self._counts[segment]

    async def flush(self) -> None:
        """Send what is there now, for a clean end.

        What cannot be sent stays for the next start.
        """
        with contextlib.suppress(RedisError, OSError):
            await self._send_all()

    async def _send_all(self) -> None:
        """Send every segment in order, from where it was sent to.

        Ends early where all must be sent again: the order must hold.
        """
        for segment in self.spool.segments():
            batch: list[Frame] = []
            done = self._offsets.get(segment, 0)
            for frame, behind in read_frames(segment, done):
                batch.append(frame)
                done = behind
                if len(batch) == BATCH:
                    if not await self._send(segment, batch, done):
                        return
                    batch = []
            if batch and not await self._send(segment, batch, done):
                return

    async def _send(self, segment: Path, batch: list[Frame], offset: int) -> bool:
        """Send a batch and the new mark in one transaction; False where the old mark
        was gone.
        """
        last, stream = batch[-1].place, await self._own_stream()
        mark, key = sent_field(last.worker, last.boot), self._key()
        async with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.hget(stream.sent, mark)
            for frame in batch:
                pipeline.xadd(stream.records, _fields(frame.payload, key))
            pipeline.hset(stream.sent, mark, str(last.seq))
            marked = (await pipeline.execute())[0]
        if self._lost(last.boot, marked):
            self._send_again()
            return False
        self._offsets[segment] = offset
        self._sent[last.boot] = last.seq
        return True

    async def _own_stream(self) -> Stream:
        if self.stream is None:
            try:
                self.stream = lane_of(await self._redis.incr(TURN))
            except (RedisError, OSError):
                # The shard that counts is away, and others may not be.
                self.stream = lane_of(os.urandom(1)[0])
        return self.stream

    def _lost(self, boot: str, marked: bytes | str | None) -> bool:
        return boot in self._sent and (marked is None or int(marked) < self._sent[boot])

    def _send_again(self) -> None:
        """Start again from what PostgreSQL has not confirmed, which is what is still on
        disk.
        """
        logger.warning(
            "Redis lost records it had been given; sending again what PostgreSQL does not hold"
        )
        self._offsets.clear()
        self._sent.clear()
        self._news.set()

    async def _confirm(self) -> None:
        """Delete what PostgreSQL holds; start again where Redis lost its mark."""
        stream = await self._own_stream()
        for boot in list(self._sent):
            mark = sent_field(self.spool.worker, boot)
            if self._lost(boot, await self._redis.hget(stream.sent, mark)):
                self._send_again()
                return
            stored = await self._watermark(self.spool.worker, boot)
            if stored is not None:
                self._delete_up_to(boot, stored)

    def _delete_up_to(self, boot: str, stored: int) -> None:
        """Delete the closed segments of a boot that are stored whole.

        One that cannot be read to its end is kept aside.
        """
        segments = [
            path for path in self.spool.segments() if path.name.startswith(f"{boot}-")
        ]
        for segment, following in zip_longest(segments, segments[1:]):
            sent = self._offsets.get(segment)
            if sent is None or self.spool.writing(segment):
                continue
            last = _first_seq(following) - 1 if following else self._sent[boot]
            if last > stored:
                continue
            if sent == segment.stat().st_size:
                segment.unlink()
            elif next(read_frames(segment, sent), None) is not None:
                continue  # there are new records
            else:
                logger.error(
                    "%s cannot be read behind byte %d; it is kept as .damaged",
                    segment.name,
                    sent,
                )
                segment.rename(segment.with_suffix(".damaged"))
            del self._offsets[segment]
        if boot != self.spool.boot and stored >= self._sent[boot]:
            del self._sent[boot]

    def _up(self, up: bool, error: Exception | None = None) -> None:
        self.fault = fault_by(error) if error is not None else ""
        if up != self.up:
            if up:
                logger.info("Redis is back; the spool is being sent")
            else:
                logger.warning(
                    "records cannot be sent: Redis %s; they wait in the spool",
                    self.fault,
                )
        self.up = up


def _fields(payload: bytes, key: bytes | None) -> dict[Any, Any]:
    """The entry of a record, signed where there is a key."""
    if key is None:
        return {FIELD: payload}
    return {FIELD: payload, MAC: record_mac(key, payload)}


def _first_seq(segment: Path) -> int:
    return int(segment.stem.rpartition("-")[2])
