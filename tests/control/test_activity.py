"""Counts that are kept while records are stored are those that the records themselves give; and the tail of the audit."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta, timezone
from random import Random
from typing import Any

import msgspec
import pytest
from aiohttp.test_utils import TestClient, TestServer

from contract.decision import (
    Completion,
    Decision,
    Fired,
    Outcome,
    Place,
    Record,
    encode,
    new_id,
)
from control import tail
from control.app import application
from control.state import State
from control.store import activity, audit, database, retention
from control.store.audit import Arrival, Partitions
from control.store.search import Sought, stats
from control.watchers import MOST_OF_ONE

ADMIN = {"X-API-Key": "a" * 40}
ACTIONS = ("ALLOW", "FLAG", "REDACT", "BLOCK")
RULES = ("credentials.aws", "pii.card", "confidential.tlp-red")


def exchange(rng: Random, at: datetime, seq: int) -> tuple[Decision, Completion]:
    """An exchange, in whose answer some rule fires again."""
    id, tenant = new_id(at.timestamp()), rng.choice(("acme", "globex"))

    def fired() -> tuple[Fired, ...]:
        return tuple(Fired(one, "FLAG", "low", 1) for one in rng.sample(RULES, rng.randint(0, 2)))  # fmt: skip

    decision = Decision(
        id=id, time=at, place=Place("w", "b", 2 * seq), tenant=tenant, key="k", action=rng.choice(ACTIONS), coverage="full", rules=fired(),
        provider=rng.choice(("openai", "")), host="api.openai.com", model=rng.choice(("gpt", "claude", "")),
    )  # fmt: skip
    outcomes: tuple[Outcome, ...] = ("ok", "refused", "upstream_error")
    completion = Completion(
        id=id, time=at, place=Place("w", "b", 2 * seq + 1), tenant=tenant, outcome=rng.choice(outcomes), duration_ms=5, rules=fired(),
        input_tokens=rng.choice((None, 10)), output_tokens=3, added_ms=rng.choice((None, 0.2, 4.0, 9999.0)),
    )  # fmt: skip
    return decision, completion


async def keep(state: State, records: Sequence[Record]) -> None:
    """Store records in one batch."""
    arrivals = [Arrival(f"{one.id} {type(one).__name__}", encode(one), one) for one in records]  # fmt: skip
    async with await database.alone(state.settings.database) as connection:
        await audit.store(connection, Partitions(), arrivals, [])


@pytest.fixture
async def client(state: State) -> AsyncIterator[Any]:
    async with TestClient(TestServer(application(state))) as made:
        yield made


async def ask(client: Any, path: str) -> Any:
    answer = await client.get(path, headers=ADMIN)
    assert answer.status == 200, await answer.text()
    return await answer.json()


async def filled(state: State, seed: int, count: int = 300) -> list[tuple[Decision, Completion]]:  # fmt: skip
    """Exchanges of two days; their halves arrive in any order, in batches of any size, some of them twice."""
    rng = Random(seed)
    began = datetime.now(UTC) - timedelta(days=2)
    made = [exchange(rng, began + timedelta(seconds=rng.uniform(0, 2 * 86_400)), seq) for seq in range(count)]  # fmt: skip
    records: list[Record] = [half for one in made for half in one]
    rng.shuffle(records)
    while records:
        batch, records = records[: (size := rng.randint(1, 80))], records[size:]
        await keep(state, batch)
        if rng.random() < 0.3:
            await keep(state, batch[:5])
    return made


@pytest.mark.parametrize("seed", range(3))
async def test_counts_are_those_of_the_records_in_whatever_order_they_arrive(state: State, seed: int) -> None:  # fmt: skip
    await filled(state, seed)
    now = datetime.now(UTC)
    since, until = now - timedelta(hours=30, minutes=7, seconds=3), now - timedelta(hours=2, minutes=44)  # fmt: skip
    for tenants in (None, ["acme"], ["acme", "globex"]):
        for bounds in ((None, None), (since, until), (since, None), (None, until), (until, until + timedelta(minutes=9))):  # fmt: skip
            counted: dict[str, dict[str, int]] = {}
            for dimension, value, count in await activity.choices(state.reading, tenants, *bounds):  # fmt: skip
                counted.setdefault(dimension, {})[value] = count
            told = await stats(state.reading, Sought(tenants=tenants, since=bounds[0], until=bounds[1]))  # fmt: skip
            for name, dimension in (("actions", "status"), ("reasons", "reason"), ("providers", "provider"), ("models", "model"), ("outcomes", "outcome")):  # fmt: skip
                assert counted.get(dimension, {}) == told[name], (tenants, bounds, name)


async def test_a_rule_that_fired_on_call_and_answer_counts_once(state: State) -> None:
    made = await filled(state, 7, 200)
    wanted = Counter(rule for call, answer in made for rule in {one.rule for one in (*call.rules, *answer.rules)})  # fmt: skip
    found = await activity.choices(state.reading, None, None, None)
    assert {value: count for name, value, count in found if name == "rule"} == wanted
    hits = await activity.rules(state.reading, None, datetime.now(UTC) - timedelta(days=3), datetime.now(UTC))  # fmt: skip
    assert {one.rule: one.number for one in hits} == wanted


async def test_several_filters_are_counted_among_the_newest(state: State, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    await filled(state, 8, 200)
    sought = Sought(status="BLOCK", provider="openai")
    found, more = await activity.choices_among(state.reading, sought)
    told = await stats(state.reading, sought)
    assert {value: count for name, value, count in found if name == "model"} == told["models"]  # fmt: skip
    assert not more
    monkeypatch.setattr(activity, "BOUND", 10)
    found, more = await activity.choices_among(state.reading, sought)
    assert more and sum(count for name, _, count in found if name == "status") == 11


async def test_figures_over_time_add_up_to_the_whole(client: Any, state: State) -> None:
    made = await filled(state, 9)
    for step, hours in (("1m", 1), ("1h", 24), ("6h", 40)):
        since = datetime.now(UTC) - timedelta(hours=hours)
        told = await ask(client, f"/v1/audit/activity?step={step}&from={since.isoformat().replace('+', '%2B')}")  # fmt: skip
        floor = datetime.fromisoformat(told["from"])
        wanted = [one for one in made if floor <= one[0].time]
        assert sum(sum(point["by_status"].values()) for point in told["points"]) == len(wanted)  # fmt: skip
        assert told["whole"]["by_status"] == Counter(call.action for call, _ in wanted)
        assert told["whole"]["output_tokens"] == 3 * len(wanted)
    assert 0 < told["whole"]["added_ms"][0] <= 5 and told["whole"]["added_ms"][1] == 1000  # fmt: skip


@pytest.mark.parametrize(("query", "code"), [
    ("step=1m&from=2026-01-01T00:00:00Z", "bad_step"), ("step=7m", "bad_step"), ("from=2001-01-01&step=1h", "bad_step"), ("from=later", "bad_from"),
    ("steps=1h", "unknown_parameter"),
])  # fmt: skip
async def test_what_cannot_be_counted_is_said(client: Any, query: str, code: str) -> None:  # fmt: skip
    answer = await client.get(f"/v1/audit/activity?{query}", headers=ADMIN)
    told = (await answer.json())["error"]
    assert (answer.status, told["code"]) == (400, code)


@pytest.mark.parametrize("minutes", [0, 30, 45, -210])
async def test_a_range_is_the_same_in_every_time_zone(state: State, minutes: int) -> None:  # fmt: skip
    await filled(state, 11, 150)
    zone = timezone(timedelta(hours=5, minutes=minutes))
    now = datetime.now(UTC).replace(minute=10)
    since, until = now - timedelta(hours=20, minutes=40), now - timedelta(hours=3, minutes=15)  # fmt: skip
    here = await activity.choices(state.reading, None, since, until)
    there = await activity.choices(state.reading, None, since.astimezone(zone), until.astimezone(zone))  # fmt: skip
    assert here == there


async def test_counts_of_a_tenant_are_forgotten_after_its_own_time(state: State) -> None:  # fmt: skip
    async with state.pool.connection() as connection:
        await connection.execute("INSERT INTO tenant (id, name, preset, prompt_key, retention_days) VALUES ('acme', 'A', 'default', '', 7)")  # fmt: skip
    rng = Random(3)
    made = [exchange(rng, datetime.now(UTC) - timedelta(days=days), seq) for seq, days in enumerate([1, 20] * 40)]  # fmt: skip
    await keep(state, [half for one in made for half in one])
    async with state.pool.connection() as connection:
        await retention.drop_tenants_rows(connection, datetime.now(UTC).date())
    for tenants in (None, ["acme"], ["globex"]):
        told = await stats(state.reading, Sought(tenants=tenants))
        counted = {value: count for name, value, count in await activity.choices(state.reading, tenants, None, None) if name == "status"}  # fmt: skip
        assert counted == told["actions"], tenants


async def test_exchanges_from_before_are_counted_day_by_day_while_others_arrive(client: Any, state: State) -> None:  # fmt: skip
    rng = Random(5)
    began = datetime.now(UTC) - timedelta(days=3)
    made = [exchange(rng, began + timedelta(seconds=rng.uniform(0, 3 * 86_400)), seq) for seq in range(200)]  # fmt: skip
    midnight = (began + timedelta(days=2)).replace(hour=0, minute=0, second=0)
    late, answer = exchange(rng, midnight - timedelta(seconds=20), 999)
    made.append((msgspec.structs.replace(late, time=midnight + timedelta(seconds=20)), answer))  # fmt: skip
    async with state.pool.connection() as connection:
        for table in ("decision", "completion"):
            await connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER ALL".encode())  # fmt: skip
    await keep(state, [half for one in made for half in one])
    async with state.pool.connection() as connection:
        for table in ("decision", "completion"):
            await connection.execute(f"ALTER TABLE {table} ENABLE TRIGGER ALL".encode())
        await connection.execute("DELETE FROM uncounted_day")
        await connection.execute("INSERT INTO uncounted_day SELECT DISTINCT day FROM decision UNION SELECT DISTINCT day + 1 FROM decision")  # fmt: skip
    assert not (await ask(client, "/v1/audit/choices"))["exact"] or await activity.is_counted(state.pool)  # fmt: skip
    later = [exchange(rng, datetime.now(UTC), seq) for seq in range(1000, 1030)]
    storing = asyncio.gather(*(keep(state, [*one]) for one in later))
    while await activity.count_a_day(state.pool):
        pass
    await storing
    assert (await ask(client, "/v1/audit/choices"))["exact"]
    told = await stats(state.reading, Sought())
    found = await activity.choices(state.reading, None, None, None)
    for name, dimension in (("actions", "status"), ("outcomes", "outcome"), ("models", "model")):  # fmt: skip
        assert {value: count for one, value, count in found if one == dimension} == told[name]  # fmt: skip


async def test_two_that_store_at_once_do_not_block_each_other(state: State) -> None:
    rng = Random(4)
    base = datetime.now(UTC) - timedelta(hours=9)
    await keep(state, [exchange(rng, base, 0)[0]])  # the day's partition is there
    made = [exchange(rng, base + timedelta(minutes=rng.randint(0, 300)), seq) for seq in range(240)]  # fmt: skip
    parts = [[half for one in made[first::4] for half in one] for first in range(4)]
    await asyncio.gather(*(keep(state, part) for part in parts))
    told = await stats(state.reading, Sought())
    counted = {value: count for name, value, count in await activity.choices(state.reading, None, None, None) if name == "outcome"}  # fmt: skip
    assert counted == {name: count for name, count in told["outcomes"].items() if name != "open"}  # fmt: skip


async def test_counts_are_forgotten_with_their_records(state: State) -> None:
    made = [exchange(Random(1), datetime.now(UTC) - timedelta(days=days), days) for days in (0, 1, 3, 40)]  # fmt: skip
    await keep(state, [half for one in made for half in one])
    async with state.pool.connection() as connection:
        await retention.drop_logs(connection, 30)
        rows = await connection.execute("SELECT span, sum(count)::int AS count FROM activity WHERE dimension = 'status' AND tenant = '' GROUP BY 1")  # fmt: skip
        assert {row["span"]: row["count"] for row in await rows.fetchall()} == {"hour": 3, "minute": 2}  # fmt: skip


async def test_what_is_left_out_is_what_a_filter_would_find(client: Any, state: State) -> None:  # fmt: skip
    made = await filled(state, 10, 120)
    for name, value in (("status", "BLOCK"), ("rule", RULES[0]), ("model", "gpt"), ("outcome", "ok"), ("tenant", "acme")):  # fmt: skip
        found = {one["id"] for one in (await ask(client, f"/v1/audit?limit=1000&{name}={value}"))["audit"]}  # fmt: skip
        others = {one["id"] for one in (await ask(client, f"/v1/audit?limit=1000&not.{name}={value}"))["audit"]}  # fmt: skip
        assert found | others == {call.id for call, _ in made} and not found & others
        both = (await ask(client, f"/v1/audit?limit=1000&{name}={value}&not.{name}={value}"))["audit"]  # fmt: skip
        assert both == []


# -- the tail ---------------------------------------------------------------------------------------------------------


async def events(answer: Any, count: int) -> list[tuple[str, str]]:
    """The next events of a stream; comments are none."""
    told: list[tuple[str, str]] = []
    kind = ""
    while len(told) < count:
        line = (await asyncio.wait_for(answer.content.readline(), 30)).decode().rstrip("\n")  # fmt: skip
        if line.startswith("event: "):
            kind = line.removeprefix("event: ")
        elif line.startswith("data: "):
            told.append((kind, line.removeprefix("data: ")))
    return told


async def test_what_arrives_is_told_at_once_and_nothing_from_before(client: Any, state: State) -> None:  # fmt: skip
    rng = Random(1)
    before = exchange(rng, datetime.now(UTC), 0)[0]
    await keep(state, [before])
    async with client.get("/v1/audit/tail?tenant=acme", headers=ADMIN) as answer:
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        assert await answer.content.readline() == b"retry: 2000\n"
        await answer.content.readuntil(b": nothing new\n")
        new = [exchange(rng, datetime.now(UTC), seq)[0] for seq in range(1, 9)]
        await keep(state, new)
        wanted = sorted(one.id for one in new if one.tenant == "acme")
        found = await events(answer, len(wanted))
    assert [json.loads(text)["id"] for _, text in found] == wanted
    assert before.id not in wanted


async def test_more_than_anybody_reads_is_counted(client: Any, state: State) -> None:
    rng = Random(2)
    async with client.get("/v1/audit/tail", headers=ADMIN) as answer:
        await answer.content.readuntil(b": nothing new\n")
        new = [exchange(rng, datetime.now(UTC), seq)[0] for seq in range(tail.MOST_ROWS + 40)]  # fmt: skip
        await keep(state, new)
        found = await events(answer, tail.MOST_ROWS + 1)
        more = exchange(rng, datetime.now(UTC), 999)[0]
        await keep(state, [more])
        (last,) = await events(answer, 1)
    assert found[-1] == ("skipped", "40")
    assert [json.loads(text)["id"] for _, text in found[:-1]] == sorted(one.id for one in new)[-tail.MOST_ROWS :]  # fmt: skip
    assert json.loads(last[1])["id"] == more.id


async def test_the_tail_ends_with_the_right_to_read_it(client: Any, state: State) -> None:  # fmt: skip
    made = await client.post("/v1/keys", json={"role": "auditor"}, headers=ADMIN)
    key = await made.json()
    await state.read_keys()
    async with client.get("/v1/audit/tail", headers={"X-API-Key": key["api_key"]}) as answer:  # fmt: skip
        await answer.content.readuntil(b": nothing new\n")
        await client.delete(f"/v1/keys/{key['id']}", headers=ADMIN)
        rest = await asyncio.wait_for(answer.content.read(), 30)
    assert rest.count(b"event:") == 0
    assert len(state.watchers) == 0


async def test_one_key_does_not_take_all_places_of_the_tail(client: Any, state: State) -> None:  # fmt: skip
    there = [await client.get("/v1/audit/tail", headers=ADMIN) for _ in range(MOST_OF_ONE)]  # fmt: skip
    refused = await client.get("/v1/audit/tail", headers=ADMIN)
    assert (refused.status, (await refused.json())["error"]["code"]) == (429, "busy")
    for one in there:
        one.close()
