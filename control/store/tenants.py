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


class TenantExists(Exception):
    """The id is taken."""


async def create(
    pool: Pool, values: Mapping[str, Any], *, key_id: str, key_digest: str
) -> Tenant:
    """Create a tenant with its first key, and raise the snapshot's version, in one
    transaction. `values` are columns. Raises TenantExists.
    """
    async with changing(pool) as connection:
        names = sql.SQL(", ").join(map(sql.Identifier, values))
        holders = sql.SQL(", ").join([sql.Placeholder()] * len(values))
        try:
            await connection.execute(
                sql.SQL("INSERT INTO tenant ({}) VALUES ({})").format(names, holders),
                [*map(_stored, values.values())],
            )
        except psycopg.errors.UniqueViolation:
            raise TenantExists(values["id"]) from None
        await connection.execute(
            "INSERT INTO api_key (id, tenant, digest) VALUES (%s, %s, %s)",
            (key_id, values["id"], key_digest),
        )
        await bump(connection)
        made = (await _read(connection, values["id"]))[0]
        changed(made.id, made.id, {}, _told(made))
        return made


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
        before = next(iter(await _read(connection, id)), None)
        if before is None:
            return None
        if webhook is not None:
            await webhooks.set_first(connection, id, webhook)
        if values:
            settings = sql.SQL(", ").join(
                sql.SQL("{} = {}").format(sql.Identifier(name), sql.Placeholder())
                for name in values
            )
            query = sql.SQL(
                "UPDATE tenant SET {} WHERE id = {} AND deleted IS NULL"
            ).format(settings, sql.Placeholder())
            await connection.execute(query, [*map(_stored, values.values()), id])
            await bump(connection)
        after = next(iter(await _read(connection, id)), None)
        changed(id, id, _told(before), _told(after) if after else {})
        return after


async def delete(pool: Pool, id: str) -> bool:
    """End a tenant: its keys stop at once, its audit stays. Whether there was one."""
    async with changing(pool) as connection:
        before = next(iter(await _read(connection, id)), None)
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
            changed(id, id, _told(before), {})
        return bool(done.rowcount)


async def every(pool: Pool) -> list[Tenant]:
    """All tenants, oldest first."""
    async with pool.connection() as connection:
        return await _read(connection)


async def one(pool: Pool, id: str) -> Tenant | None:
    """A tenant, or None."""
    async with pool.connection() as connection:
        return next(iter(await _read(connection, id)), None)


async def _read(connection: Connection, id: str | None = None) -> list[Tenant]:
    rows = await connection.execute(
        "SELECT t.id, t.name, t.preset, t.created, t.unknown_hosts, t.max_requests_per_minute, t.max_tokens_per_day, t.retention_days, "
        "t.labels, "
        "(SELECT url FROM webhook w WHERE w.tenant = t.id ORDER BY w.created, w.id LIMIT 1) AS webhook, "
        "coalesce(array_agg(k.id ORDER BY k.created) FILTER (WHERE k.id IS NOT NULL), '{}') AS keys "
        "FROM tenant t LEFT JOIN api_key k ON k.tenant = t.id AND (k.not_after IS NULL OR k.not_after > now()) "
        "WHERE t.deleted IS NULL AND (%(id)s::text IS NULL OR t.id = %(id)s) GROUP BY t.id ORDER BY t.created, t.id",
        {"id": id},
    )
    return [Tenant(**row) for row in await rows.fetchall()]


def _told(tenant: Tenant) -> dict[str, object]:
    """A tenant as the audit of administration tells of it."""
    told = tenant._asdict() | {"webhook": without_secrets(tenant.webhook)}
    return {
        "rules_preset" if name == "preset" else name: value
        for name, value in told.items()
        if name not in ("id", "created")
    }


def _stored(value: object) -> object:
    return Jsonb(value) if isinstance(value, dict) else value


async def bump(connection: Connection) -> None:
    """Raise the version of the snapshot, and mark the new one."""
    await connection.execute(BUMP.encode())
