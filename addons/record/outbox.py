"""Sends the spool to the Redis stream, off the path of calls.

A segment is deleted once PostgreSQL has its records.

What was written last is sent from memory. The files are read at a start, after an outage in
which more was written than memory keeps, and where Redis lost what it was given (flushed, or
restored from an old copy). A mark that is written in one step with the entries shows that;
then everything that PostgreSQL has not confirmed is sent again. Records are idempotent by id.
"""

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
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

# Records and bytes in one step, which Redis takes without serving others; a record with a kept
# prompt has 64 KB and more. From memory there are no more bytes than it keeps.
BATCH, BATCH_BYTES = 500, 4 * 1024 * 1024
LINGER_SECONDS = 0.05  # records that follow one another this closely are sent together
CHECK_SECONDS = 2.0  # between checks of the watermark and of Redis's mark
# Between attempts while Redis is away: nobody waits for it, and a log line comes only
# on a change.
RETRY_SECONDS = 1.0

# One step. KEYS: the stream, and the marks of what was sent. ARGV: our mark's field, the seq
# that it must have at least ('' where there was none yet), the seq that it has then, the
# names of a record's and of a MAC's fields; for each record its payload, and its MAC or ''.
# Gives 1, or 0 where the mark is not what it was: then nothing is added.
SCRIPT = """
local marked = redis.call('HGET', KEYS[2], ARGV[1])
if ARGV[2] ~= '' and (not marked or tonumber(marked) < tonumber(ARGV[2])) then return 0 end
for i = 6, #ARGV, 2 do
  if ARGV[i + 1] == '' then redis.call('XADD', KEYS[1], '*', ARGV[4], ARGV[i])
  else redis.call('XADD', KEYS[1], '*', ARGV[4], ARGV[i], ARGV[5], ARGV[i + 1]) end
end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[3])
return 1
"""

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
        self._script: Any = redis.register_script(SCRIPT)
        # Of a Cluster the lane is chosen when Redis answers first.
        self.stream = None if is_cluster(redis) else ONE
        self._watermark = watermark
        self._news = asyncio.Event()
        self._offsets: dict[Path, int] = {}  # up to where each segment was sent
        self._sent: dict[str, int] = {}  # by boot: the highest seq sent
        # The seq that memory gives next; None: what was not sent must be read from files.
        self._next: int | None = None
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
        """Send everything in order, from where it was sent to.

        Ends early where all must be sent again: the order must hold.
        """
        recent = self.spool.recent
        while await self._caught_up():
            written = recent.following(self._next or 0, BATCH)
            if not written:
                return
            behind = {one.segment: one.behind for one in written}
            if not await self._send([one.frame for one in written], behind):
                return
            self._next = written[-1].frame.place.seq + 1
            if len(written) < BATCH:  # what was written meanwhile waits for more
                return

    async def _caught_up(self) -> bool:
        """Send what files have until memory has what follows; False where all must be sent
        again.
        """
        recent = self.spool.recent
        while self._next is None or (recent.first or 0) > self._next:
            before = self._sent.copy()
            if not await self._send_files():
                return False
            self._next = self._sent.get(self.spool.boot, -1) + 1
            # Where files gave nothing, nobody wrote meanwhile, so a frame is damaged; memory
            # may have what stands behind it.
            if self._sent == before:
                self._next = max(self._next, recent.first or 0)
        return True

    async def _send_files(self) -> bool:
        """Send what the segments have; False where all must be sent again."""
        for segment in self.spool.segments():
            batch: list[Frame] = []
            begun = done = self._offsets.get(segment, 0)
            for frame, behind in read_frames(segment, done):
                batch.append(frame)
                done = behind
                if len(batch) == BATCH or done - begun >= BATCH_BYTES:
                    if not await self._send(batch, {segment: done}):
                        return False
                    batch, begun = [], done
            if batch and not await self._send(batch, {segment: done}):
                return False
        return True

    async def _send(self, batch: list[Frame], behind: Mapping[Path, int]) -> bool:
        """Send a batch and the new mark in one step; False where the old mark was gone.
        `behind`: up to where its segments are sent then.
        """
        last, stream = batch[-1].place, await self._own_stream()
        key, expected = self._key(), self._sent.get(last.boot)
        args: list[Any] = [sent_field(last.worker, last.boot)]
        args += ["" if expected is None else expected, last.seq, FIELD, MAC]
        for frame in batch:
            args += frame.payload, record_mac(key, frame.payload) if key else ""
        if not await self._script(keys=[stream.records, stream.sent], args=args):
            self._send_again()
            return False
        self._offsets.update(behind)
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
        self._next = None
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


def _first_seq(segment: Path) -> int:
    return int(segment.stem.rpartition("-")[2])
