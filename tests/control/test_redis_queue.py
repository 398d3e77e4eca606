"""Redis in each of its faults: control says which, and that it is over; what waits in it is counted, and since when."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import redis.asyncio as aioredis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from cli.engines import Engines
from contract.streams import CONSUMER, FIELD, GROUP, ONE
from control.health import PATIENCE
from control.redis_queue import Queue, redis_fault, waiting
from control.state import State


@pytest.fixture
async def client(engines: Engines) -> AsyncIterator["aioredis.Redis"]:
    made = aioredis.Redis.from_url(engines.redis_url)
    await made.flushall()
    yield made
    await made.aclose()


async def test_a_memory_that_is_full_and_a_replica_are_said_to_be_so(
    client: "aioredis.Redis",
) -> None:
    assert await redis_fault(client) is None
    await client.config_set("maxmemory", "1")
    assert "memory" in (await redis_fault(client) or "")
    await client.config_set("maxmemory", "0")
    assert await redis_fault(client) is None
    await client.replicaof("127.0.0.1", "1")
    said = await redis_fault(client) or ""
    await client.replicaof("NO", "ONE")
    assert "only reads" in said
    assert await redis_fault(client) is None


async def test_a_wrong_password_and_no_server_are_two_things(
    client: "aioredis.Redis", engines: Engines
) -> None:
    await client.acl_setuser("ef-test", enabled=True, passwords=["+right"], keys=["other:*"], commands=["+@all"])  # fmt: skip
    for told, word in (("wrong", "password"), ("right", "ACL")):
        other = aioredis.Redis.from_url(
            engines.redis_url, username="ef-test", password=told, retry=Retry(NoBackoff(), 1),
        )  # fmt: skip
        assert word in (await redis_fault(other) or "")
        await other.aclose()
    await client.acl_deluser("ef-test")
    nowhere = aioredis.Redis.from_url("redis://127.0.0.1:1")
    assert await redis_fault(nowhere) == "does not answer"
    assert await waiting(nowhere) is None


async def test_what_waits_is_counted_until_it_is_stored(
    client: "aioredis.Redis",
) -> None:
    assert await waiting(client) is None, "there is no stream yet"
    await client.xgroup_create(ONE.records, GROUP, id="0", mkstream=True)
    assert await waiting(client) == Queue(0, 0.0)
    old = await client.xadd(ONE.records, {FIELD: b"x"}, id="1000-0")
    await client.xadd(ONE.records, {FIELD: b"x"})
    found = await waiting(client)
    assert found is not None
    assert (found.records, found.oldest > 1e9) == (2, True)
    await client.xreadgroup(GROUP, CONSUMER, {ONE.records: ">"}, count=2)
    found = await waiting(client)
    assert found is not None
    assert found.records == 2, "read and not stored still waits"
    await client.xack(ONE.records, GROUP, old)
    await client.xdel(ONE.records, old)
    found = await waiting(client)
    assert found is not None
    assert (found.records, found.oldest < 60) == (1, True)


async def test_health_says_which_fault_and_that_it_is_over(state: State) -> None:
    from control.health import _queue

    async with asyncio.timeout(PATIENCE * 10):
        await state.redis.config_set("maxmemory", "1")
        said = await _queue(state)
        await state.redis.config_set("maxmemory", "0")
        assert said["status"] == "DEGRADED"
        assert "memory" in str(said["detail"])
        assert await _queue(state) == {"status": "OK"}
