"""The streams of records in Redis: whether they take any, how many wait in them, and for how long."""

import asyncio
import time
from typing import Any, NamedTuple

import redis.asyncio as aioredis
from redis.exceptions import RedisError

from contract.redis_client import ask_all, is_cluster
from contract.redis_faults import fault_by
from contract.streams import GROUP, streams

PATIENCE = 2.0  # seconds for an answer
PROBE_SECONDS = 60  # for which the probe is kept


class Queue(NamedTuple):
    """Records that are not in PostgreSQL yet, and the age of the oldest, in seconds; of a Cluster, in the lanes that answer.

    `whole`: all of them do.
    """

    records: int
    oldest: float
    whole: bool = True


async def redis_fault(redis: "aioredis.Redis") -> str | None:
    """Why Redis takes no records, in words; None where it does. A replica or a full memory shows when something is written alone.

    Of a Cluster each lane is written to, so that no shard is left out.
    """
    probes = [stream.probe for stream in streams(cluster=is_cluster(redis))]
    writes = ((one, ("SET", one, b"1", "EX", PROBE_SECONDS)) for one in probes)
    try:
        answers = await asyncio.wait_for(ask_all(redis, writes), PATIENCE)
    except (RedisError, OSError, TimeoutError) as error:
        return fault_by(error)
    failed = [one for one in answers if isinstance(one, Exception)]
    return fault_by(failed[0]) if failed else None


async def waiting(redis: "aioredis.Redis") -> Queue | None:
    """What waits; None where no part of Redis tells."""
    names = [stream.records for stream in streams(cluster=is_cluster(redis))]
    # What is stored is deleted, so the first one of a stream waits longest.
    questions = [
        (name, question)
        for name in names
        for question in (("XINFO GROUPS", name), ("XRANGE", name, "-", "+", "COUNT", 1))
    ]
    try:
        answers = await asyncio.wait_for(ask_all(redis, questions), PATIENCE)
    except (RedisError, OSError, TimeoutError):
        return None
    found = [
        _waiting(groups, first)
        for groups, first in zip(answers[::2], answers[1::2], strict=True)
        if not isinstance(groups, Exception) and not isinstance(first, Exception)
    ]
    if not found:
        return None
    records, oldest = (sum(one.records for one in found), max(one.oldest for one in found))  # fmt: skip
    return Queue(records, oldest, len(found) == len(names))


def _waiting(groups: list[dict[str, Any]], first: Any) -> Queue:
    ours = [group for group in groups if group["name"] == GROUP.encode()]
    if not ours:
        return Queue(0, 0.0)
    pending, lag = int(ours[0]["pending"]), int(ours[0].get("lag") or 0)
    if not pending + lag:
        return Queue(0, 0.0)
    made = int(first[0][0].partition(b"-")[0]) / 1000 if first else time.time()
    return Queue(pending + lag, max(0.0, time.time() - made))
