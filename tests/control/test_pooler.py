"""PostgreSQL behind a real PgBouncer: what needs a session passes by it, the rest holds without one."""

import asyncio
import os
import shutil
import signal
from collections.abc import Iterator

import psycopg
import pytest
from aiohttp.test_utils import TestClient, TestServer
from psycopg.conninfo import make_conninfo

from contract.decision import new_id
from control.api import audit as audit_api
from control.app import application
from control.jobs import ingest
from control.state import State
from control.store import audit, database, tenants
from tests.control.test_ingest import ADMIN, decision, ingested, send
from tests.support.pooler import Pooler

pytestmark = pytest.mark.skipif(
    shutil.which("pgbouncer") is None and "EARTHFLOW_TOOLS" not in os.environ,
    reason="pgbouncer is not installed",
)


@pytest.fixture
def pooler(database_url: str) -> Iterator[Pooler]:
    with Pooler(database_url) as made:
        yield made


async def test_a_pooler_that_nobody_told_of_is_recognised(
    pooler: Pooler, database_url: str
) -> None:
    with pytest.raises(database.Unusable, match="Set EARTHFLOW_DATABASE_DIRECT_URL"):
        await database.connect(pooler.url, "pooler", 5)
    with pytest.raises(database.Unusable, match="at EARTHFLOW_DATABASE_DIRECT_URL"):
        await database.connect(pooler.url, "pooler", 5, past_pooler=pooler.url)
    pool = await database.connect(database_url, "here", 5)
    await pool.close()


async def test_a_pool_through_it_survives_sessions_that_are_dropped(
    pooler: Pooler, database_url: str, state: State
) -> None:
    pool = await database.connect(pooler.url, "pooler", 5, past_pooler=database_url)
    for _ in range(3):
        # More often than after which psycopg would prepare a statement, on more sessions than the pooler has.
        found = await asyncio.gather(*(tenants.one(pool, new_id()) for _ in range(30)))
        assert set(found) == {None}
        with psycopg.connect(database_url, autocommit=True) as other:
            ended = other.execute("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()").fetchone()  # fmt: skip
            assert ended is not None
    await pool.close()


async def test_records_are_stored_past_it_and_one_control_leads(
    pooler: Pooler, state: State
) -> None:
    told = state.settings
    pooled = told.model_copy(
        update={"database_url": type(told.master_key)(pooler.url), "direct_url": told.database_url}
    )  # fmt: skip
    assert (pooled.database, pooled.database_direct) == (pooler.url, told.database)
    assert pooled.database_read == told.database
    state.settings = pooled
    pool, state.pool = state.pool, await database.connect(pooler.url, "pooler", 5, past_pooler=pooled.past_pooler)  # fmt: skip
    await send(state, *(decision(seq) for seq in range(20)))
    assert len(await ingested(state, 20)) == 20
    job = asyncio.create_task(ingest.run(state))
    async with await database.alone(pooled.database_direct) as other:
        while await database.lead(other, audit.INGEST_LOCK):
            await other.execute("SELECT pg_advisory_unlock_all()")
            await asyncio.sleep(0.05)
    job.cancel()
    await asyncio.gather(job, return_exceptions=True)
    await state.pool.close()
    state.pool = pool


async def test_the_address_that_does_not_answer_is_named(
    pooler: Pooler, database_url: str
) -> None:
    with pytest.raises(database.Unreachable, match="EARTHFLOW_DATABASE_DIRECT_URL"):
        await database.connect(
            pooler.url, "pooler", 0, past_pooler="postgresql://127.0.0.1:1/x"
        )
    with pytest.raises(database.Unreachable, match=r"at pooler: .*POSTGRES_HOST"):
        await database.connect("postgresql://127.0.0.1:1/x", "pooler", 0)


async def test_searches_keep_the_urls_own_options(database_url: str) -> None:
    own = make_conninfo(database_url, options="-c application_name=of-the-url")
    reading = await database.for_reading(own)
    async with reading.connection() as connection:
        rows = await connection.execute("SELECT current_setting('application_name') AS name, current_setting('statement_timeout') AS most")  # fmt: skip
        assert await rows.fetchone() == {"name": "of-the-url", "most": "30s"}
    await reading.close()


async def test_a_database_that_hangs_is_away(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_api, "LONGEST_READ", 0.2)
    async with state.reading.connection() as connection:
        row = await (await connection.execute("SELECT pg_backend_pid() AS pid")).fetchone()  # fmt: skip
    assert row is not None
    async with TestClient(TestServer(application(state))) as client:
        os.kill(row["pid"], signal.SIGSTOP)
        try:
            got = await client.get("/v1/audit", headers=ADMIN)
        finally:
            os.kill(row["pid"], signal.SIGCONT)
        assert (got.status, (await got.json())["error"]["code"]) == (503, "database_away")  # fmt: skip


async def test_searches_are_not_sent_through_it(pooler: Pooler) -> None:
    with pytest.raises(database.Unusable, match="EARTHFLOW_DATABASE_READ_URL"):
        await database.for_reading(pooler.url)


async def test_searches_write_nothing_and_so_a_replica_can_answer_them(
    database_url: str, state: State
) -> None:
    with psycopg.connect(database_url, autocommit=True) as admin:
        admin.execute("CREATE ROLE reads LOGIN IN ROLE pg_read_all_data")
        admin.execute("ALTER ROLE reads SET default_transaction_read_only = on")
    before = state.reading
    replica = make_conninfo(database_url, user="reads")
    state.reading = await database.for_reading(replica)
    try:
        await send(state, decision(0))
        assert len(await ingested(state, 1)) == 1
        async with TestClient(TestServer(application(state))) as client:
            for path in ("audit", "audit/stats", "audit/admin", "audit?status=ALLOW&limit=1"):  # fmt: skip
                got = await client.get(f"/v1/{path}", headers=ADMIN)
                assert got.status == 200, (path, await got.text())
            # The connection of searches cannot write: the control of this test.
            async with state.reading.connection() as connection:
                with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
                    await connection.execute("UPDATE snapshot SET version = version")
    finally:
        await state.reading.close()
        state.reading = before
        with psycopg.connect(database_url, autocommit=True) as admin:
            admin.execute("DROP ROLE reads")
