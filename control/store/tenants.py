"""Tenants."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from control.store import webhooks
from control.store.admin_audit import changed, changing, without_secrets
from control.store.database import BUMP, Connection, Pool


class Tenant(NamedTuple):
    """A tenant, without its secrets.

    `keys` are the ids of those that work, now or for a while.
    """

    id: str
    name: str
    preset: str
    created: datetime
    unknown_hosts: str
    max_requests_per_minute: int | None
    max_tokens_per_day: int | None
    retention_days: int | None
    labels: Mapping[str, str]
    keys: Sequence[str]
    webhook: str | None  # the URL of its first webhook
    deleted: datetime | None


class Wanted(NamedTuple):
    """Which tenants are wanted: of a `search` in id and name, `live` or `ended`; those behind the one `after`."""

    search: str = ""
    live: bool = True
    ended: bool = False
    after: str | None = None


LIVE = Wanted()


class TenantExists(Exception):
    """The id, which it has as its text, is taken."""


class New(NamedTuple):
    """A tenant to create: its columns, and the id and digest of its first key."""

    values: Mapping[str, Any]
    key_id: str
    key_digest: str


async def create(pool: Pool, new: Sequence[New]) -> list[Tenant]:
    """Create tenants with their first keys, and raise the snapshot's version: all in one
    transaction, or none. Raises TenantExists.
    """
    async with changing(pool) as connection:
        ids = [one.values["id"] for one in new]
        rows = await connection.execute(
            "SELECT id FROM tenant WHERE id = ANY (%s) LIMIT 1", (ids,)
        )
        if taken := await rows.fetchone():
            raise TenantExists(taken["id"])
        for one in new:
            await insert(connection, one.values)
        await connection.cursor().executemany(
            "INSERT INTO api_key (id, tenant, digest) VALUES (%s, %s, %s)",
            [(one.key_id, one.values["id"], one.key_digest) for one in new],
        )
        await bump(connection)
        made = {one.id: one for one in await read(connection, ids=ids)}
        for id in ids:
            changed(id, id, {}, told_of(made[id]))
        return [made[id] for id in ids]


async def insert(connection: Connection, values: Mapping[str, Any]) -> None:
    """Insert a tenant's row, by column. Raises TenantExists."""
    names = sql.SQL(", ").join(map(sql.Identifier, values))
    holders = sql.SQL(", ").join([sql.Placeholder()] * len(values))
    query = sql.SQL("INSERT INTO tenant ({}) VALUES ({})").format(names, holders)
    try:
        await connection.execute(query, [*map(_stored, values.values())])
    except psycopg.errors.UniqueViolation:
        raise TenantExists(values["id"]) from None


async def update(connection: Connection, id: str, values: Mapping[str, Any]) -> None:
    """Set columns of a tenant that is live."""
    settings = sql.SQL(", ").join(
        sql.SQL("{} = {}").format(sql.Identifier(name), sql.Placeholder())
        for name in values
    )
    query = sql.SQL("UPDATE tenant SET {} WHERE id = {} AND deleted IS NULL").format(
        settings, sql.Placeholder()
    )
    await connection.execute(query, [*map(_stored, values.values()), id])


async def change(
    pool: Pool,
    id: str,
    values: Mapping[str, Any],
    webhook: Mapping[str, Any] | None = None,
) -> Tenant | None:
    """Set columns of a tenant, and raise the snapshot's version, in one transaction.

    None: there is no such tenant.

    `webhook` takes the place of the first one, which reading a tenant shows; an empty one removes that. Others stay.
    """
    async with changing(pool) as connection:
        before = await _locked(connection, id)
        if before is None:
            return None
        if webhook is not None:
            await webhooks.set_first(connection, id, webhook)
        if values:
            await update(connection, id, values)
            await bump(connection)
        after = await _one(connection, id)
        assert after is not None, "nobody else changes a tenant that is locked"
        changed(id, id, told_of(before), told_of(after))
        return after


async def delete(pool: Pool, id: str) -> bool:
    """End a tenant: its keys stop at once, its audit stays. Whether there was one."""
    async with changing(pool) as connection:
        before = await _locked(connection, id)
        done = await connection.execute(
            "UPDATE tenant SET deleted = now() WHERE id = %s AND deleted IS NULL", (id,)
        )
        if before is not None and done.rowcount:
            await connection.execute(
                "UPDATE webhook SET disabled = 'its tenant was deleted' WHERE tenant = %s",
                (id,),
            )
            await connection.execute("DELETE FROM known_value WHERE tenant = %s", (id,))
            await bump(connection)
            changed(id, id, told_of(before), {})
        return bool(done.rowcount)


async def every(
    pool: Pool,
    wanted: Wanted = LIVE,
    limit: int | None = None,
    ids: Sequence[str] | None = None,
) -> list[Tenant]:
    """As `read`, on a connection of its own."""
    async with pool.connection() as connection:
        return await read(connection, wanted, limit, ids)


async def one(pool: Pool, id: str) -> Tenant | None:
    """A tenant, or None."""
    async with pool.connection() as connection:
        return await _one(connection, id)


async def exists(pool: Pool, id: str) -> bool:
    """Whether there is or was a tenant of this id."""
    async with pool.connection() as connection:
        rows = await connection.execute("SELECT id FROM tenant WHERE id = %s", (id,))
        return await rows.fetchone() is not None


async def _locked(connection: Connection, id: str) -> Tenant | None:
    """A tenant that nobody else changes until the transaction ends. It is locked before its webhooks, by everybody."""
    await connection.execute("SELECT id FROM tenant WHERE id = %s FOR UPDATE", (id,))
    return await _one(connection, id)


async def _one(connection: Connection, id: str) -> Tenant | None:
    return next(iter(await read(connection, ids=[id])), None)


async def read(
    connection: Connection,
    wanted: Wanted = LIVE,
    limit: int | None = None,
    ids: Sequence[str] | None = None,
) -> list[Tenant]:
    """The tenants that are wanted, of these `ids` where they are given, oldest first."""
    rows = await connection.execute(
        "SELECT t.id, t.name, t.preset, t.created, t.unknown_hosts, t.max_requests_per_minute, t.max_tokens_per_day, t.retention_days, "
        "t.labels, t.deleted, "
        "(SELECT url FROM webhook w WHERE w.tenant = t.id ORDER BY w.created, w.id LIMIT 1) AS webhook, "
        "ARRAY(SELECT k.id FROM api_key k WHERE k.tenant = t.id AND (k.not_after IS NULL OR k.not_after > now()) "
        "ORDER BY k.created, k.id) AS keys "
        "FROM tenant t WHERE CASE WHEN t.deleted IS NULL THEN %(live)s ELSE %(ended)s END "
        "AND (%(ids)s::text[] IS NULL OR t.id = ANY (%(ids)s)) "
        "AND (%(search)s = '' OR strpos(lower(t.id || ' ' || t.name), lower(%(search)s)) > 0) "
        "AND (%(after)s::text IS NULL OR (t.created, t.id) > (SELECT a.created, a.id FROM tenant a WHERE a.id = %(after)s)) "
        "ORDER BY t.created, t.id LIMIT %(limit)s",
        {
            **wanted._asdict(),
            "limit": limit,
            "ids": list(ids) if ids is not None else None,
        },
    )
    return [Tenant(**row) for row in await rows.fetchall()]


def told_of(tenant: Tenant) -> dict[str, object]:
    """A tenant as the audit of administration tells of it."""
    told = tenant._asdict() | {"webhook": without_secrets(tenant.webhook)}
    for name in ("id", "created", "deleted"):
        del told[name]
    return named(told)


def named(columns: Mapping[str, Any]) -> dict[str, Any]:
    """Columns under the names that the API has for them."""
    return {
        "rules_preset" if name == "preset" else name: value
        for name, value in columns.items()
    }


def _stored(value: object) -> object:
    return Jsonb(value) if isinstance(value, dict) else value


async def bump(connection: Connection) -> None:
    """Raise the version of the snapshot, and mark the new one."""
    await connection.execute(BUMP.encode())


class Judged(NamedTuple):
    """What a tenant's calls are judged by: its preset, and its wrapped key for prompts."""

    id: str
    preset: str
    prompt_key: str


async def judged(pool: Pool, ids: Sequence[str]) -> list[Judged]:
    """Of these tenants those that are there."""
    async with pool.connection() as connection:
        rows = await connection.execute(
            "SELECT id, preset, prompt_key FROM tenant WHERE id = ANY (%s) AND deleted IS NULL",
            (list(ids),),
        )
        return [Judged(**row) for row in await rows.fetchall()]
