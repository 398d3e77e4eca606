"""Requests per minute: many proxies keep to one limit; without Redis each keeps to its share, and nobody waits."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator

import pytest
import redis.asyncio as aioredis

from addons.tenants import rate_limit as module
from addons.tenants.compiled_snapshot import Caller
from addons.tenants.rate_limit import PATIENCE, RateLimiter
from cli.engines import Engines
from contract.snapshot import KeyEntry, Rate, TenantEntry
from contract.streams import spent_key
from tests.support.shared import slack

A_SECOND, CAPACITY, SECONDS = 100, 60, 3.0
RATE = Rate(
    per_minute=A_SECOND * 60, burst=CAPACITY / (A_SECOND * 60), window_seconds=60
)
CLIENTS, PROXIES = 10, 3


def caller(tenant: str, per_minute: int | None = None) -> Caller:
    return Caller(
        TenantEntry(tenant, "default", "", max_requests_per_minute=per_minute),
        KeyEntry("k", tenant, ""),
    )


@pytest.fixture
async def limiters(engines: Engines) -> AsyncIterator[list[RateLimiter]]:
    """Of three proxies, which know of one another."""
    connections = [
        aioredis.Redis.from_url(
            engines.redis_url, socket_timeout=0.5, socket_connect_timeout=0.5
        )
        for _ in range(PROXIES)
    ]
    made = [
        RateLimiter(redis, f"w{number}") for number, redis in enumerate(connections)
    ]
    await connections[0].flushall()
    beats = [asyncio.create_task(limiter.count_proxies()) for limiter in made]
    while any(limiter.proxies < PROXIES for limiter in made):
        await asyncio.sleep(0.05)
    yield made
    for beat in beats:
        beat.cancel()
    for redis in connections:
        await redis.aclose()


async def load(
    limiters: list[RateLimiter], tenant: str, seconds: float
) -> tuple[int, list[float], float]:
    """Ten clients at each proxy, together twice the limit: how many calls were let go, how long each was held up, and how
    long all took, which on a busy machine is longer than `seconds`.
    """
    taken: list[float] = []
    allowed = 0
    pause = CLIENTS * PROXIES / (2 * A_SECOND)
    start = time.monotonic()
    until = start + seconds

    async def client(limiter: RateLimiter, number: int) -> None:
        nonlocal allowed
        due = time.monotonic() + pause * number / CLIENTS
        while due < until:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            began = time.monotonic()
            allowance = await limiter.settle(limiter.ask(caller(tenant), RATE))
            taken.append(time.monotonic() - began)
            allowed += allowance.allowed
            due += pause

    await asyncio.gather(
        *(client(limiter, number) for limiter in limiters for number in range(CLIENTS))
    )
    return allowed, taken, time.monotonic() - start


async def test_three_proxies_keep_to_one_limit_and_its_burst(
    limiters: list[RateLimiter], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Redis answers each question, however busy the machine is
    monkeypatch.setattr(module, "PATIENCE", 60.0)
    allowed, _, took = await load(limiters, "t", SECONDS)
    wanted = CAPACITY + A_SECOND * max(SECONDS, took)
    # let go while an answer was late, and made good with the next
    untold = sum(sum(limiter._debt.values()) for limiter in limiters)
    assert -max(2, 0.02 * wanted) <= allowed - wanted <= max(2, 0.02 * wanted) + untold


async def test_without_redis_each_proxy_keeps_to_its_share_and_nobody_waits(
    limiters: list[RateLimiter], engines: Engines
) -> None:
    await load(limiters, "u", 0.5)
    pid = (await limiters[0].redis.info("server"))["process_id"]
    os.kill(pid, signal.SIGSTOP)
    try:
        allowed, taken, took = await load(limiters, "u", SECONDS)
    finally:
        os.kill(pid, signal.SIGCONT)
    assert allowed <= 1.3 * (A_SECOND * max(SECONDS, took)) + CAPACITY
    assert allowed >= 0.7 * A_SECOND * SECONDS
    taken.sort()
    assert taken[len(taken) // 2] < PATIENCE * slack()  # most do not even ask
    assert sum(limiter.local for limiter in limiters) > 100


async def test_a_tenants_own_limit_overrules_the_rate_for_all_and_says_when_to_come_back(
    limiters: list[RateLimiter],
) -> None:
    limiter, rate = limiters[0], Rate(per_minute=1000, burst=1.0, window_seconds=60)
    answers = [
        await limiter.settle(limiter.ask(caller("v", 2), rate)) for _ in range(3)
    ]
    assert [answer.allowed for answer in answers] == [True, True, False]
    assert 25 < answers[2].retry_after <= 30
    assert (
        await limiter.settle(limiter.ask(caller("w"), rate))
    ).allowed  # another tenant's


async def test_tokens_of_all_proxies_are_one_sum_and_known_without_redis(
    limiters: list[RateLimiter], engines: Engines
) -> None:
    who = Caller(
        TenantEntry("tok", "default", "", max_tokens_per_day=100),
        KeyEntry("k", "tok", ""),
    )
    tellers = [asyncio.create_task(limiter.report_spending()) for limiter in limiters]

    async def allowed(limiter: RateLimiter) -> bool:
        return (await limiter.settle(limiter.ask(who, RATE))).allowed

    for limiter in limiters:
        limiter.spend("tok", 30)
    await asyncio.sleep(0)
    assert await allowed(limiters[0])
    limiters[0].spend("tok", 30)
    async with asyncio.timeout(120):
        while await allowed(limiters[2]):
            await asyncio.sleep(0.05)
    pid = (await limiters[0].redis.info("server"))["process_id"]
    os.kill(pid, signal.SIGSTOP)
    try:
        answer = await limiters[2].settle(limiters[2].ask(who, RATE))
        assert (answer.allowed, answer.tokens, answer.retry_after > 0) == (
            False,
            True,
            True,
        )
    finally:
        os.kill(pid, signal.SIGCONT)
    for teller in tellers:
        teller.cancel()


@pytest.mark.parametrize("work", [0.002, 0.0])
async def test_far_above_the_limit_and_with_a_busy_loop_no_more_is_let_go(
    limiters: list[RateLimiter], work: float
) -> None:
    """The loop's own work makes answers late; what is let go without them, Redis is told of."""
    rate, who, limiter = (
        Rate(per_minute=600, burst=0.1, window_seconds=60),
        caller(f"busy-{work}"),
        limiters[0],
    )
    start, allowed = time.monotonic(), 0
    until = start + SECONDS

    async def client() -> None:
        nonlocal allowed
        while time.monotonic() < until:
            question = limiter.ask(who, rate)
            await asyncio.sleep(0)
            time.sleep(work)
            allowed += (await limiter.settle(question)).allowed
            await asyncio.sleep(0)

    await asyncio.gather(*(client() for _ in range(20)))
    wanted = 60 + 10 * (time.monotonic() - start)
    assert allowed <= 1.3 * wanted + 60 / PROXIES, (allowed, limiter.local)


async def test_tokens_that_are_told_twice_are_counted_once(
    limiters: list[RateLimiter],
) -> None:
    limiter = limiters[0]
    limiter.spend("twice", 100)
    said = +limiter._unsaid
    await limiter._report(said)
    limiter._unsaid.update(said)
    limiter._told -= said  # as if nothing had been heard of it
    await limiter.end()
    limiter.spend("twice", 5)
    await limiter.end()
    (kept,) = [value async for value in _values(limiter, "twice")]
    assert kept == b"105"


async def _values(limiter: RateLimiter, tenant: str) -> AsyncIterator[bytes]:
    for value in await limiter.redis.hvals(
        spent_key(tenant, int(time.time()) // 86400)
    ):  # type: ignore[misc]
        yield value
