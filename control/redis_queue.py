"""The streams of records in Redis: whether they take any, how many wait in them, and for how long."""

import asyncio
import time
from typing import Any, NamedTuple

import redis.asyncio as aioredis
from redis.exceptions import RedisError

from contract.redis_client import is_cluster
from contract.redis_faults import fault_by
from contract.streams import GROUP, Stream, streams

PATIENCE = 2.0  # seconds for an answer
PROBE_SECONDS = 60  # for which the probe is kept


class Queue(NamedTuple):
    """Records that are not in PostgreSQL yet, and the age of the oldest, in seconds."""

    records: int
    oldest: float


async def redis_fault(redis: "aioredis.Redis") -> str | None:
    """Why Redis takes no records, in words; None where it does. A replica or a full memory shows when something is written alone.

    Of a Cluster each lane is written to, so that no shard is left out.
    """
    probes = [stream.probe for stream in streams(cluster=is_cluster(redis))]
    try:
        written = (redis.set(probe, b"1", ex=PROBE_SECONDS) for probe in probes)
        await asyncio.wait_for(asyncio.gather(*written), PATIENCE)
    except (RedisError, OSError, TimeoutError) as error:
        return fault_by(error)
    return None


async def waiting(redis: "aioredis.Redis") -> Queue | None:
    """What waits; None where Redis does not tell."""
    try:
        found = await asyncio.gather(
            *(_waiting(redis, one) for one in streams(cluster=is_cluster(redis)))
        )
    except (RedisError, OSError):
        return None
    return Queue(sum(one.records for one in found), max(one.oldest for one in found))


async def _waiting(redis: "aioredis.Redis", stream: Stream) -> Queue:
    groups: list[dict[str, Any]] = await redis.xinfo_groups(stream.records)
    ours = [group for group in groups if group["name"] == GROUP.encode()]
    if not ours:
        return Queue(0, 0.0)
    pending, lag = int(ours[0]["pending"]), int(ours[0].get("lag") or 0)
    if not pending + lag:
        return Queue(0, 0.0)
    # What is stored is deleted, so the first one waits longest.
    first: Any = await redis.xrange(stream.records, count=1)
    made = int(first[0][0].partition(b"-")[0]) / 1000 if first else time.time()
    return Queue(pending + lag, max(0.0, time.time() - made))
