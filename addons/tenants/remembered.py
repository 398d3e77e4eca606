"""What a tenant's proxies remember of texts for a day, by keyed hashes: here, and in Redis.

    refused     a text for which a call was refused   → which other texts that call had
    signed      a text with its provider's signature  → nothing

No call waits for Redis longer than PATIENCE. While Redis is away each proxy knows what
it remembers itself; a text that nobody remembers is judged as a new one.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Collection, Mapping
from typing import Any, Literal

import redis.asyncio as aioredis
from redis.exceptions import RedisError

from addons.network.resolver import mark_own_connections
from contract.streams import remembered_keys

logger = logging.getLogger("earthflow.remembered")

Kind = Literal["refused", "signed"]

DAY = 86_400
STAMP = 5  # bytes of a second since 1970
# Hashes of one kind that are remembered for a tenant, the newest ones: some 5 MB with what
# stands beside them. A conversation that is refused more often than this in a day is a loop.
MOST = 10_000
# Hashes that one proxy remembers of all tenants, some 30 MB; those of tenants that were asked
# for longest ago are forgotten first, and are in Redis.
MOST_IN_ALL = 50_000
PATIENCE = 0.020  # seconds that a call waits for Redis
REST = 1.0  # seconds without questions after one that was not answered in time
MOST_UNDER_WAY = 200  # questions at once; more are answered from here alone
# Keeps what is there, and drops what is over MOST or older than a day. Time is Redis's own.
REMEMBER = """
local time, most = redis.call('TIME'), tonumber(ARGV[1])
local now = time[1] + time[2] / 1000000
local function forget(gone)
  for _, one in ipairs(gone) do redis.call('HDEL', KEYS[1], one); redis.call('ZREM', KEYS[2], one) end
end
forget(redis.call('ZRANGE', KEYS[2], '-inf', now - 86400, 'BYSCORE', 'LIMIT', 0, 1000))
for i = 2, #ARGV, 2 do
  local at = redis.call('ZSCORE', KEYS[2], ARGV[i])
  if not at or tonumber(at) < now - 86400 then
    redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
    redis.call('ZADD', KEYS[2], now, ARGV[i])
  end
end
local over = redis.call('ZCARD', KEYS[2]) - most
if over > 0 then forget(redis.call('ZRANGE', KEYS[2], 0, math.min(over, 1000) - 1)) end
redis.call('EXPIRE', KEYS[1], 86400)
redis.call('EXPIRE', KEYS[2], 86400)
return over
"""

Entries = Mapping[bytes, bytes]  # a hash, and what is kept with it


class Remembered:
    """The texts of all tenants, for one proxy. `missed` counts what Redis did not answer in time."""

    def __init__(self, redis: "aioredis.Redis"):
        self.missed = 0
        self._redis = redis
        self._script: Any = redis.register_script(REMEMBER)
        # By kind and tenant: a hash -> the second when it was remembered, and what with it.
        self._here: OrderedDict[tuple[Kind, str], OrderedDict[bytes, bytes]] = (
            OrderedDict()
        )
        self._under_way: set[asyncio.Task[Any]] = set()
        self._soon: set[asyncio.Task[Any]] = set()
        self._rest_until = 0.0

    async def recall(
        self, kind: Kind, tenant: str, hashes: Collection[bytes]
    ) -> dict[bytes, bytes]:
        """Those of the hashes that are remembered. Redis is asked for what is not known here."""
        known = self._known(kind, tenant, hashes)
        unknown = [one for one in hashes if one not in known]
        answer = await self._ask(self._read(kind, tenant, unknown)) if unknown else None
        if answer:
            self._keep(kind, tenant, answer)
            known |= self._known(kind, tenant, answer)
        return known

    async def remember(self, kind: Kind, tenant: str, entries: Entries) -> None:
        """Remember hashes; those that are remembered already stay as they are."""
        if stamped := self._remember_here(kind, tenant, entries):
            await self._ask(self._write(kind, tenant, stamped))

    def remember_soon(self, kind: Kind, tenant: str, entries: Entries) -> None:
        """Remember hashes here at once, and in Redis as soon as it takes them."""
        if stamped := self._remember_here(kind, tenant, entries):
            task = asyncio.ensure_future(self._ask(self._write(kind, tenant, stamped)))
            self._soon.add(task)
            task.add_done_callback(self._soon.discard)

    def _remember_here(
        self, kind: Kind, tenant: str, entries: Entries
    ) -> dict[bytes, bytes]:
        """Remember what is new; the same with the time."""
        known, now = self._known(kind, tenant, entries), int(time.time())
        stamped = {
            one: now.to_bytes(STAMP) + beside
            for one, beside in entries.items()
            if one not in known
        }
        if stamped:
            self._keep(kind, tenant, stamped)
        return stamped

    def _known(
        self, kind: Kind, tenant: str, hashes: Collection[bytes]
    ) -> dict[bytes, bytes]:
        here, oldest = self._here.get((kind, tenant)), time.time() - DAY
        if here is None:
            return {}
        self._here.move_to_end((kind, tenant))
        return {
            one: kept[STAMP:]
            for one in hashes
            if (kept := here.get(one)) and int.from_bytes(kept[:STAMP]) > oldest
        }

    def _keep(self, kind: Kind, tenant: str, stamped: Entries) -> None:
        here = self._here.setdefault((kind, tenant), OrderedDict())
        self._here.move_to_end((kind, tenant))
        for one, kept in stamped.items():
            here[one] = kept
            here.move_to_end(one)
        while len(here) > MOST:
            here.popitem(last=False)
        while len(self._here) > 1 and sum(map(len, self._here.values())) > MOST_IN_ALL:
            self._here.popitem(last=False)

    async def _ask(self, question: Any) -> Any:
        """An answer of Redis, if there is one in time; what was asked is not cancelled."""
        if (
            time.monotonic() < self._rest_until
            or len(self._under_way) >= MOST_UNDER_WAY
        ):
            question.close()
            return None
        task = asyncio.create_task(question)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        await asyncio.wait({task}, timeout=PATIENCE)
        if task.done() and task.exception() is None and task.result() is not None:
            return task.result()
        self.missed += 1
        self._rest_until = time.monotonic() + REST
        return None

    async def _read(
        self, kind: Kind, tenant: str, hashes: list[bytes]
    ) -> dict[bytes, bytes] | None:
        mark_own_connections()
        values, _ = remembered_keys(kind, tenant)
        try:
            found: Any = await self._redis.hmget(values, hashes)
        except (RedisError, OSError) as error:
            logger.debug("nothing is recalled (%s)", type(error).__name__)
            return None
        return {
            one: kept
            for one, kept in zip(hashes, found, strict=True)
            if kept is not None
        }

    async def _write(self, kind: Kind, tenant: str, stamped: Entries) -> bool | None:
        mark_own_connections()
        said = [part for entry in stamped.items() for part in entry]
        try:
            await self._script(keys=remembered_keys(kind, tenant), args=[MOST, *said])
        except (RedisError, OSError) as error:
            logger.debug("not remembered in Redis (%s)", type(error).__name__)
            return None
        return True
