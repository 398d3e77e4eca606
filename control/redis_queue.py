"""The stream of records in Redis: whether it takes any, how many wait in it, and for how long."""

import asyncio
import time
from typing import Any, NamedTuple

import redis.asyncio as aioredis
from redis.exceptions import RedisError

from contract.redis_faults import fault_by
from contract.streams import GROUP, PROBE, RECORDS

PATIENCE = 2.0  # seconds for an answer
PROBE_SECONDS = 60  # for which the probe is kept


class Queue(NamedTuple):
    """Records that are not in PostgreSQL yet, and the age of the oldest, in seconds."""

    records: int
    oldest: float


async def redis_fault(redis: "aioredis.Redis") -> str | None:
    """Why Redis takes no records, in words; None where it does. A replica or a full memory shows when something is written alone."""
    try:
        await asyncio.wait_for(redis.set(PROBE, b"1", ex=PROBE_SECONDS), PATIENCE)
    except (RedisError, OSError, TimeoutError) as error:
        return fault_by(error)
    return None


async def waiting(redis: "aioredis.Redis") -> Queue | None:
    """What waits; None where Redis does not tell."""
    try:
        groups: list[dict[str, Any]] = await redis.xinfo_groups(RECORDS)
        ours = [group for group in groups if group["name"] == GROUP.encode()]
        if not ours:
            return Queue(0, 0.0)
        pending, lag = int(ours[0]["pending"]), int(ours[0].get("lag") or 0)
        if not pending + lag:
            return Queue(0, 0.0)
        # What is stored is deleted, so the first one waits longest.
        first: Any = await redis.xrange(RECORDS, count=1)
    except (RedisError, OSError):
        return None
    made = int(first[0][0].partition(b"-")[0]) / 1000 if first else time.time()
    return Queue(pending + lag, max(0.0, time.time() - made))
