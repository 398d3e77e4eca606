"""Leases: however many proxies borrow, die, or lose answers, together they allow no more than the bucket has, and little less."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from random import Random

import pytest
import redis.asyncio as aioredis
from redis.exceptions import ConnectionError as RedisGone

from addons.tenants import rate_limit as module
from addons.tenants.compiled_snapshot import Caller
from addons.tenants.lease import LIFE, LIFE_WITH_BUDGET, MOST, SCRIPT
from addons.tenants.rate_limit import RateLimiter
from cli.engines import Engines
from contract.snapshot import KeyEntry, Rate, TenantEntry
from contract.streams import bucket_key

TIME = """local now = redis.call('TIME')
now = now[1] * 1000 + math.floor(now[2] / 1000)
"""
CLOCK = "ef-test:clock"
assert TIME in SCRIPT
# The same script, with a clock that the test moves.
MODEL = SCRIPT.replace(TIME, f"local now = tonumber(redis.call('GET', '{CLOCK}'))\n")


@dataclass
class Fleet:
    """Some proxies over one Redis, in a time of their own; what they allowed, by when."""

    redis: "aioredis.Redis"
    tenant: str
    per_minute: int
    capacity: int
    count: int
    now: float = 1_000_000.0
    ahead: float = 0.0  # Redis's clock before the proxies'
    allowed: list[float] = field(default_factory=list)
    limiters: list[RateLimiter] = field(default_factory=list)
    made: int = 0

    def __post_init__(self) -> None:
        self.limiters = [self._proxy() for _ in range(self.count)]
        self.rate = Rate(self.per_minute, self.capacity / self.per_minute, 60)

    def _proxy(self) -> RateLimiter:
        self.made += 1
        name = f"w{self.made}"
        limiter = RateLimiter(self.redis, name, self.count, clock=lambda: self.now)
        limiter._script = self.redis.register_script(MODEL)
        return limiter

    def restart(self, number: int) -> None:
        """One is killed, with its lease, and another takes its place."""
        self.limiters[number] = self._proxy()

    async def pass_time(self, seconds: float) -> None:
        await self.settled()
        self.now += seconds
        await self.redis.set(CLOCK, round((self.now + self.ahead) * 1000))

    async def settled(self) -> None:
        """Every question is answered, and the answer taken up."""
        for limiter in self.limiters:
            while limiter._under_way:
                await asyncio.wait(set(limiter._under_way))
                await asyncio.sleep(0)

    async def call(self, number: int, budget: int | None = None) -> bool:
        entry = TenantEntry(self.tenant, "default", "", max_tokens_per_day=budget)
        who = Caller(entry, KeyEntry("k", self.tenant, ""))
        limiter = self.limiters[number]
        allowance = await limiter.settle(limiter.ask(who, self.rate))
        if allowance.allowed:
            self.allowed.append(self.now)
        return allowance.allowed

    def excess(self) -> float:
        """By how many calls they were over the bucket at the worst moment."""
        tokens, at, worst = float(self.capacity), self.now, 0.0
        for time in sorted(self.allowed):
            tokens = min(self.capacity, tokens + max(0, time - at) * self.per_minute / 60)  # fmt: skip
            tokens, at = tokens - 1, time
            worst = max(worst, -tokens)
        return worst


@pytest.fixture
async def fleet(
    engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Callable[..., Fleet]]:
    # Redis answers each question, however busy the machine is
    monkeypatch.setattr(module, "PATIENCE", 60.0)
    redis = aioredis.Redis.from_url(engines.redis_url)
    await redis.flushall()
    await redis.set(CLOCK, 1_000_000_000)

    def made(per_minute: int, capacity: int, count: int) -> Fleet:
        return Fleet(redis, f"t{per_minute}-{capacity}", per_minute, capacity, count)

    yield made
    await redis.aclose()


@pytest.mark.parametrize("seed", range(12))
async def test_no_number_of_proxies_is_ever_over_the_limit(
    fleet: Callable[..., Fleet], seed: int
) -> None:
    """Each asks in its own rhythm, and is restarted now and then; the clock stands, creeps, and leaps over the end of leases."""
    rng = Random(seed)
    proxies = rng.choice((1, 2, 3, 8))
    many = fleet(rng.choice((60, 600, 6_000, 60_000)), rng.choice((1, 5, 90, 1_500)), proxies)  # fmt: skip
    for _ in range(150):
        await many.pass_time(rng.choice((0, 0.001, 0.02, 0.3, LIFE - 0.001, LIFE, 5.0)))
        number = rng.randrange(proxies)
        calls = (many.call(number) for _ in range(rng.choice((1, 1, 3, 40))))
        await asyncio.gather(*calls)
        if rng.random() < 0.05:
            await many.settled()
            many.restart(number)
    # a millisecond's worth is lost to rounding
    assert many.excess() <= 1e-6 + many.per_minute / 60_000


@pytest.mark.parametrize("proxies", [1, 3, 10])
@pytest.mark.parametrize(("per_minute", "capacity"), [(600, 100), (60_000, 1_500)])
async def test_with_more_calls_than_the_limit_nearly_all_of_it_is_used(
    fleet: Callable[..., Fleet], per_minute: int, capacity: int, proxies: int
) -> None:
    many, rng, began = fleet(per_minute, capacity, proxies), Random(1), 1_000_000.0
    for _ in range(60):
        await many.pass_time(0.05)
        for number in rng.sample(range(proxies), proxies):
            while await many.call(number):
                pass
    could = capacity + per_minute / 60 * (many.now - began)
    assert 0.95 * could <= len(many.allowed) <= could + 1e-6


async def test_a_call_with_a_lease_does_not_ask_redis(
    fleet: Callable[..., Fleet], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = fleet(60_000, 1_500, 1)
    limiter, questions = one.limiters[0], 0
    take = limiter._take

    async def counted(enquiry: module.Enquiry) -> list[int]:
        nonlocal questions
        questions += 1
        return await take(enquiry)

    monkeypatch.setattr(limiter, "_take", counted)
    for _ in range(1_000):
        await one.pass_time(0.001)
        assert await one.call(0)
    # 64 for each renewal, which is asked for when a quarter is left
    assert questions <= 1_000 / (MOST * 3 / 4) + 8
    questions = 0
    for _ in range(1_000):
        await one.pass_time(0.001)
        assert await one.call(0, budget=10**9)
    # the budget is looked at as often as tokens are reported
    assert 1 / LIFE_WITH_BUDGET <= questions <= 1_000 / (MOST * 3 / 4) + 8


async def test_calls_that_are_rare_borrow_nothing(fleet: Callable[..., Fleet]) -> None:
    """Twenty proxies with a call every three seconds, at the same moment: each costs one, and a burst finds the bucket full."""
    some = fleet(600, 600, 20)
    for _ in range(100):
        assert all([await some.call(number) for number in range(20)])
        await some.pass_time(3)
    assert sum([await some.call(0) for _ in range(500)]) == 500
    assert some.excess() == 0


async def test_near_the_limit_nothing_is_lent(fleet: Callable[..., Fleet]) -> None:
    one = fleet(60, 9, 1)
    assert [await one.call(0) for _ in range(10)] == [True] * 9 + [False]
    assert one.limiters[0]._leases[one.tenant].left == 0


async def test_a_lost_answer_costs_its_lease_and_no_more(
    fleet: Callable[..., Fleet], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = fleet(600, 100, 1)
    limiter = one.limiters[0]
    take = limiter._take

    async def lost(enquiry: module.Enquiry) -> list[int]:
        await take(enquiry)
        raise RedisGone

    for _ in range(20):
        await one.call(0)
    await one.settled()
    monkeypatch.setattr(limiter, "_take", lost)
    for _ in range(30):
        await one.call(0)
    await one.pass_time(LIFE)
    monkeypatch.setattr(limiter, "_take", take)
    while await one.call(0):
        pass
    assert one.excess() <= 1e-6
    assert limiter._leases[one.tenant].asking is False


@pytest.mark.parametrize("leap", [3_600.0, -3_600.0, 86_400.0])
async def test_a_clock_of_redis_that_jumps_refills_once_and_never_stops_the_calls(
    fleet: Callable[..., Fleet], leap: float
) -> None:
    one = fleet(600, 100, 2)
    while await one.call(0):
        pass
    one.ahead = leap
    await one.pass_time(0.0)
    while await one.call(1):
        pass
    assert len(one.allowed) <= 2 * one.capacity
    before = len(one.allowed)
    await one.pass_time(3.0)
    while await one.call(0):
        pass
    assert before + 29 <= len(one.allowed) <= before + 31


async def test_redis_that_forgot_its_leases_lends_anew(
    fleet: Callable[..., Fleet],
) -> None:
    one = fleet(60_000, 1_500, 1)
    for _ in range(200):
        await one.call(0)
    await one.settled()
    held = one.limiters[0]._leases[one.tenant].left
    await one.redis.delete(bucket_key(one.tenant))
    for _ in range(held + 1):
        assert await one.call(0)
    await one.settled()
    assert one.limiters[0]._leases[one.tenant].left <= MOST


async def test_a_budget_that_only_some_proxies_know_of_ends_no_lease_of_the_others(
    fleet: Callable[..., Fleet],
) -> None:
    """A lease of the one lasts eight times as long as one of the other may."""
    two = fleet(600, 100, 2)
    for _ in range(30):
        await two.call(0)
    await two.settled()
    assert two.limiters[0]._leases[two.tenant].left > 0
    await two.pass_time(0.01)
    while await two.call(1, budget=10**9):
        pass
    while await two.call(0):
        pass
    assert two.excess() <= 1e-6 + 0.01 * two.per_minute / 60
