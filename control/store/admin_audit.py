"""Who changed what: entries, each in the transaction of the change that it tells of.

A request, a job or a command says that an act is under way, and by whom. Whatever is changed then, through `changing`, becomes an
entry of it; a change without an act, such as a test's, becomes none.
"""

import hashlib
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec
import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from contract.decision import new_id
from control.store.database import Connection, Pool

DONE = "done"
COLUMNS = "id, at, request, actor, role, address, action, object, tenant, outcome, before, after"
INSERT = (
    f"INSERT INTO admin_entry ({COLUMNS}) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
).encode()  # fmt: skip


class Change(NamedTuple):
    """One thing that an act changed: what of it was otherwise before, and is so after."""

    object: str
    tenant: str | None
    before: Mapping[str, Any]
    after: Mapping[str, Any]


@dataclass
class Act:
    """What somebody does: `action` such as tenants.create, to the `object` of that id.

    `actor` is the id of a key, `environment` for the one of EARTHFLOW_ADMIN_API_KEY, `control` for what it does by itself, or
    `host` for a command that uses the database; empty while nobody is known.
    """

    action: str
    object: str = ""
    request: str = field(default_factory=new_id)
    actor: str = ""
    role: str = ""
    address: str = ""
    tenant: str | None = None
    changes: list[Change] = field(default_factory=list)
    noted: bool = False  # it has its entry
    told: dict[str, Any] = field(default_factory=dict)  # of an act that changes nothing


class Entry(msgspec.Struct, kw_only=True):
    """An act as it is kept. `actor` is as in Act; `outcome` is done, or why not; `before` has what of the object was otherwise.
    `request` is the id of the request, in control's log.
    """

    id: str
    at: datetime
    request: str
    actor: str
    role: str
    address: str
    action: str
    object: str
    tenant: str | None
    outcome: str
    before: Mapping[str, Any]
    after: Mapping[str, Any]


class Wanted(NamedTuple):
    """Which entries are wanted: those that have all that is not None, of any of the `tenants`. `action` is one, or all of a noun."""

    request: str | None = None
    actor: str | None = None
    object: str | None = None
    action: str | None = None
    tenants: Sequence[str] | None = None
    outcome: str | None = None
    since: datetime | None = None
    until: datetime | None = None


UNDER_WAY: ContextVar[Act | None] = ContextVar("act", default=None)


@contextmanager
def acting(act: Act) -> Iterator[Act]:
    """Let what is changed meanwhile be entries of this act."""
    token = UNDER_WAY.set(act)
    try:
        yield act
    finally:
        UNDER_WAY.reset(token)


@asynccontextmanager
async def changing(pool: Pool) -> AsyncIterator[Connection]:
    """A connection in a transaction of its own. What is `changed` in it becomes entries of the act under way, committed with it."""
    act = UNDER_WAY.get()
    begun = len(act.changes) if act else 0
    async with pool.connection() as connection, connection.transaction():
        yield connection
        if act is not None and act.changes[begun:]:
            rows = [_row(act, change, DONE) for change in act.changes[begun:]]
            await connection.cursor().executemany(INSERT, rows)
    if act is not None and act.changes[begun:]:
        act.noted = True


def changed(
    object: str,
    tenant: str | None,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    """Something was changed, in `changing`. The two may have the same fields; only what differs is kept."""
    act = UNDER_WAY.get()
    if act is not None:
        old, new = _plain(before or {}), _plain(after or {})
        act.changes.append(
            Change(
                object,
                tenant,
                {name: old[name] for name in old if old[name] != new.get(name)},
                {name: new[name] for name in new if new[name] != old.get(name)},
            )
        )


def about(object: str, tenant: str | None = None) -> None:
    """The act under way is about this object, though its request's path does not name it."""
    if (act := UNDER_WAY.get()) is not None:
        act.object, act.tenant = object, tenant or act.tenant


def is_dry_run() -> None:
    """The act under way only asks what would be changed."""
    if (act := UNDER_WAY.get()) is not None:
        act.told["dry_run"] = True


async def note(
    pool: Pool, act: Act, outcome: str = DONE, after: Mapping[str, object] | None = None
) -> None:
    """An entry of an act that changed nothing: a refused one, or one that only read."""
    told = act.told if outcome == DONE and after is None else after or {}
    change = Change(act.object, act.tenant, {}, _plain(told))
    async with pool.connection() as connection:
        await connection.execute(INSERT, _row(act, change, outcome))
    act.noted = True


def note_with(
    connection: "psycopg.Connection[Any]", action: str, object: str, **after: object
) -> None:
    """An entry of a command that uses the database itself, in that command's transaction."""
    act = Act(action, actor="host", role="host", address="local")
    connection.execute(INSERT, _row(act, Change(object, None, {}, _plain(after)), DONE))


async def search(
    pool: Pool, wanted: Wanted, *, limit: int, after: str | None
) -> list[Entry]:
    """The newest entries that are wanted; `after` this one, where there is one."""
    parts: list[sql.Composable] = [
        sql.SQL("{} = {}").format(sql.Identifier(name), sql.Placeholder(name))
        for name in ("request", "actor", "object", "outcome")
        if getattr(wanted, name) is not None
    ]
    for name, condition in (
        ("action", "%(action)s IN (action, split_part(action, '.', 1))"),
        ("tenants", "tenant = ANY (%(tenants)s)"),
        ("since", "at >= %(since)s"),
        ("until", "at < %(until)s"),
    ):
        parts += [sql.SQL(condition)] if getattr(wanted, name) is not None else []
    parts += [sql.SQL("id < %(after)s::uuid")] if after is not None else []
    where = sql.SQL(" AND ").join(parts) if parts else sql.SQL("true")
    query = sql.SQL(
        "SELECT id::text, at, request, actor, role, address, action, object, tenant, outcome, before, after "
        "FROM admin_entry WHERE {} ORDER BY id DESC LIMIT %(limit)s"
    ).format(where)
    async with pool.connection() as connection:
        rows = await connection.execute(
            query, {**wanted._asdict(), "limit": limit, "after": after}
        )
        return [Entry(**row) for row in await rows.fetchall()]


async def forget(connection: Connection, oldest: date) -> None:
    """Delete the entries of days before `oldest`."""
    await connection.execute("DELETE FROM admin_entry WHERE at < %s", (oldest,))


def without_secrets(url: str | None) -> str | None:
    """A URL by its host, and what tells it from others there: the path of a webhook is often its secret."""
    if url is None:
        return None
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port else ""
    mark = hashlib.sha256(url.encode()).hexdigest()[:8]
    return f"{parts.scheme}://{parts.hostname}{port}/… ({mark})"


def _plain(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields that say something, as JSON has them."""
    told = {name: value for name, value in fields.items() if value not in (None, "")}
    plain: dict[str, Any] = msgspec.to_builtins(told)
    return plain


def _row(act: Act, change: Change, outcome: str) -> tuple[object, ...]:
    return (
        new_id(), datetime.now(UTC), act.request, act.actor, act.role, act.address, act.action,
        change.object, change.tenant, outcome, Jsonb(dict(change.before)), Jsonb(dict(change.after)),
    )  # fmt: skip
