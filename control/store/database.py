"""The connection pool, and the migrations: ordered .sql files, each applied once, in a
transaction of its own, with its checksum.

A migration may run while the database is used (.squawk.toml holds it to that): it takes locks for
a moment only, and waits for one so shortly that statements behind it are not held up.
"""

import asyncio
import hashlib
import logging
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from importlib import resources
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout

Connection = psycopg.AsyncConnection[dict[str, Any]]
Pool = AsyncConnectionPool[Connection]

OLDEST = 14  # the first version of PostgreSQL with multiranges
# Connections for slow reads, and a statement's longest time.
READERS, LONGEST_READ_MS = 3, 30_000
# How long the other side of a connection may be silent: asked after 10 s, three times.
ALIVE: dict[str, Any] = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
}
SILENT_MS = 30_000  # for which what was sent may stay without an answer
# What ends our side of a connection whose other side is cut off.
ENDS: dict[str, Any] = {"tcp_user_timeout": SILENT_MS, **ALIVE}
MIGRATION_LOCK = 0x6561727468  # any number, the same for all control processes
CREATES = re.compile(r"^CREATE TABLE (\w+)", re.MULTILINE)
MIGRATION_TABLE = "CREATE TABLE IF NOT EXISTS migration (name text PRIMARY KEY, checksum text NOT NULL)"
# seconds that a request waits for a connection
POOL_WAIT = 5.0
# Raises the version of the snapshot, and marks the new one as this database's.
BUMP = (
    "WITH raised AS (UPDATE snapshot SET version = version + 1 RETURNING version) "
    "INSERT INTO snapshot_mark (version) SELECT version FROM raised"
)
# A migration waits this long for a table, and statements behind it wait with it; then it leaves
# them a pause, in seconds, before it tries again. After LONGEST_MIGRATION seconds it gives up.
LOCK_TIMEOUT, PAUSE, LONGEST_MIGRATION = "500ms", 2.0, 1800.0

logger = logging.getLogger("earthflow.database")


class Unreachable(Exception):
    """PostgreSQL does not answer."""


class Unusable(Exception):
    """PostgreSQL answers, but is too old, or does not let us make our tables."""


class ChangedMigration(Exception):
    """A migration that this database has is not the one that we have."""


async def connect(
    conninfo: str, place: str, timeout: float, *, past_pooler: str | None = None
) -> Pool:
    """A pool over a database that answers. `past_pooler`: the database itself, where `conninfo` leads
    to a pooler that gives a session to a transaction, so that nothing of ours may be left in it.

    Raises Unreachable after `timeout` seconds, Unusable where it is too old, or where a pooler
    is in between that nobody told of.
    """
    deadline = time.monotonic() + timeout
    major = await _answering(conninfo, deadline, place, "POSTGRES_HOST and POSTGRES_PASSWORD")  # fmt: skip
    if past_pooler:
        name = "EARTHFLOW_DATABASE_DIRECT_URL"
        major = await _answering(past_pooler, deadline, name, name)
    direct = await _is_direct(past_pooler or conninfo)
    if major < OLDEST:
        raise Unusable(
            f"PostgreSQL at {place} is of version {major}; Earthflow needs {OLDEST} or newer. "
            'Move the data to a newer one: docs/upgrading.md, "A new version of PostgreSQL".'
        )
    if not direct:
        where = "EARTHFLOW_DATABASE_DIRECT_URL" if past_pooler else place
        raise Unusable(
            f"A pooler such as PgBouncer stands before PostgreSQL at {where}, and locks would not hold. "
            "Set EARTHFLOW_DATABASE_DIRECT_URL to PostgreSQL itself."
        )
    return await _pool(conninfo, 8, {"prepare_threshold": None} if past_pooler else {})


async def _answering(conninfo: str, deadline: float, place: str, names: str) -> int:
    """The major version of a PostgreSQL, once it answers. Raises Unreachable after the deadline: which settings to check."""
    while True:
        try:
            probe = await psycopg.AsyncConnection.connect(conninfo, connect_timeout=5)
        except psycopg.OperationalError as error:
            if time.monotonic() > deadline:
                lines = str(error).strip().splitlines() or [type(error).__name__]
                raise Unreachable(
                    f"PostgreSQL does not answer at {place}: {lines[-1]}. Check {names}."
                ) from None
            await asyncio.sleep(0.5)
        else:
            major = probe.info.server_version // 10_000
            await probe.close()
            return major


async def _is_direct(conninfo: str) -> bool:
    """Whether the process that serves us is the one that greeted us: a pooler greets with a
    number of its own.
    """
    async with await psycopg.AsyncConnection.connect(conninfo, connect_timeout=5) as one:  # fmt: skip
        row = await (await one.execute("SELECT pg_backend_pid()")).fetchone()
        return bool(row and row[0] == one.info.backend_pid)


async def for_reading(conninfo: str) -> Pool:
    """A pool for slow reads, so that nothing else waits for them. It may be of a replica, which may be away.

    Statements have a timeout. Raises Unusable where a pooler is in between, which would not keep that.
    """
    with suppress(psycopg.OperationalError):
        if not await _is_direct(conninfo):
            raise Unusable(
                "A pooler such as PgBouncer stands before PostgreSQL at EARTHFLOW_DATABASE_READ_URL, and searches would have "
                "no end. Set it to the replica itself."
            )
    own = conninfo_to_dict(conninfo).get("options") or ""
    options = f"{own} -c statement_timeout={LONGEST_READ_MS}".strip()
    return await _pool(conninfo, READERS, {"options": options})


async def _pool(conninfo: str, size: int, more: Mapping[str, Any]) -> Pool:
    pool: Pool = AsyncConnectionPool(
        conninfo,
        min_size=1,
        max_size=size,
        timeout=POOL_WAIT,
        open=False,
        kwargs={"row_factory": dict_row, **ENDS, **more},
        check=AsyncConnectionPool.check_connection,
    )
    await pool.open()
    return pool


async def alone(conninfo: str) -> Connection:
    """A connection of one's own, in autocommit.

    What its session holds, such as a lock, ends with it, and where the network is cut half a
    minute later: both sides ask for one another.
    """
    own = conninfo_to_dict(conninfo).get("options") or ""
    asks = " ".join(f"-c tcp_{name}={value}" for name, value in ALIVE.items())
    return await psycopg.AsyncConnection.connect(
        conninfo,
        autocommit=True,
        row_factory=dict_row,
        connect_timeout=5,
        options=f"{own} {asks} -c tcp_user_timeout={SILENT_MS}".strip(),
        **ENDS,
    )


async def lead(connection: Connection, lock: int) -> bool:
    """Try to become the one process that does a job, named by its lock, for as long as
    this connection lasts.
    """
    row = await (
        await connection.execute("SELECT pg_try_advisory_lock(%s) AS mine", (lock,))
    ).fetchone()
    return bool(row and row["mine"])


async def migrate(pool: Pool) -> list[str]:
    """Apply missing migrations; their names.

    Waits while somebody else, such as a backup, holds a table that one needs. Raises
    ChangedMigration, Unreachable or Unusable.
    """
    deadline = time.monotonic() + LONGEST_MIGRATION
    applied: list[str] = []
    while True:
        try:
            async with pool.connection() as connection, connection.transaction():
                name = await _apply_next(connection)
        except psycopg.errors.LockNotAvailable:
            if time.monotonic() > deadline:
                raise Unusable(
                    "a table that the new version changes was in use for half an hour. "
                    "See in pg_stat_activity who uses it (a backup, a report), end that, and start again."
                ) from None
            logger.warning(
                "a migration waits for a table that is in use, and tries again"
            )
            await asyncio.sleep(PAUSE)
        except psycopg.errors.InsufficientPrivilege as error:
            raise Unusable(
                f"PostgreSQL does not allow us to create tables: {error.diag.message_primary}. Check the rights of POSTGRES_USER."
            ) from None
        except (psycopg.OperationalError, PoolTimeout) as error:
            if time.monotonic() > deadline:
                raise Unreachable(f"PostgreSQL went away: {type(error).__name__}.") from None  # fmt: skip
            await asyncio.sleep(PAUSE)
        except psycopg.Error as error:
            reason = error.diag.message_primary or type(error).__name__
            raise Unusable(f"A migration failed, and changed nothing: {reason}.") from None  # fmt: skip
        else:
            if name is None:
                return applied
            applied.append(name)


async def _apply_next(connection: Connection) -> str | None:
    """The name of the migration that was applied; None: there is none left."""
    await connection.execute("SELECT pg_advisory_xact_lock(%s)", (MIGRATION_LOCK,))
    await connection.execute(MIGRATION_TABLE)
    rows = await (
        await connection.execute("SELECT name, checksum FROM migration")
    ).fetchall()
    known = {row["name"]: row["checksum"] for row in rows}
    ours = dict(_migrations())
    if newer := known.keys() - ours.keys():
        raise ChangedMigration(
            f"this database was made by a newer Earthflow (it has {', '.join(sorted(newer))}); install that version"
        )
    for name in known:
        if known[name] != _checksum(ours[name]):
            raise ChangedMigration(
                f"migration {name} differs from the one this database was made with; install the matching version"
            )
    name = min(ours.keys() - known.keys(), default=None)
    if name is not None:
        await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'".encode())
        await connection.execute(ours[name].encode())
        await connection.execute(
            "INSERT INTO migration VALUES (%s, %s)", (name, _checksum(ours[name]))
        )
    return name


def apply_migrations(
    connection: "psycopg.Connection[Any]", only: Mapping[str, str] | None = None
) -> None:
    """Apply missing migrations in the caller's transaction; `only` these (name -> checksum).

    Raises ChangedMigration where we do not have them.
    """
    ours = dict(_migrations())
    for name, checksum in (only or {}).items():
        if name not in ours:
            raise ChangedMigration(
                f"this was made by a newer Earthflow (it has {name}); install that version"
            )
        if _checksum(ours[name]) != checksum:
            raise ChangedMigration(
                f"migration {name} is another one here; install the matching version"
            )
    connection.execute(MIGRATION_TABLE.encode())
    known = {name for (name,) in connection.execute("SELECT name FROM migration")}
    for name in sorted((only or ours).keys() - known):
        connection.execute(ours[name].encode())
        connection.execute(
            "INSERT INTO migration VALUES (%s, %s)", (name, _checksum(ours[name]))
        )


def our_tables() -> frozenset[str]:
    """The tables that the migrations make."""
    return frozenset(
        name for _, text in _migrations() for name in CREATES.findall(text)
    )


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _migrations() -> list[tuple[str, str]]:
    files = resources.files("control.store").joinpath("migrations").iterdir()
    return sorted(
        (entry.name, entry.read_text(encoding="utf-8"))
        for entry in files
        if entry.name.endswith(".sql")
    )
