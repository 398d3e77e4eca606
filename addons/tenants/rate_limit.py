"""Rate limits of tenants: calls per minute, and tokens per day, over all proxies
together.

A token bucket and a sum are kept in Redis. A tenant that calls often has a lease
(`lease.py`): its calls need not ask. For the calls of others Redis is asked while the rules run, and
no call waits for it longer than `PATIENCE`: where it is away or slow, this proxy decides by
its own share of the limit, and reports those calls to Redis afterwards (the debt).

  call   lease   answered in time   decided by
  1      none    yes                Redis, which lends some more
  2      yes     not asked          the lease
  3      none    no                 the bucket here, with 1/proxies of what was left
  4      none    yes                Redis, which first subtracts call 3
"""

import asyncio
import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from math import ceil
from typing import Any, NamedTuple

import redis.asyncio as aioredis
from redis.exceptions import RedisError

from addons.network.resolver import mark_own_connections
from addons.tenants.compiled_snapshot import Caller
from addons.tenants.lease import LIFE, LIFE_WITH_BUDGET, OVER_BUDGET, SCRIPT, Lease
from contract.snapshot import Rate
from contract.streams import PROXIES, bucket_key, spent_key

logger = logging.getLogger("earthflow.limits")

# A call waits until this many seconds after Redis was asked (the higher one), but at
# least the lower one from now, so that an answer that has arrived meanwhile is seen.
LEAST_PATIENCE, PATIENCE = 0.005, 0.020
# After this many missed answers in a row, Redis is not asked for this many seconds.
MISSES, REST_SECONDS = 5, 1.0
MOST_ASKED = 200  # enquiries under way at once; more are decided here
# Between two reports of tokens: a budget of a day is exceeded by this long at most.
SPEND_SECONDS, DAY = 0.25, 86_400
# How often proxies report, and when one counts as gone
HEARTBEAT_SECONDS, GONE_SECONDS = 2.0, 10.0


class Allowance(NamedTuple):
    """Whether a call is allowed; else the seconds until one is, and whether it is for
    the day's `tokens`.
    """

    allowed: bool
    retry_after: float = 0.0
    tokens: bool = False

    def sentence(self, who: Caller, rate: Rate) -> str:
        """Why a call is refused."""
        tenant = who.tenant
        much = f"spend {tenant.max_tokens_per_day} tokens a day" if self.tokens else ""
        much = (
            much
            or f"make {tenant.max_requests_per_minute or rate.per_minute} requests a minute"
        )
        return f"Tenant {tenant.id} may {much}, and has; try again in {ceil(self.retry_after)} s"


YES = Allowance(True)


@dataclass
class _Bucket:
    """Calls left here. `rate` is per millisecond, as in Redis."""

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
class Enquiry:
    """One question to Redis.

    `rate` (calls per millisecond) and `capacity` are the bucket's, `budget` the
    tenant's tokens a day (0: no limit). `debt` are calls that were allowed here before,
    and are reported with this one. `calls` is 0 where no call waits for it. `wanted`,
    `held` and `life` (seconds) are of the lease that it renews. `passed`: this call was allowed without
    Redis's answer.
    """

    tenant: str
    rate: float
    capacity: float
    budget: int
    life: float
    asked_at: float
    calls: int = 1
    answer: "asyncio.Task[list[int]] | None" = None
    debt: int = 0
    wanted: int = 0
    held: int = 0
    passed: bool = False


@dataclass
class RateLimiter:
    """The limits of all tenants, for one proxy.

    `proxies` share a limit, `local` counts calls decided here, `refused` those refused.
    """

    redis: "aioredis.Redis"
    worker: str
    proxies: int = 1
    local: int = 0
    refused: int = 0
    clock: Callable[[], float] = time.monotonic
    _misses: int = 0
    _rest_until: float = 0.0
    # By tenant: calls left, as Redis last answered
    _left: dict[str, int] = field(default_factory=dict)
    _here: dict[str, _Bucket] = field(default_factory=dict)
    _leases: dict[str, Lease] = field(default_factory=dict)
    # by tenant: calls allowed here that Redis does not know
    _debt: Counter[str] = field(default_factory=Counter)
    # by tenant: the day, and its tokens as Redis last answered
    _spent: dict[str, tuple[int, int]] = field(default_factory=dict)
    # by tenant and day: tokens that Redis does not know yet
    _unsaid: Counter[tuple[str, int]] = field(default_factory=Counter)
    # the same: tokens that were reported
    _told: Counter[tuple[str, int]] = field(default_factory=Counter)
    _under_way: set["asyncio.Task[list[int]]"] = field(default_factory=set)

    def __post_init__(self) -> None:
        # a restarted proxy begins a new sum
        self._mine = f"{self.worker}:{os.urandom(6).hex()}"
        self._script: Any = self.redis.register_script(SCRIPT)

    def ask(self, who: Caller, rate: Rate) -> Enquiry | None:
        """Ask Redis whether a tenant may call; does not wait. None: the call is allowed
        by a lease.
        """
        tenant = who.tenant
        lease = self._leases.get(tenant.id)
        if lease is None:
            lease = self._leases[tenant.id] = Lease()
        now = self.clock()
        budget = tenant.max_tokens_per_day or 0
        life = LIFE_WITH_BUDGET if budget else LIFE
        leased = lease.take(now) and not self._is_spent(tenant.id, budget)
        if leased and not lease.is_due(now, life):
            return None
        per_minute = tenant.max_requests_per_minute or rate.per_minute
        enquiry = Enquiry(
            tenant=tenant.id,
            rate=per_minute / 60_000,
            capacity=max(1.0, per_minute * rate.window_seconds / 60 * rate.burst),
            budget=budget,
            life=life,
            asked_at=now,
            calls=0 if leased else 1,
        )
        if now >= self._rest_until and len(self._under_way) < MOST_ASKED:
            self._send(enquiry, lease)
        return None if leased else enquiry

    def _send(self, enquiry: Enquiry, lease: Lease) -> None:
        # Taken along once; `_heard` puts it back where Redis did not count it.
        enquiry.debt = self._debt.pop(enquiry.tenant, 0)
        if lease.is_busy:
            enquiry.wanted, enquiry.held = lease.ask(enquiry.asked_at)
        enquiry.answer = asyncio.create_task(self._take(enquiry))
        self._under_way.add(enquiry.answer)
        enquiry.answer.add_done_callback(self._under_way.discard)
        enquiry.answer.add_done_callback(partial(self._heard, enquiry, lease))

    async def _take(self, enquiry: Enquiry) -> list[int]:
        mark_own_connections()
        keys = [
            bucket_key(enquiry.tenant),
            spent_key(enquiry.tenant, int(time.time()) // DAY),
        ]
        of_lease = enquiry.wanted, enquiry.held, round(enquiry.life * 1000)
        of_bucket = enquiry.rate, enquiry.capacity, enquiry.budget, enquiry.debt
        args = [*of_bucket, self._mine, enquiry.calls, *of_lease]
        answer: list[int] = await self._script(keys=keys, args=args)
        return answer

    def _heard(
        self, enquiry: Enquiry, lease: Lease, answer: "asyncio.Task[list[int]]"
    ) -> None:
        """Take up the lease, and keep the debt right, whether or not anybody still waits:
        what Redis has not counted is reported with the next enquiry.
        """
        if enquiry.wanted:
            lease.asking = False
        if answer.cancelled() or answer.exception() is not None:
            self._debt[enquiry.tenant] += enquiry.debt + enquiry.passed
            return
        allowed, *_, given, kept = answer.result()
        if enquiry.wanted:
            # It ends here before it ends in Redis, whose clock was asked later.
            until = enquiry.asked_at + enquiry.life
            lease.renew(enquiry.held, given, kept, until)
        # Redis refused it, after this proxy had allowed it: it is owed.
        if allowed != 1:
            self._debt[enquiry.tenant] += enquiry.passed
        if not enquiry.calls:
            self._of_redis(enquiry)

    async def settle(self, enquiry: Enquiry | None) -> Allowance:
        """The answer of Redis, if it arrives in time; else this proxy's own. Without an
        enquiry the call is allowed.
        """
        if enquiry is None:
            return YES
        answer, now = enquiry.answer, self.clock()
        if answer is not None and not answer.done():
            await asyncio.wait(
                {answer},
                timeout=max(LEAST_PATIENCE, PATIENCE - (now - enquiry.asked_at)),
            )
        # An answer that arrived while the rules ran costs no wait at all.
        allowance = (
            self._of_redis(enquiry) if answer is not None and answer.done() else None
        )
        if allowance is None:
            self._missed(answer is not None)
            allowance = self._of_ours(enquiry)
            enquiry.passed = allowance.allowed
            if enquiry.passed and (answer is None or answer.done()):
                self._debt[enquiry.tenant] += 1  # reported with the next enquiry
        self.refused += not allowance.allowed
        return allowance

    def _of_redis(self, enquiry: Enquiry) -> Allowance | None:
        assert enquiry.answer is not None
        if enquiry.answer.cancelled() or enquiry.answer.exception() is not None:
            return None
        allowed, left, wait, spent, *_ = enquiry.answer.result()
        self._misses = 0
        self._spent[enquiry.tenant] = (int(time.time()) // DAY, spent)
        if allowed == OVER_BUDGET:
            return Allowance(False, wait / 1000, tokens=True)
        self._left[enquiry.tenant] = left
        # The next outage begins with a share of what Redis says is left now.
        self._here.pop(enquiry.tenant, None)
        return Allowance(bool(allowed), wait / 1000)

    def _missed(self, was_asked: bool) -> None:
        self.local += 1
        self._misses += was_asked
        if self._misses >= MISSES:
            self._misses, self._rest_until = 0, self.clock() + REST_SECONDS

    def _of_ours(self, enquiry: Enquiry) -> Allowance:
        """This proxy's share of the limit, which begins with its share of what was
        left.
        """
        share, now = 1 / max(1, self.proxies), self.clock()
        if self._is_spent(enquiry.tenant, enquiry.budget):
            return Allowance(False, DAY - time.time() % DAY, tokens=True)
        bucket = self._here.get(enquiry.tenant)
        if bucket is None:
            left = self._left.get(enquiry.tenant, enquiry.capacity)
            bucket = self._here[enquiry.tenant] = _Bucket(left * share, now)
        return bucket.take(
            enquiry.rate * share, max(1.0, enquiry.capacity * share), now
        )

    def _is_spent(self, tenant: str, budget: int) -> bool:
        """Whether a tenant's tokens of the day are spent, as far as is known here."""
        if not budget:
            return False
        today = int(time.time()) // DAY
        # What Redis said yesterday was of yesterday's budget.
        day, spent = self._spent.get(tenant, (today, 0))
        unsaid = self._unsaid.get((tenant, today), 0)
        return (spent if day == today else 0) + unsaid >= budget

    def spend(self, tenant: str, tokens: int) -> None:
        """Count tokens that a provider reported for a tenant."""
        self._unsaid[tenant, int(time.time()) // DAY] += tokens

    async def report_spending(self) -> None:
        """Report tokens to Redis, until cancelled. What fails is reported again."""
        while True:
            await asyncio.sleep(SPEND_SECONDS)
            said = +self._unsaid
            if not said:
                continue
            await self._report(said)

    async def _report(self, said: Counter[tuple[str, int]]) -> None:
        """Write sums, not increments: reported twice, they are the same."""
        today = int(time.time()) // DAY
        self._told = Counter(
            {key: tokens for key, tokens in self._told.items() if key[1] >= today - 1}
        )
        sums = {key: self._told[key] + tokens for key, tokens in said.items()}
        try:
            async with self.redis.pipeline(transaction=False) as pipeline:
                for (tenant, day), tokens in sums.items():
                    pipeline.hset(spent_key(tenant, day), self._mine, str(tokens))
                    pipeline.expire(spent_key(tenant, day), 2 * DAY)
                await pipeline.execute()
        except (RedisError, OSError) as error:
            logger.debug(
                "tokens are not counted in Redis yet (%s)", type(error).__name__
            )
            return
        self._told.update(said)
        self._unsaid -= said  # keeps what was added meanwhile; drops zeros
        # What Redis last answered was without these.
        for (tenant, day), tokens in said.items():
            known, spent = self._spent.get(tenant, (day, 0))
            if known == day:
                self._spent[tenant] = (day, spent + tokens)

    async def end(self) -> None:
        """Report what is left, if Redis takes it."""
        if said := +self._unsaid:
            await self._report(said)

    async def count_proxies(self) -> None:
        """Report that this proxy runs, and count all that do, until cancelled."""
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
