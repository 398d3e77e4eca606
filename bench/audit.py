"""The audit in PostgreSQL: how fast records are taken in, and how fast a million of them are searched and counted."""

import asyncio
import os
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import psycopg
import redis.asyncio as aioredis
from cryptography.fernet import Fernet

from bench.process import tree_seconds
from cli.engines import Engines
from cli.settings import settings_of
from contract.decision import Completion, Decision, Fired, Place, encode, new_id
from contract.streams import FIELD, ONE
from control.jobs import ingest
from control.keyring import Keyring
from control.settings import ControlSettings
from control.state import State
from control.store import database, master_keys, search
from control.store.audit import Partitions
from control.store.search import Sought

EXCHANGES, ROWS, DAYS, TENANTS, LOOKS = 20_000, 1_000_000, 30, 50, 200
ACTIONS = "(ARRAY['ALLOW','ALLOW','ALLOW','ALLOW','ALLOW','ALLOW','FLAG','REDACT','BLOCK'])[1 + n %% 9]"
# Exchanges as a proxy writes them, spread evenly over time, tenants, models and rules.
FILL = f"""
WITH made AS (
    SELECT n, now() - make_interval(secs => (%(first)s + n) * {DAYS * 86400 / ROWS}) AS at, md5(n::text || %(first)s::text) AS random
    FROM generate_series(0, %(count)s - 1) AS n
), named AS (
    SELECT n, at, 't-' || lpad((n %% {TENANTS})::text, 3, '0') AS tenant, {ACTIONS} AS action, 'model-' || n %% 20 AS model,
        (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7' || substr(random, 1, 3) || '8' || substr(random, 4, 15))::uuid AS id,
        CASE WHEN n %% 9 > 5 THEN ARRAY['pack.rule-' || n %% 40] ELSE '{{}}'::text[] END AS rules
    FROM made
), decided AS (
    INSERT INTO decision (day, id, tenant, time, action, record, reason, provider, host, model, rules)
    SELECT (at AT TIME ZONE 'UTC')::date, id, tenant, at, action, convert_to(json_build_object('kind', 'decision', 'id', id,
        'time', to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), 'place', json_build_object('worker', 'w', 'boot', 'b', 'seq', n),
        'tenant', tenant, 'key', 'k', 'action', action, 'coverage', 'full', 'host', 'api.openai.com', 'provider', 'openai', 'model', model)::text, 'UTF8'),
        'policy', 'openai', 'api.openai.com', model, rules FROM named
)
INSERT INTO completion (day, id, tenant, record, outcome, action, rules, input_tokens, output_tokens, first_byte_ms, duration_ms, added_ms)
SELECT (at AT TIME ZONE 'UTC')::date, id, tenant, convert_to(json_build_object('kind', 'completion', 'id', id,
    'time', to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), 'place', json_build_object('worker', 'w', 'boot', 'b', 'seq', n),
    'tenant', tenant, 'outcome', 'ok', 'duration_ms', n %% 5000)::text, 'UTF8'), 'ok', 'ALLOW', '{{}}', n %% 900, n %% 300, n %% 800, n %% 5000, n %% 7
FROM named
"""


@asynccontextmanager
async def state(folder: Path) -> AsyncIterator[State]:
    """Control's state over a database and a Redis of its own."""
    with Engines(settings_of(folder)) as engines:
        with psycopg.connect(engines.database_url, autocommit=True) as connection:
            connection.execute("CREATE DATABASE bench")
        master = Fernet.generate_key().decode()
        told = {
            "EARTHFLOW_MASTER_KEY": master, "EARTHFLOW_ADMIN_API_KEY": "a" * 40, "EARTHFLOW_REDIS_URL": engines.redis_url,
            "EARTHFLOW_DATABASE_URL": engines.database_url.replace("/postgres?", "/bench?"),
        }  # fmt: skip
        settings = ControlSettings.model_validate(
            {**dict.fromkeys(os.environ.keys() & told.keys()), **told}
        )
        pool = await database.connect(settings.database, settings.database_place, 5)
        await database.migrate(pool)
        client = aioredis.Redis.from_url(settings.redis)
        reading = await database.for_reading(settings.database)
        yield State(
            settings,
            pool,
            reading,
            client,
            await master_keys.open_vault(pool, master),
            {},
            "",
            Keyring(bytes(32)),
            settings.sender(),
        )
        await client.aclose()
        await reading.close()
        await pool.close()


class Ingested(NamedTuple):
    """Exchanges a second, and CPU milliseconds of each: control's, PostgreSQL's."""

    rate: float
    control: float
    postgres: float


async def ingested(bench: State) -> Ingested:
    """From the stream into PostgreSQL, with all constraints, counts and watermarks."""
    async with bench.pool.connection() as connection:
        row = await (await connection.execute("SHOW data_directory")).fetchone()
        assert row is not None
        told = Path(row["data_directory"]) / "postmaster.pid"
        postgres = int(told.read_text().split()[0])
    for first in range(0, EXCHANGES, 500):
        async with bench.redis.pipeline(transaction=False) as pipeline:
            for number in range(first, first + 500):
                for record in _exchange(number):
                    pipeline.xadd(ONE.records, {FIELD: encode(record)})
            await pipeline.execute()
    began, before = time.perf_counter(), (time.process_time(), tree_seconds(postgres))
    task = asyncio.create_task(ingest.run(bench))
    while await bench.redis.xlen(ONE.records):
        await asyncio.sleep(0.05)
    took = time.perf_counter() - began
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    spent = time.process_time() - before[0], tree_seconds(postgres) - before[1]
    return Ingested(EXCHANGES / took, *(one * 1000 / EXCHANGES for one in spent))


def _exchange(number: int) -> tuple[Decision, Completion]:
    now, id, tenant = datetime.now(UTC), new_id(), f"t-{number % TENANTS:03}"
    rules = (Fired("pack.rule", "REDACT", "high", 1),) if number % 9 > 5 else ()
    decision = Decision(
        id=id, time=now, place=Place("w", "b", 2 * number), tenant=tenant, key="k", action="REDACT" if rules else "ALLOW", coverage="full", rules=rules,
        provider="openai", host="api.openai.com", method="POST", path="/v1/chat/completions", model="gpt-5.2", size=4000, prompt_hash="hmac-sha256:" + "0" * 64,
    )  # fmt: skip
    completion = Completion(
        id=id, time=now, place=Place("w", "b", 2 * number + 1), tenant=tenant, outcome="ok", status=200, input_tokens=900, output_tokens=300, duration_ms=1500
    )  # fmt: skip
    return decision, completion


async def fill(bench: State) -> None:
    """A million exchanges."""
    async with bench.pool.connection() as connection:
        days = {
            (datetime.now(UTC) - timedelta(days=day)).date()
            for day in range(-1, DAYS + 2)
        }
        await Partitions().ensure(connection, days)
        for first in range(0, ROWS, 50_000):
            await connection.execute(FILL.encode(), {"first": first, "count": 50_000})
            await connection.commit()
            print(f"\r{first + 50_000:,} of {ROWS:,} exchanges", end="", flush=True)
        await connection.execute("ANALYZE")
    print()


Look = Callable[[State, Random], Awaitable[Any]]


def _search(**what: Callable[[Random], Any]) -> Look:
    async def look(bench: State, rng: Random) -> Any:
        return await search.search(
            bench.reading,
            Sought(**{name: value(rng) for name, value in what.items()}),
            limit=50,
        )

    return look


def _stats(**what: Callable[[Random], Any]) -> Look:
    async def look(bench: State, rng: Random) -> Any:
        return await search.stats(
            bench.reading, Sought(**{name: value(rng) for name, value in what.items()})
        )

    return look


def _tenant(rng: Random) -> list[str]:
    return [f"t-{rng.randrange(TENANTS):03}"]


def _ago(**span: float) -> Callable[[Random], datetime]:
    return lambda rng: datetime.now(UTC) - timedelta(**span) * rng.uniform(0.5, 1)


SEARCHES: dict[str, Look] = {
    "the newest 50 of all": _search(),
    "of a tenant": _search(tenants=_tenant),
    "of a tenant, blocked": _search(tenants=_tenant, status=lambda _: "BLOCK"),
    "that a rule fired on": _search(
        rule=lambda rng: f"pack.rule-{rng.choice((6, 7, 8, 15))}"
    ),
    "to a model, in a week": _search(
        model=lambda rng: f"model-{rng.randrange(20)}", since=_ago(days=7)
    ),
    "a tenant's, a fortnight ago": _search(tenants=_tenant, until=_ago(days=20)),
    "that a text stands in (none)": _search(
        text=lambda _: "nowhere", since=_ago(hours=24)
    ),
}
COUNTS: dict[str, Look] = {
    "of the last hour": _stats(since=_ago(hours=1)),
    "of a tenant's last day": _stats(tenants=_tenant, since=_ago(days=1)),
    "of a tenant's month": _stats(tenants=_tenant),
    "of a week": _stats(since=_ago(days=7)),
    "of all": _stats(),
}


async def timed(
    bench: State, rng: Random, looks: dict[str, Look], times: int
) -> AsyncIterator[Sequence[str]]:
    """Each look so many times: median and p99 in milliseconds."""
    for name, look in looks.items():
        taken = []
        for _ in range(times):
            began = time.perf_counter()
            await look(bench, rng)
            taken.append((time.perf_counter() - began) * 1000)
        taken.sort()
        yield (
            name,
            f"{taken[len(taken) // 2]:.1f}",
            f"{taken[min(len(taken) - 1, int(len(taken) * 0.99))]:.1f}",
        )


PLANNED = {
    "a page of a tenant's blocked exchanges": Sought(tenants=["t-007"], status="BLOCK"),
    "a page of what a rule fired on": Sought(rule="pack.rule-6"),
}


async def plans(bench: State) -> list[str]:
    """How PostgreSQL goes about a page, as it says itself."""
    shown = []
    async with bench.pool.connection() as connection:
        for name, sought in PLANNED.items():
            query, values = search.page(sought, 50)
            rows = await (
                await connection.execute(
                    b"EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, BUFFERS OFF) " + query,
                    values,
                )
            ).fetchall()
            lines = [row["QUERY PLAN"] for row in rows]
            lines = [line for line in lines if "never executed" not in line]
            kept = (
                lines
                if len(lines) <= 24
                else [
                    *lines[:20],
                    f"… {len(lines) - 22} more lines like these …",
                    *lines[-2:],
                ]
            )
            shown.append(
                f"The plan of {name}:\n\n"
                + "\n".join(f"    {line}" for line in kept)
                + "\n"
            )
    return shown


async def ingested_alone() -> Ingested:
    """On servers of its own."""
    with tempfile.TemporaryDirectory(prefix="ef-bench-") as folder:
        async with state(Path(folder)) as bench:
            return await ingested(bench)


async def run(
    rng: Random,
) -> tuple[float, list[Sequence[str]], list[Sequence[str]], list[str]]:
    """All of it."""
    with tempfile.TemporaryDirectory(prefix="ef-bench-") as folder:
        async with state(Path(folder)) as bench:
            rate = (await ingested(bench)).rate
            print(f"taken in: {rate:.0f} exchanges a second", flush=True)
            await fill(bench)
            searched = [row async for row in timed(bench, rng, SEARCHES, LOOKS)]
            counted = [row async for row in timed(bench, rng, COUNTS, 12)]
            return rate, searched, counted, await plans(bench)
