"""Records into PostgreSQL: whole batches, once each, in order, and what is no record kept aside. Real PostgreSQL, real Valkey."""

import asyncio
import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest
from aiohttp.test_utils import TestClient, TestServer

from cli.engines import Engines
from contract.decision import Completion, Decision, Place, Record, encode, new_id
from contract.proof import record_mac
from contract.streams import FIELD, GROUP, MAC, ONE
from control import arrivals
from control.app import application
from control.jobs import ingest
from control.state import State
from control.store import audit, database, search, tally
from tests.support.house import PATIENCE

ADMIN = {"X-API-Key": "a" * 40}


def decision(seq: int, **more: object) -> Decision:
    values = {
        "id": new_id(),
        "time": datetime.now(UTC),
        "tenant": "t",
        "key": "k",
        "action": "ALLOW",
        "coverage": "full",
        "host": "h",
        **more,
    }
    return Decision(place=Place("w", "b", seq), **values)  # type: ignore[arg-type]


def completion(seq: int, of: Decision) -> Completion:
    return Completion(
        id=of.id,
        time=datetime.now(UTC),
        place=Place("w", "b", seq),
        tenant="t",
        outcome="ok",
        status=200,
        duration_ms=1,
    )


async def send(state: State, *records: Record | bytes) -> None:
    for record in records:
        await state.redis.xadd(
            ONE.records,
            {FIELD: record if isinstance(record, bytes) else encode(record)},
        )


async def ingested(state: State, decisions: int) -> list[search.Row]:
    """Run the job until that many decisions are stored and nothing is left to do."""
    job = asyncio.create_task(ingest.run(state))
    try:
        async with asyncio.timeout(PATIENCE):
            while True:
                rows = await search.search(state.pool, search.Sought(), limit=1000)
                if len(rows) >= decisions and await state.redis.xlen(ONE.records) == 0:
                    return rows
                await asyncio.sleep(0.02)
    finally:
        job.cancel()
        await asyncio.gather(job, return_exceptions=True)


async def one(state: State, sql: str) -> object:
    async with state.pool.connection() as connection:
        row = await (await connection.execute(sql.encode())).fetchone()
    assert row is not None
    return next(iter(row.values()))


async def test_a_decision_and_its_completion_become_one_row(state: State) -> None:
    first = decision(0)
    await send(state, first, completion(1, first))
    (row,) = await ingested(state, 1)
    assert row.decision == first
    assert row.completion is not None
    assert row.completion.id == first.id


async def test_the_same_record_twice_is_stored_once(state: State) -> None:
    first = decision(0)
    await send(state, first, first, completion(1, first), completion(1, first))
    assert len(await ingested(state, 1)) == 1
    assert await one(state, "SELECT count(*) FROM completion") == 1


async def test_what_was_read_and_never_acknowledged_is_read_again_first(
    state: State,
) -> None:
    await state.redis.xgroup_create(ONE.records, GROUP, id="0", mkstream=True)
    first, second = decision(0), decision(1)
    await send(state, first)
    await state.redis.xreadgroup(GROUP, "ingest", {ONE.records: ">"})
    await send(state, second)
    assert {row.decision.id for row in await ingested(state, 2)} == {
        first.id,
        second.id,
    }


async def test_the_watermark_rises_only_without_a_gap(state: State) -> None:
    records = [decision(seq) for seq in range(6)]
    await send(state, *records[:2], *records[3:])
    await ingested(state, 5)
    assert await audit.watermark_of(state.pool, "w", "b") == 1
    await send(state, records[2])
    await ingested(state, 6)
    assert await audit.watermark_of(state.pool, "w", "b") == 5
    assert await audit.watermark_of(state.pool, "w", "other boot") == -1


POISON = {
    "no record": b"{",
    "no field": b"",
    "bad id": encode(decision(0)).replace(b'"id":"', b'"id":"x'),
    "long ago": json.dumps(
        {**json.loads(encode(decision(0))), "id": new_id(1_000_000)}
    ).encode(),
    "far ahead": json.dumps(
        {**json.loads(encode(decision(0))), "id": new_id(4_000_000_000)}
    ).encode(),
    "a NUL in its place": json.dumps(
        {
            **json.loads(encode(decision(0))),
            "place": {"worker": "a\0", "boot": "b", "seq": 0},
        }
    ).encode(),
    "a place beyond counting": json.dumps(
        {
            **json.loads(encode(decision(0))),
            "place": {"worker": "w", "boot": "b", "seq": 2**64 - 1},
        }
    ).encode(),
    "a tenant without end": json.dumps(
        {**json.loads(encode(decision(0))), "tenant": "t" * 9000}
    ).encode(),
    "deep": encode(decision(0))[:-1]
    + b',"more":'
    + b"[" * 100_000
    + b"]" * 100_000
    + b"}",
    "a NUL in the tenant": json.dumps(
        {**json.loads(encode(decision(0))), "tenant": "a\0b"}
    ).encode(),
}


TELLS_ITS_PLACE = {"long ago", "far ahead"}


@pytest.mark.parametrize("kind", POISON)
async def test_what_is_no_record_is_kept_aside_and_stops_nothing(
    state: State, kind: str
) -> None:
    good = decision(1)
    await send(state, POISON[kind], good)
    (row,) = await ingested(state, 1)
    assert row.decision == good
    assert await one(state, "SELECT count(*) FROM quarantine") == 1
    assert bytes(await one(state, "SELECT payload FROM quarantine")) == POISON[kind]  # type: ignore[arg-type]
    assert await audit.watermark_of(state.pool, "w", "b") == (
        1 if kind in TELLS_ITS_PLACE else -1
    )


async def test_a_flushed_redis_gets_its_group_again(state: State) -> None:
    job = asyncio.create_task(ingest.run(state))
    try:
        async with asyncio.timeout(PATIENCE):
            while not await state.redis.exists(ONE.records):
                await asyncio.sleep(0.02)
            await state.redis.flushall()
            await send(state, decision(0))
            while not await search.search(state.pool, search.Sought(), limit=10):
                await asyncio.sleep(0.02)
    finally:
        job.cancel()
        await asyncio.gather(job, return_exceptions=True)


async def test_two_control_processes_do_not_ingest_at_once(state: State) -> None:
    async with (
        await database.alone(state.settings.database) as first,
        await database.alone(state.settings.database) as second,
    ):
        assert await database.lead(first, audit.INGEST_LOCK)
        assert not await database.lead(second, audit.INGEST_LOCK)


async def test_a_migration_is_applied_once_and_a_changed_one_is_refused(
    state: State,
) -> None:
    assert await database.migrate(state.pool) == []
    async with state.pool.connection() as connection:
        await connection.execute("UPDATE migration SET checksum = 'other'")
    with pytest.raises(database.ChangedMigration, match=r"0001_first\.sql"):
        await database.migrate(state.pool)


async def test_search_by_status_and_tenant_newest_first(state: State) -> None:
    now = time.time()
    records = [
        decision(0, id=new_id(now)),
        decision(1, id=new_id(now + 1), action="BLOCK"),
        decision(2, id=new_id(now + 2), action="BLOCK", tenant="u"),
        decision(3, id=new_id(now + 3), action="BLOCK"),
    ]
    await send(state, *records)
    await ingested(state, 4)
    blocked = await search.search(
        state.pool, search.Sought(tenants=["t"], status="BLOCK"), limit=10
    )
    assert [row.decision.id for row in blocked] == [records[3].id, records[1].id]
    assert len(await search.search(state.pool, search.Sought(), limit=2)) == 2


def test_the_migrations_are_readable_by_psql(engines: Engines) -> None:
    files = sorted(Path("control/store/migrations").glob("*.sql"))
    assert [path.name for path in files] == sorted(path.name for path in files)
    with psycopg.connect(engines.database_url) as connection:
        for path in files:
            connection.execute(path.read_bytes())
        connection.rollback()


async def test_a_time_without_a_zone_is_kept_aside_and_holds_up_nothing(
    state: State,
) -> None:
    odd = encode(decision(1)).replace(b'Z"', b'"', 1)
    assert b'Z"' not in odd.split(b'"place"')[0]
    await send(state, decision(0), odd, decision(2))
    assert len(await ingested(state, 2)) == 2
    assert await one(state, "SELECT count(*) FROM quarantine") == 1


async def signed(state: State, *records: Record, key: bytes | None = None) -> None:
    """Send records as a proxy does, or as somebody with another key."""
    for record in records:
        payload = encode(record)
        mac = record_mac(key or state.vault.record_key, payload)
        await state.redis.xadd(ONE.records, {FIELD: payload, MAC: mac})


async def test_what_is_forged_is_set_aside_and_moves_no_watermark(state: State) -> None:
    first, second, third = decision(0), decision(1), decision(2)
    await signed(state, first)
    await ingested(state, 1)
    await signed(state, second, key=b"another")
    await send(state, third)  # without a MAC, in the name of a proxy that signs
    moved = encode(second).replace(b'"seq":1', b'"seq":2')
    mac = record_mac(state.vault.record_key, encode(second))
    await state.redis.xadd(ONE.records, {FIELD: moved, MAC: mac})
    await send(state, other := decision_of("another-worker"))  # of an earlier version
    rows = await ingested(state, 2)
    assert {row.decision.id for row in rows} == {first.id, other.id}
    assert await audit.watermark_of(state.pool, "w", "b") == 0
    forged = "SELECT count(*) FROM quarantine WHERE reason LIKE 'forged%'"
    assert await one(state, forged) == 3
    counts = {
        series.labels: value
        for series, value in (await tally.read(state.pool)).items()
        if series.name == "quarantined_records"
    }
    assert counts == {("forged",): 3}
    # The proxy itself sends them again: nothing was lost, nothing is doubled.
    await signed(state, first, second, third)
    assert len(await ingested(state, 4)) == 4
    assert await audit.watermark_of(state.pool, "w", "b") == 2


def decision_of(worker: str) -> Decision:
    return msgspec.structs.replace(decision(0), place=Place(worker, "b", 0))


async def test_a_flood_of_forged_records_does_not_fill_the_database(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "MOST_SET_ASIDE", 5)
    for number in range(12):
        payload = b"x" * (audit.MOST_PAYLOAD + number)
        await state.redis.xadd(ONE.records, {FIELD: payload, MAC: "00"})
    await signed(state, decision(0))
    await ingested(state, 1)
    assert await one(state, "SELECT count(*) FROM quarantine") == 5
    longest = await one(state, "SELECT max(length(payload)) FROM quarantine")
    assert longest == audit.MOST_PAYLOAD
    series = tally.Series("quarantined_records", ("forged",))
    assert (await tally.read(state.pool))[series] == 12


async def test_a_record_without_a_mac_of_an_earlier_proxy_is_marked(
    state: State,
) -> None:
    await signed(state, decision(0))
    await send(state, other := decision_of("another-worker"))
    rows = await ingested(state, 2)
    assert {row.decision.id: row.signed for row in rows}[other.id] is False
    assert sorted(row.signed is True for row in rows) == [False, True]


async def test_what_a_later_version_can_read_is_replayed_and_what_is_forged_never_is(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = arrivals.decode

    def older(payload: bytes) -> Record:
        if b'"newer"' in payload:
            raise ValueError("a version that is not known here")
        return read(payload)

    monkeypatch.setattr(arrivals, "decode", older)
    new, forged, plain = (decision(number, model="newer") for number in range(3))
    await signed(state, new)
    await signed(state, forged, key=b"another")
    await send(state, plain)  # anybody could have sent it
    await signed(state, decision(3))
    await ingested(state, 1)
    async with TestClient(TestServer(application(state))) as client:
        listed = await entries_of(client)
        assert [one["signed"] for one in listed].count(True) == 1
        assert not any("newer" in str(one) for one in listed)
        assert await replayed(client) == {"stored": 0, "left": 1}
        monkeypatch.setattr(arrivals, "decode", read)
        assert await replayed(client) == {"stored": 1, "left": 0}
        assert await replayed(client) == {"stored": 0, "left": 0}
        assert len(await entries_of(client)) == 2
        bad = await client.get("/v1/quarantine?cursor=x", headers=ADMIN)
        assert bad.status == 400
        first = await client.get("/v1/quarantine?limit=1", headers=ADMIN)
        page = await first.json()
        rest = await client.get(f"/v1/quarantine?limit=1&cursor={page['next']}", headers=ADMIN)  # fmt: skip
        assert (await rest.json())["quarantine"] != page["quarantine"]
    rows = await search.search(state.pool, search.Sought(), limit=9)
    assert new.id in {row.decision.id for row in rows}
    assert not {forged.id, plain.id} & {row.decision.id for row in rows}


async def entries_of(client: Any) -> Any:
    return (await (await client.get("/v1/quarantine", headers=ADMIN)).json())["quarantine"]  # fmt: skip


async def replayed(client: Any) -> Any:
    answered = await client.post("/v1/quarantine/replay", headers=ADMIN, data=b"")
    return await answered.json()
