"""The database as a backup holds it: all rows as of one moment, table by table.

A dump reads in one transaction and holds up nobody; a load goes into an empty database, whose
tables it makes with the migrations that the dump had. Later ones follow when the rows are there.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import msgspec
import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from control.store import admin_audit
from control.store.audit import partition_of
from control.store.database import BUMP, apply_migrations, our_tables

# What a row looks like as text must not depend on who asks.
SESSION = "-c timezone=UTC -c datestyle=ISO,YMD -c extra_float_digits=1 -c intervalstyle=postgres"
LOCK_WAIT = (
    "5s"  # for what a restore replaces; longer means that somebody still uses it
)

ROWS_OF_NEW = {"snapshot", "snapshot_mark"}  # tables in which migrations put rows
COUNTED = {
    "activity",
    "uncounted_day",
}  # tables that triggers fill anew from what is loaded

Say = Callable[[str, int], None]


class Refused(Exception):
    """The database cannot be used so; the sentence says why."""


class NotEmpty(Exception):
    """There is an Earthflow in the database already."""


class Differs(Exception):
    """What was loaded is not what was dumped; the sentence names the table."""


class Content(msgspec.Struct, frozen=True):
    """A table: its columns, and by what its rows are known again: their number, and the sum
    of their hashes, whatever their order.
    """

    table: str
    columns: tuple[str, ...]
    rows: int
    hash: str


class Contents(msgspec.Struct, frozen=True):
    """All of a database: the migrations that it has, the days of its audit, its tables in the
    order in which they refer to one another.
    """

    migrations: dict[str, str]
    days: tuple[str, ...]
    tables: tuple[Content, ...]


@contextmanager
def reading(conninfo: str) -> Iterator[psycopg.Connection]:
    """A connection that sees one moment of the database, and no later one. Raises Refused."""
    with _in_words(), psycopg.connect(conninfo, options=SESSION) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        yield connection


def contents(connection: psycopg.Connection) -> Contents:
    """What there is."""
    migrations: dict[str, str] = dict(
        connection.execute("SELECT name, checksum FROM migration").fetchall()
    )
    days = connection.execute(
        "SELECT right(c.relname, 8) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid "
        "WHERE i.inhparent = 'decision'::regclass ORDER BY 1"
    ).fetchall()
    tables = tuple(
        _content(connection, table)
        for table in _tables(connection)
        if table not in COUNTED
    )
    return Contents(migrations, tuple(day for (day,) in days), tables)


def tenants(connection: psycopg.Connection) -> list[dict[str, object]]:
    """The tenants, to read: nothing of it is a secret."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            "SELECT id, name, preset, max_requests_per_minute, max_tokens_per_day, retention_days, labels, created, deleted "
            "FROM tenant ORDER BY id"
        ).fetchall()


def rows(connection: psycopg.Connection, content: Content) -> Iterator[bytes]:
    """The rows of a table, as COPY writes them."""
    command = sql.SQL("COPY (SELECT {} FROM {}) TO STDOUT (FORMAT binary)").format(
        _columns(content), sql.Identifier(content.table)
    )
    with connection.cursor().copy(command) as copy:
        for piece in copy:
            yield bytes(piece)


def load(
    conninfo: str,
    wanted: Contents,
    rows_of: Callable[[Content], Iterable[bytes]],
    say: Say,
    finish: Callable[[], None],
    *,
    replace: bool = False,
) -> None:
    """Make a dump's tables and fill them, in one transaction, and compare what is there then.
    Committed when `finish` has found that the dump is whole.

    `replace` an Earthflow that is there. Raises Refused, NotEmpty, Differs or ChangedMigration;
    then nothing was changed.
    """
    with _in_words(), psycopg.connect(conninfo, options=SESSION) as connection:
        connection.execute(f"SET lock_timeout = '{LOCK_WAIT}'".encode())
        _make_room(connection, replace=replace)
        apply_migrations(connection, wanted.migrations)
        for table in ROWS_OF_NEW & {content.table for content in wanted.tables}:
            connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table)))
        for day in wanted.days:
            for statement in partition_of(day):
                connection.execute(statement.encode())
        for content in wanted.tables:
            command = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary)").format(
                sql.Identifier(content.table), _columns(content)
            )
            with connection.cursor().copy(command) as copy:
                for piece in rows_of(content):
                    copy.write(piece)
            found = _content(connection, content.table)
            if (found.rows, found.hash) != (content.rows, content.hash):
                raise Differs(
                    f"table {content.table} has {found.rows} rows, and other ones than the {content.rows} of the backup"
                )
            say(content.table, content.rows)
        _raise_sequences(connection)
        apply_migrations(connection)
        connection.execute("INSERT INTO restored DEFAULT VALUES ON CONFLICT DO NOTHING")
        admin_audit.note_with(connection, "backups.restore", "database")
        finish()


@contextmanager
def scratch(conninfo: str, name: str) -> Iterator[str]:
    """A database of that name for a while; its connection string."""
    with _in_words(), psycopg.connect(conninfo, autocommit=True) as connection:
        named = sql.Identifier(name)
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(named))  # fmt: skip
        try:
            yield psycopg.conninfo.make_conninfo(conninfo, dbname=name)
        finally:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(named))


def accept_keys(conninfo: str) -> bool:
    """Serve a restored database with the keys that it has; whether it was waiting for that."""
    with _in_words(), psycopg.connect(conninfo) as connection:
        done = connection.execute("DELETE FROM restored").rowcount
        connection.execute(BUMP.encode())
        admin_audit.note_with(connection, "backups.accept_keys", "database")
        return bool(done)


def note_backup(conninfo: str) -> bool:
    """Note in the audit of administration that somebody reads all of the database; whether it could be noted, as in a replica
    or an older database it cannot.
    """
    with _in_words():
        try:
            with psycopg.connect(conninfo) as connection:
                admin_audit.note_with(connection, "backups.make", "database")
        except psycopg.Error:  # it only reads, is full, is older, or lets us read alone
            return False
        return True


@contextmanager
def _in_words() -> Iterator[None]:
    """What PostgreSQL refuses, as Refused."""
    try:
        yield
    except psycopg.errors.LockNotAvailable:
        raise Refused(
            "somebody uses the database. Stop control, then try again"
        ) from None
    except psycopg.errors.UndefinedTable:
        raise Refused("there is no Earthflow in the database") from None
    except psycopg.OperationalError as error:
        if error.sqlstate is None:  # its text may quote a part of the password
            raise Refused("PostgreSQL does not answer, or not to this user and password") from None  # fmt: skip
        raise Refused(error.diag.message_primary or type(error).__name__) from None
    except psycopg.Error as error:
        said = error.diag.message_primary or str(error).strip() or type(error).__name__
        raise Refused(said) from None


def _make_room(connection: psycopg.Connection, *, replace: bool) -> None:
    there = connection.execute("SELECT to_regclass('migration') IS NOT NULL").fetchone()
    if there is None or not there[0]:
        return
    if foreign := set(_every_table(connection)) - our_tables() - {"migration"}:
        raise Refused(
            f"there are tables of others in it ({', '.join(sorted(foreign))}); give Earthflow a database of its own"
        )
    used = connection.execute(
        "SELECT EXISTS (SELECT FROM tenant) OR EXISTS (SELECT FROM decision)"
    ).fetchone()
    if used and used[0] and not replace:
        raise NotEmpty(
            "The database has an Earthflow with tenants already. To replace it: --replace"
        )
    for table in ("migration", *reversed(_tables(connection))):
        connection.execute(sql.SQL("DROP TABLE {} CASCADE").format(sql.Identifier(table)))  # fmt: skip


def _tables(connection: psycopg.Connection) -> list[str]:
    """Our tables, each behind those that it refers to; no partitions, no `migration`."""
    names = [name for name in _every_table(connection) if name in our_tables()]
    needs = connection.execute(
        "SELECT conrelid::regclass::text, confrelid::regclass::text FROM pg_constraint "
        "WHERE contype = 'f' AND conrelid <> confrelid AND connamespace = current_schema()::regnamespace"
    ).fetchall()
    ordered: list[str] = []
    while names:
        ready = [
            name
            for name in names
            if not any(one == name and other in names for one, other in needs)
        ]
        assert ready, "tables refer to one another in a circle"
        ordered += ready
        names = [name for name in names if name not in ready]
    return ordered


def _every_table(connection: psycopg.Connection) -> list[str]:
    """All tables of the schema, ours or not; no partitions."""
    return [
        name
        for (name,) in connection.execute(
            "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition "
            "AND relnamespace = current_schema()::regnamespace ORDER BY relname"
        )
    ]


def _content(connection: psycopg.Connection, table: str) -> Content:
    columns = tuple(
        name
        for (name,) in connection.execute(
            "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
            (table,),
        )
    )
    content = Content(table, columns, 0, "")
    row = connection.execute(
        sql.SQL(
            "SELECT count(*), coalesce(sum(hashtextextended(ROW({})::text, 0)::numeric), 0)::text FROM {}"
        ).format(_columns(content), sql.Identifier(table))
    ).fetchone()
    assert row is not None
    return Content(table, columns, row[0], row[1])


def _columns(content: Content) -> sql.Composable:
    return sql.SQL(", ").join(map(sql.Identifier, content.columns))


def _raise_sequences(connection: psycopg.Connection) -> None:
    """Let no new row have the number of one that was loaded."""
    owned: Sequence[tuple[str, str]] = connection.execute(
        "SELECT a.attrelid::regclass::text, a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid "
        "WHERE a.attidentity <> '' AND c.relnamespace = current_schema()::regnamespace AND NOT c.relispartition"
    ).fetchall()
    for table, column in owned:
        connection.execute(
            sql.SQL(
                "SELECT setval(pg_get_serial_sequence({}, {}), coalesce(max({}), 0) + 1, false) FROM {}"
            ).format(
                sql.Literal(table),
                sql.Literal(column),
                sql.Identifier(column),
                sql.Identifier(table),
            )
        )
