"""The database moves forward while it is used: from the schema before backups (0009) to today's, with data in it."""

import asyncio
import itertools
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from bench.audit import DAYS, FILL
from cli.engines import Engines
from contract.decision import encode, new_id
from control.store import audit, database, dump, search
from control.store.audit import Arrival, Partitions
from tests.control.conftest import url_of
from tests.control.test_ingest import decision
from tests.support.house import PATIENCE
from tests.support.shared import thorough

OLD = "0009_after_review.sql"
ROWS = 1_000_000 if thorough() else 20_000
# A migration as a later version may have one: it needs the audit's tables for itself.
NEXT = "ALTER TABLE decision ADD COLUMN next text; ALTER TABLE completion ADD COLUMN next text;"
# What callers bear: a statement that waits longer for a table fails.
BEARABLE = "1s"
# Of all tables but the one with a single row; or what no transaction can do.
UNFIT = re.compile(
    r"^\s*(UPDATE(?! snapshot )|DELETE)\b|\bCONCURRENTLY\b", re.MULTILINE
)
ROOT = Path(__file__).parents[2]


@pytest.fixture
async def old_database(engines: Engines) -> AsyncIterator[str]:
    """A database of the old schema, with an audit in it."""
    name = f"old_{new_id().replace('-', '')}"
    url = url_of(engines, name)
    with psycopg.connect(engines.database_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    with psycopg.connect(url) as connection:
        ours = dict(database._migrations())
        database.apply_migrations(
            connection,
            {one: database._checksum(ours[one]) for one in ours if one <= OLD},
        )
    async with await database.alone(url) as old, old.transaction():
        today = datetime.now(UTC).date()
        days = {today - timedelta(days=ago) for ago in range(-1, DAYS + 2)}
        await Partitions().ensure(old, days)
        for first in range(0, ROWS, 20_000):
            await old.execute(FILL.encode(), {"first": first, "count": 20_000})
    yield url
    with psycopg.connect(engines.database_url, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@asynccontextmanager
async def traffic(url: str) -> AsyncIterator[list[str]]:
    """Records are stored and searched; a word for each round, and what failed."""
    said: list[str] = []

    async def go_on() -> None:
        pool = await database._pool(
            url, 1, {"options": f"-c lock_timeout={BEARABLE}", "autocommit": True}
        )
        async with pool:
            for number in itertools.count():
                made = decision(number)
                try:
                    async with pool.connection() as connection:
                        await audit.store(
                            connection,
                            Partitions(),
                            [Arrival(str(made.id), encode(made), made)],
                            [],
                        )
                    await search.search(pool, search.Sought(), limit=5)
                except psycopg.Error as error:
                    said.append(type(error).__name__)
                else:
                    said.append("done")

    task = asyncio.create_task(go_on())
    yield said
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def further(said: list[str], rounds: int) -> None:
    """Wait until so many more rounds are done."""
    wanted = len(said) + rounds
    async with asyncio.timeout(PATIENCE):
        while len(said) < wanted:
            await asyncio.sleep(0.01)


def _as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let records be stored and found as by a control of an earlier version: without what later migrations add."""
    page = search.page

    def older(*of: Any) -> tuple[bytes, dict[str, Any]]:
        query, values = page(*of)
        return query.replace(b"d.signed", b"NULL::boolean AS signed"), values

    monkeypatch.setattr(search, "page", older)
    columns = {table: {name: kind for name, kind in known.items() if name != "signed"} for table, known in audit.COLUMNS.items()}  # fmt: skip
    row = audit._decision
    monkeypatch.setattr(audit, "COLUMNS", columns)
    monkeypatch.setattr(audit, "_decision", lambda *of: row(*of)[:-1])


async def test_the_old_schema_is_brought_up_while_records_arrive_and_a_backup_runs(
    old_database: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ours = database._migrations()
    monkeypatch.setattr(
        database, "_migrations", lambda: [*ours, ("9999_next.sql", NEXT)]
    )
    monkeypatch.setattr(database, "PAUSE", 0.2)
    _as_before(monkeypatch)
    pool = await database.connect(old_database, "the tests' engines", 5)
    async with pool, traffic(old_database) as said:
        with dump.reading(old_database) as backup:
            before = await asyncio.to_thread(dump.contents, backup)
            moving = asyncio.create_task(database.migrate(pool))
            async with asyncio.timeout(PATIENCE):
                while caplog.text.count("a migration waits") < 3:
                    await asyncio.sleep(0.01)
            await further(said, 20)
            assert not moving.done()
        assert await moving == [
            *[name for name, _ in ours if name > OLD],
            "9999_next.sql",
        ]
        await further(said, 20)
    assert set(said) == {"done"}
    rows = {table.table: table.rows for table in before.tables}
    assert (rows["decision"] >= ROWS, rows["completion"]) == (True, ROWS)
    with dump.reading(old_database) as connection:
        after = {table.table: table.rows for table in dump.contents(connection).tables}
    assert after["completion"] == ROWS
    assert after["decision"] in (ROWS + len(said), ROWS + len(said) + 1)


async def test_a_new_day_begins_while_a_backup_runs(database_url: str) -> None:
    async with await database.alone(database_url) as connection:
        await connection.execute(f"SET lock_timeout = '{BEARABLE}'".encode())
        await audit.store(connection, Partitions(), [], [])
        with dump.reading(database_url) as backup:
            backup.execute("SELECT FROM decision, completion, watermark")
            made = decision(0)
            arrival = Arrival(str(made.id), encode(made), made)
            assert await audit.store(connection, Partitions(), [arrival], []) == 1


async def test_a_table_that_is_never_free_is_said(
    old_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_migrations", lambda: [("0001_first.sql", NEXT)])
    monkeypatch.setattr(database, "LONGEST_MIGRATION", 0.0)
    async with await database.alone(old_database) as connection:
        await connection.execute("DELETE FROM migration")
    pool = await database.connect(old_database, "the tests' engines", 5)
    async with pool:
        with dump.reading(old_database) as backup:
            backup.execute("SELECT FROM decision")
            with pytest.raises(database.Unusable, match="pg_stat_activity"):
                await database.migrate(pool)


async def test_a_postgresql_that_is_too_old_is_said(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "OLDEST", 99)
    with pytest.raises(database.Unusable, match="Earthflow needs 99 or newer"):
        await database.connect(database_url, "the tests' engines", 5)


def test_no_migration_locks_a_table_for_long(tmp_path: Path) -> None:
    """What .squawk.toml allows, and neither a change of all rows nor an index beside the work, which jobs do in small parts."""
    later = [text for name, text in database._migrations() if name > OLD]
    assert later
    assert not [text for text in later if UNFIT.search(text)]
    for text in (
        "UPDATE decision SET tenant = ''",
        "CREATE INDEX CONCURRENTLY x ON decision (tenant)",
    ):
        assert UNFIT.search(text)
    bad = tmp_path / "0012_bad.sql"
    bad.write_text("CREATE INDEX slow ON decision (tenant);\n")
    files = sorted((ROOT / "control" / "store" / "migrations").glob("*.sql"))
    for paths, fault in ((files, ""), ([bad], "require-concurrent-index-creation")):
        checked = subprocess.run(
            [
                Path(sys.executable).with_name("squawk"),
                *("--config", ROOT / ".squawk.toml", "--reporter", "gcc"),
                *(path.relative_to(ROOT, walk_up=True) for path in paths),
            ],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (checked.returncode, fault in checked.stdout) == (bool(fault), True)
