"""What a tenant's proxies remember: shared by Redis, bounded, a day long, and known here while Redis is away. A real Valkey."""

import os
from collections.abc import AsyncIterator

import pytest
import redis.asyncio as aioredis

from addons.tenants import remembered as module
from addons.tenants.remembered import DAY, Remembered
from cli.engines import Engines
from contract.streams import remembered_keys

A, B, C = (bytes([n]) * 32 for n in (1, 2, 3))


@pytest.fixture
async def valkey(
    engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator["aioredis.Redis"]:
    monkeypatch.setattr(module, "PATIENCE", 30.0)  # a busy machine
    client = aioredis.Redis.from_url(engines.redis_url)
    await client.flushall()
    yield client
    await client.aclose()


async def test_one_proxy_knows_what_another_remembered(
    valkey: "aioredis.Redis",
) -> None:
    first, second = Remembered(valkey), Remembered(valkey)
    await first.remember("refused", "t", {A: b"beside", B: b""})
    assert await second.recall("refused", "t", [A, B, C]) == {A: b"beside", B: b""}
    assert await second.recall("signed", "t", [A]) == {}
    assert await second.recall("refused", "other", [A]) == {}


async def test_what_was_remembered_first_stays(valkey: "aioredis.Redis") -> None:
    first, second = Remembered(valkey), Remembered(valkey)
    await first.remember("refused", "t", {A: b"first"})
    await first.remember("refused", "t", {A: b"later"})
    await second.remember("refused", "t", {A: b"elsewhere"})
    assert await first.recall("refused", "t", [A]) == {A: b"first"}
    assert await Remembered(valkey).recall("refused", "t", [A]) == {A: b"first"}


async def test_the_newest_are_kept(
    valkey: "aioredis.Redis", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST", 10)
    proxy = Remembered(valkey)
    hashes = [os.urandom(32) for _ in range(25)]
    for one in hashes:
        await proxy.remember("refused", "t", {one: b""})
    values, times = remembered_keys("refused", "t")
    assert await valkey.hlen(values) == await valkey.zcard(times) == 10
    assert set(await proxy.recall("refused", "t", hashes)) <= set(hashes[-10:])
    assert 0 < await valkey.ttl(values) <= DAY


async def test_after_a_day_nothing_is_remembered(
    valkey: "aioredis.Redis", monkeypatch: pytest.MonkeyPatch
) -> None:
    now = module.time.time()
    proxy = Remembered(valkey)
    await proxy.remember("refused", "t", {A: b""})
    monkeypatch.setattr(module.time, "time", lambda: now + DAY + 2)
    assert await proxy.recall("refused", "t", [A]) == {}
    assert await Remembered(valkey).recall("refused", "t", [A]) == {}


async def test_what_is_remembered_anew_after_a_day_is_shared(
    valkey: "aioredis.Redis",
) -> None:
    values, times = remembered_keys("refused", "t")
    await valkey.hset(values, A, bytes(5) + b"old")  # type: ignore[misc]
    await valkey.zadd(times, {A: 1.0})
    await Remembered(valkey).remember("refused", "t", {A: b"new"})
    assert await Remembered(valkey).recall("refused", "t", [A]) == {A: b"new"}


async def test_a_proxy_without_redis_knows_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    away = aioredis.Redis.from_url("redis://127.0.0.1:1", socket_connect_timeout=1)
    proxy = Remembered(away)
    await proxy.remember("refused", "t", {A: b"x"})
    assert await proxy.recall("refused", "t", [A, B]) == {A: b"x"}
    assert proxy.missed == 1  # then it rests
    await away.aclose()


async def test_tenants_are_bounded_here_and_remembered_in_redis(
    valkey: "aioredis.Redis", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_IN_ALL", 2)
    proxy = Remembered(valkey)
    for tenant in ("a", "b", "c"):
        await proxy.remember("refused", tenant, {A: b""})
    assert len(proxy._here) == 2
    assert await proxy.recall("refused", "a", [A]) == {A: b""}
