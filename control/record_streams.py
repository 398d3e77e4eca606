"""The streams of records, read as the audit's consumer group: one, or a Cluster's lanes."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import redis.asyncio as aioredis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from contract.redis_client import ask_all, connect, is_cluster
from contract.streams import CONSUMER, GROUP, Stream, streams
from control.arrivals import Entry

# Records of a transaction: a commit costs as much as some hundred rows.
BATCH = 500
LANE_BATCH = 100  # of a lane: sixteen of them are stored at once
# For which Redis holds a read open when there is nothing; then the lock is checked.
BLOCK_MS = 1000
LANE_PAUSE = 0.1  # seconds between reads of lanes that were empty
# Seconds for which a lane is left out that was not answered, at first, and at most: the other lanes wait
# as long as it is asked, up to PATIENCE, so that each time the rest is twice as long.
FIRST_REST, LONGEST_REST = 2.0, 64.0
# Seconds to connect, and for an answer; more than BLOCK_MS.
PATIENCE = 3.0

Ids = Mapping[Stream, list[bytes]]


class _Rest(NamedTuple):
    """Until when a lane is left out, by the clock of `time.monotonic`, and for how many seconds."""

    until: float
    length: float


class RecordStreams:
    """The streams of one Redis. Use `read`, then `acknowledge` once what was read is stored.

    `fault`: why a part of a Cluster could not be read, None where all of it was.
    """

    def __init__(self, redis: "aioredis.Redis"):
        self._redis = redis
        self._streams = streams(cluster=is_cluster(redis))
        self._rests: dict[Stream, _Rest] = {}  # lanes that were not answered
        # Lanes that failed: what they gave and nobody acknowledged is read before what is new.
        self._again: set[Stream] = set()
        self.fault: Exception | None = None

    @classmethod
    @asynccontextmanager
    async def of(cls, url: str) -> AsyncIterator["RecordStreams"]:
        """By a client of their own: what anybody else asks, and gives up to wait for, closes no connection of theirs."""
        client = connect(url, PATIENCE, Retry(NoBackoff(), 1))
        try:
            yield cls(client)
        finally:
            await client.aclose()

    async def open(self) -> None:
        """Make the groups that are not there. Raises RedisError where no stream can have one."""
        answers = await ask_all(
            self._redis,
            ((name, ("XGROUP", "CREATE", name, GROUP, "0", "MKSTREAM")) for name, *_ in self._streams),
        )  # fmt: skip
        failed = [
            one
            for one in answers
            if isinstance(one, Exception) and "BUSYGROUP" not in str(one)
        ]
        if len(failed) == len(self._streams):
            raise failed[0]

    async def read(self, start: str) -> tuple[list[Entry], Ids]:
        """The next entries, and how to acknowledge them: `>` for new ones, `0` for those that were read and
        never acknowledged. Waits a moment for new ones. Entries of a lane are named `lane/id`.
        """
        if len(self._streams) == 1:
            return await self._read_one(start)
        found = await self._read_lanes(start)
        if start == ">" and not any(found.values()):
            await asyncio.sleep(LANE_PAUSE)
        entries = [
            (f"{stream.lane}/".encode() + id, fields)
            for stream, of_it in found.items()
            for id, fields in of_it
        ]
        return entries, {
            stream: [id for id, _ in of_it] for stream, of_it in found.items() if of_it
        }

    async def _read_one(self, start: str) -> tuple[list[Entry], Ids]:
        [stream] = self._streams
        wanted: dict[Any, Any] = {stream.records: start}
        answer: Any = await self._redis.xreadgroup(
            GROUP, CONSUMER, wanted, count=BATCH, block=BLOCK_MS
        )
        entries: list[Entry] = _entries(answer)
        return entries, {stream: [id for id, _ in entries]} if entries else {}

    async def _read_lanes(self, start: str) -> dict[Stream, list[Entry]]:
        """All lanes. One that does not answer is left out for a while, so that it holds up no other."""
        now = time.monotonic()
        lanes = [
            one
            for one in self._streams
            if one not in self._rests or self._rests[one].until <= now
        ]
        ask = "XREADGROUP", "GROUP", GROUP, CONSUMER, "COUNT", LANE_BATCH, "STREAMS"
        begin = {one: "0" if one in self._again else start for one in lanes}
        answers = await ask_all(
            self._redis,
            ((one.records, (*ask, one.records, begin[one])) for one in lanes),
        )
        found: dict[Stream, list[Entry]] = {}
        for lane, answer in zip(lanes, answers, strict=True):
            last = self._rests.pop(lane, None)
            if not isinstance(answer, Exception):
                found[lane] = _entries(answer)
                if begin[lane] == "0" and not found[lane]:
                    self._again.discard(lane)
                continue
            self._again.add(lane)  # what it was given may not have arrived here
            if "NOGROUP" in str(answer):
                await self.open()
            else:
                length = min(last.length * 2, LONGEST_REST) if last else FIRST_REST
                self._rests[lane] = _Rest(time.monotonic() + length, length)
                self.fault = answer
        if not self._rests:
            self.fault = None
        elif len(self._rests) == len(self._streams) and self.fault is not None:
            self._rests.clear()
            raise self.fault
        return found

    async def acknowledge(self, ids: Ids) -> None:
        """These are stored: delete them."""
        for stream, of_it in ids.items():
            async with self._redis.pipeline(transaction=True) as pipeline:
                pipeline.xack(stream.records, GROUP, *of_it)
                pipeline.xdel(stream.records, *of_it)
                await pipeline.execute()


def _entries(answer: Any) -> list[Entry]:
    """Of an answer to XREADGROUP for one stream, as either version of the protocol has it."""
    if not answer:
        return []
    if isinstance(answer, dict):
        [pages] = answer.values()
        return [entry for page in pages for entry in page]
    entries: list[Entry] = answer[0][1]
    return entries
