"""Requests per minute of a tenant, and tokens of a day: a bucket and a sum in Redis for all proxies together, asked while the rules run; a
share of it here while Redis is away or slow. Never on a call's path for longer than `PATIENCE`.
"""

import asyncio
import logging
import os
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from math import ceil
from typing import Any, NamedTuple

import redis.asyncio as aioredis
from redis.exceptions import RedisError

from addons.resolver import ours
from addons.snapshot import Identity
from contract.snapshot import Rate
from contract.streams import PROXIES, bucket_key, spent_key

logger = logging.getLogger("earthflow.limits")

LEAST_PATIENCE, PATIENCE = 0.005, 0.020  # seconds from the moment Redis is asked
MISSES, REST_SECONDS = 5, 1.0  # so many in a row, and Redis is left alone for a while
MOST_ASKED = 200  # questions under way
SPEND_SECONDS, DAY = 0.25, 86_400
HEARTBEAT_SECONDS, GONE_SECONDS = 2.0, 10.0  # by which proxies know how many they are
# Takes one from the bucket, and what was let go without asking, unless the day's tokens are spent. Time is Redis's own, so that proxies'
# clocks do not matter. Answers whether there was one (2: the day's tokens are spent), how many are left, how many milliseconds it takes
# until there is one, and the tokens spent.
SCRIPT = """
local now = redis.call('TIME')
now = now[1] * 1000 + math.floor(now[2] / 1000)
local rate, capacity, budget, debt = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local spent = 0
for _, told in ipairs(redis.call('HVALS', KEYS[2])) do spent = spent + tonumber(told) end
if budget > 0 and spent >= budget then return {2, 0, 86400000 - now % 86400000, spent} end
local held = redis.call('HMGET', KEYS[1], 't', 'a')
local tokens, at = tonumber(held[1]) or capacity, tonumber(held[2]) or now
tokens = math.max(-capacity, math.min(capacity, tokens + math.max(0, now - at) * rate) - debt)
local allowed = tokens >= 1
if allowed then tokens = tokens - 1 end
redis.call('HSET', KEYS[1], 't', tostring(tokens), 'a', tostring(now))
redis.call('PEXPIRE', KEYS[1], math.ceil(capacity / rate) + 1000)
return {allowed and 1 or 0, math.floor(tokens), allowed and 0 or math.ceil((1 - tokens) / rate), spent}
"""


class Allowance(NamedTuple):
    """Whether a call may go on; else in how many seconds one may, and whether it is for the day's `tokens`."""

    allowed: bool
    retry_after: float = 0.0
    tokens: bool = False

    def sentence(self, who: Identity, rate: Rate) -> str:
        """Why a call may not go on."""
        tenant = who.tenant
        much = f"spend {tenant.max_tokens_per_day} tokens a day" if self.tokens else ""
        much = much or f"make {tenant.max_requests_per_minute or rate.per_minute} requests a minute"
        return f"Tenant {tenant.id} may {much}, and has; try again in {ceil(self.retry_after)} s"


YES = Allowance(True)
OVER_BUDGET = 2  # of SCRIPT


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
    """Asked of Redis, or not; `tenant` with its calls a millisecond and at most, and its tokens a day (0: no limit)."""

    tenant: str
    rate: float
    capacity: float
    budget: int
    asked_at: float
    answer: "asyncio.Task[list[int]] | None"
    debt: int = 0  # calls that were let go here before, and of which Redis is told with this one
    passed: bool = False  # let go without Redis' answer


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
    _debt: Counter[str] = field(
        default_factory=Counter
    )  # by tenant: calls that were let go here, and of which Redis does not know
    _spent: dict[str, tuple[int, int]] = field(
        default_factory=dict
    )  # by tenant: the day, and its tokens as Redis last said
    _unsaid: Counter[tuple[str, int]] = field(
        default_factory=Counter
    )  # by tenant and day: tokens that Redis is not told yet
    _told: Counter[tuple[str, int]] = field(default_factory=Counter)  # the same: what Redis was told
    _under_way: set["asyncio.Task[list[int]]"] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._mine = (
            f"{self.worker}:{os.urandom(6).hex()}"  # a proxy that starts again begins a sum of its own
        )
        self._script: Any = self.redis.register_script(SCRIPT)

    def ask(self, who: Identity, rate: Rate) -> Question:
        """Begin to find out whether a tenant's call may go on."""
        per_minute = who.tenant.max_requests_per_minute or rate.per_minute
        a_millisecond, capacity = (
            per_minute / 60_000,
            max(1.0, per_minute * rate.window_seconds / 60 * rate.burst),
        )
        budget, now = who.tenant.max_tokens_per_day or 0, time.monotonic()
        question = Question(who.tenant.id, a_millisecond, capacity, budget, now, None)
        if now >= self._rest_until and len(self._under_way) < MOST_ASKED:
            question.debt = self._debt.pop(question.tenant, 0)
            question.answer = asyncio.create_task(self._take(question))
            self._under_way.add(question.answer)
            question.answer.add_done_callback(self._under_way.discard)
            question.answer.add_done_callback(partial(self._heard, question))
        return question

    async def _take(self, question: Question) -> list[int]:
        ours()  # whoever calls, the connection to Redis is not theirs
        keys = [bucket_key(question.tenant), spent_key(question.tenant, int(time.time()) // DAY)]
        args = [question.rate, question.capacity, question.budget, question.debt]
        answer: list[int] = await self._script(keys=keys, args=args)
        return answer

    def _heard(self, question: Question, answer: "asyncio.Task[list[int]]") -> None:
        """What became of a question, whether or not anybody still waited: calls that Redis has not counted are told with the next one."""
        if answer.cancelled() or answer.exception() is not None:
            self._debt[question.tenant] += question.debt + question.passed
        elif answer.result()[0] != 1:
            self._debt[question.tenant] += question.passed

    async def settle(self, question: Question) -> Allowance:
        """What Redis says, if it does so in time; else what is said here."""
        answer, now = question.answer, time.monotonic()
        if answer is not None and not answer.done():
            # A little in any case: the answer may have come while this loop was busy with the rules.
            await asyncio.wait({answer}, timeout=max(LEAST_PATIENCE, PATIENCE - (now - question.asked_at)))
        allowance = self._of_redis(question) if answer is not None and answer.done() else None
        if allowance is None:
            self._missed(answer is not None)
            allowance = self._of_ours(question)
            question.passed = allowance.allowed
            if question.passed and (answer is None or answer.done()):
                self._debt[question.tenant] += 1  # Redis is told with the next one
        self.refused += not allowance.allowed
        return allowance

    def _of_redis(self, question: Question) -> Allowance | None:
        assert question.answer is not None
        if question.answer.cancelled() or question.answer.exception() is not None:
            return None
        allowed, left, wait, spent = question.answer.result()
        self._misses = 0
        self._spent[question.tenant] = (int(time.time()) // DAY, spent)
        if allowed == OVER_BUDGET:
            return Allowance(False, wait / 1000, tokens=True)
        self._left[question.tenant] = left
        self._here.pop(question.tenant, None)
        return Allowance(bool(allowed), wait / 1000)

    def _missed(self, asked: bool) -> None:
        self.local += 1
        self._misses += asked
        if self._misses >= MISSES:
            self._misses, self._rest_until = 0, time.monotonic() + REST_SECONDS

    def _of_ours(self, question: Question) -> Allowance:
        """This proxy's share, which begins with its share of what was left; and tokens, as far as they are known here."""
        share, now = 1 / max(1, self.proxies), time.monotonic()
        today = int(time.time()) // DAY
        day, spent = self._spent.get(question.tenant, (today, 0))
        known = (spent if day == today else 0) + self._unsaid.get((question.tenant, today), 0)
        if question.budget and known >= question.budget:
            return Allowance(False, DAY - time.time() % DAY, tokens=True)
        bucket = self._here.get(question.tenant)
        if bucket is None:
            left = self._left.get(question.tenant, question.capacity)
            bucket = self._here[question.tenant] = _Bucket(left * share, now)
        return bucket.take(question.rate * share, max(1.0, question.capacity * share), now)

    def spend(self, tenant: str, tokens: int) -> None:
        """A provider has counted so many tokens for a tenant; Redis is told soon."""
        self._unsaid[tenant, int(time.time()) // DAY] += tokens

    async def tell(self) -> None:
        """Tell Redis of tokens, for ever; what it does not take, it is told again."""
        while True:
            await asyncio.sleep(SPEND_SECONDS)
            said = +self._unsaid
            if not said:
                continue
            await self._tell(said)

    async def _tell(self, said: Counter[tuple[str, int]]) -> None:
        """Sums, not what they rise by: told twice, they are the same."""
        today = int(time.time()) // DAY
        self._told = Counter({key: tokens for key, tokens in self._told.items() if key[1] >= today - 1})
        sums = {key: self._told[key] + tokens for key, tokens in said.items()}
        try:
            async with self.redis.pipeline(transaction=False) as pipeline:
                for (tenant, day), tokens in sums.items():
                    pipeline.hset(spent_key(tenant, day), self._mine, str(tokens))
                    pipeline.expire(spent_key(tenant, day), 2 * DAY)
                await pipeline.execute()
        except (RedisError, OSError) as error:
            logger.debug("tokens are not counted in Redis yet (%s)", type(error).__name__)
            return
        self._told.update(said)
        self._unsaid -= said  # keeps what came meanwhile, and nothing that is 0

    async def end(self) -> None:
        """Tell what is left, if Redis takes it."""
        if said := +self._unsaid:
            await self._tell(said)

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
