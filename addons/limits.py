"""Requests per minute of a tenant: a token bucket in Redis for all proxies together, asked while the rules run; a share of it here while
Redis is away or slow. Never on a call's path for longer than `PATIENCE`.
"""

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import redis.asyncio as aioredis
from redis.exceptions import RedisError

from addons.resolver import ours
from addons.snapshot import Identity
from contract.snapshot import Rate
from contract.streams import PROXIES, bucket_key

logger = logging.getLogger("earthflow.limits")

PATIENCE = 0.020  # seconds from the moment Redis is asked
MISSES, REST_SECONDS = 5, 1.0  # so many in a row, and Redis is left alone for a while
MOST_ASKED = 200  # questions under way
HEARTBEAT_SECONDS, GONE_SECONDS = 2.0, 10.0  # by which proxies know how many they are
# Takes one token. Time is Redis's own, so that proxies' clocks do not matter. Answers whether there was one, how many are left, and how
# many milliseconds it takes until there is one.
SCRIPT = """
local now = redis.call('TIME')
now = now[1] * 1000 + math.floor(now[2] / 1000)
local rate, capacity = tonumber(ARGV[1]), tonumber(ARGV[2])
local held = redis.call('HMGET', KEYS[1], 't', 'a')
local tokens, at = tonumber(held[1]) or capacity, tonumber(held[2]) or now
tokens = math.min(capacity, tokens + math.max(0, now - at) * rate)
local allowed = tokens >= 1
if allowed then tokens = tokens - 1 end
redis.call('HSET', KEYS[1], 't', tostring(tokens), 'a', tostring(now))
redis.call('PEXPIRE', KEYS[1], math.ceil(capacity / rate) + 1000)
return {allowed and 1 or 0, math.floor(tokens), allowed and 0 or math.ceil((1 - tokens) / rate)}
"""


class Allowance(NamedTuple):
    """Whether a call may go on; else in how many seconds one may."""

    allowed: bool
    retry_after: float = 0.0


YES = Allowance(True)


@dataclass
class _Bucket:
    """Tokens held here; `rate` a millisecond, as in Redis."""

    tokens: float
    at: float

    def take(self, rate: float, capacity: float, now: float) -> Allowance:
        self.tokens = min(capacity, self.tokens + (now - self.at) * 1000 * rate)
        self.at = now
        if self.tokens >= 1:
            self.tokens -= 1
            return YES
        return Allowance(False, (1 - self.tokens) / rate / 1000)


@dataclass
class Question:
    """Asked of Redis, or not; `tenant` with its tokens a millisecond and at most."""

    tenant: str
    rate: float
    capacity: float
    asked_at: float
    answer: "asyncio.Task[list[int]] | None"


@dataclass
class Limiter:
    """For all tenants of one proxy."""

    redis: "aioredis.Redis"
    worker: str
    proxies: int = 1  # that share a limit, as far as was last known
    local: int = 0  # questions that were answered here
    refused: int = 0
    _misses: int = 0
    _rest_until: float = 0.0
    _left: dict[str, int] = field(default_factory=dict)  # tokens, as Redis last said
    _here: dict[str, _Bucket] = field(default_factory=dict)
    _under_way: set["asyncio.Task[list[int]]"] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._script: Any = self.redis.register_script(SCRIPT)

    def ask(self, who: Identity, rate: Rate) -> Question:
        """Begin to find out whether a tenant's call may go on."""
        per_minute = who.tenant.max_requests_per_minute or rate.per_minute
        a_millisecond, capacity = per_minute / 60_000, max(1.0, per_minute * rate.window_seconds / 60 * rate.burst)
        now = time.monotonic()
        answer = None
        if now >= self._rest_until and len(self._under_way) < MOST_ASKED:
            answer = asyncio.create_task(self._take(who.tenant.id, a_millisecond, capacity))
            self._under_way.add(answer)
            answer.add_done_callback(self._under_way.discard)
            answer.add_done_callback(_heard)
        return Question(who.tenant.id, a_millisecond, capacity, now, answer)

    async def _take(self, tenant: str, rate: float, capacity: float) -> list[int]:
        ours()  # whoever calls, the connection to Redis is not theirs
        answer: list[int] = await self._script(keys=[bucket_key(tenant)], args=[rate, capacity])
        return answer

    async def settle(self, question: Question) -> Allowance:
        """What Redis says, if it does so in time; else what is said here."""
        answer, now = question.answer, time.monotonic()
        if answer is not None and not answer.done():
            await asyncio.wait({answer}, timeout=max(0.0, PATIENCE - (now - question.asked_at)))
        allowance = self._of_redis(question) if answer is not None and answer.done() else None
        if allowance is None:
            self._missed(answer is not None)
            allowance = self._of_ours(question)
        self.refused += not allowance.allowed
        return allowance

    def _of_redis(self, question: Question) -> Allowance | None:
        assert question.answer is not None
        if question.answer.cancelled() or question.answer.exception() is not None:
            return None
        allowed, left, wait = question.answer.result()
        self._misses = 0
        self._left[question.tenant] = left
        self._here.pop(question.tenant, None)
        return Allowance(bool(allowed), wait / 1000)

    def _missed(self, asked: bool) -> None:
        self.local += 1
        self._misses += asked
        if self._misses >= MISSES:
            self._misses, self._rest_until = 0, time.monotonic() + REST_SECONDS

    def _of_ours(self, question: Question) -> Allowance:
        """This proxy's share, which begins with its share of what was left."""
        share, now = 1 / max(1, self.proxies), time.monotonic()
        bucket = self._here.get(question.tenant)
        if bucket is None:
            left = self._left.get(question.tenant, question.capacity)
            bucket = self._here[question.tenant] = _Bucket(left * share, now)
        return bucket.take(question.rate * share, max(1.0, question.capacity * share), now)

    async def run(self) -> None:
        """Tell the others that we are here, and count them, for ever."""
        while True:
            try:
                now = time.time()
                async with self.redis.pipeline(transaction=True) as pipeline:
                    told: Mapping[str, float] = {self.worker: now}
                    pipeline.zadd(PROXIES, dict(told))
                    pipeline.zremrangebyscore(PROXIES, 0, now - GONE_SECONDS)
                    pipeline.zcard(PROXIES)
                    self.proxies = max(1, (await pipeline.execute())[2])
            except (RedisError, OSError) as error:
                logger.debug("proxies are not counted (%s)", type(error).__name__)
            await asyncio.sleep(HEARTBEAT_SECONDS)


def _heard(answer: "asyncio.Task[list[int]]") -> None:
    """An answer that nobody waited for any more may have failed; that is no news."""
    if not answer.cancelled():
        answer.exception()
