"""Tenants and their keys."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import psycopg

from control.store.database import Connection, Pool


class Tenant(NamedTuple):
    """A tenant, without its secrets; `keys` are key ids."""

    id: str
    name: str
    preset: str
    created: datetime
    keys: Sequence[str]
    unknown_hosts: str = ""


class TenantExists(Exception):
    """The id is taken."""


async def create(
    pool: Pool, *, id: str, name: str, preset: str, prompt_key: str, key_id: str, key_digest: str, unknown_hosts: str = ""
) -> Tenant:
    """A tenant with its first key; proxies are told in the same transaction. Raises TenantExists."""
    async with pool.connection() as connection, connection.transaction():
        try:
            row = await connection.execute(
                "INSERT INTO tenant (id, name, preset, prompt_key, unknown_hosts) VALUES (%s, %s, %s, %s, %s) RETURNING created",
                (id, name, preset, prompt_key, unknown_hosts),
            )
        except psycopg.errors.UniqueViolation:
            raise TenantExists(id) from None
        created = await row.fetchone()
        assert created is not None
        await connection.execute("INSERT INTO api_key (id, tenant, digest) VALUES (%s, %s, %s)", (key_id, id, key_digest))
        await bump(connection)
    return Tenant(id, name, preset, created["created"], [key_id], unknown_hosts)


async def delete(pool: Pool, id: str) -> bool:
    """End a tenant: its keys stop at once, its audit stays. Whether there was one."""
    async with pool.connection() as connection, connection.transaction():
        done = await connection.execute("UPDATE tenant SET deleted = now() WHERE id = %s AND deleted IS NULL", (id,))
        if done.rowcount:
            await bump(connection)
        return bool(done.rowcount)


async def every(pool: Pool) -> list[Tenant]:
    """All tenants, oldest first."""
    async with pool.connection() as connection:
        rows = await connection.execute(
            "SELECT t.id, t.name, t.preset, t.created, t.unknown_hosts, "
            "array_agg(k.id ORDER BY k.created) FILTER (WHERE k.id IS NOT NULL) AS keys "
            "FROM tenant t LEFT JOIN api_key k ON k.tenant = t.id WHERE t.deleted IS NULL GROUP BY t.id ORDER BY t.created, t.id"
        )
        return [
            Tenant(row["id"], row["name"], row["preset"], row["created"], row["keys"] or [], row["unknown_hosts"])
            for row in await rows.fetchall()
        ]


async def owner_of(pool: Pool, key_id: str) -> tuple[str, str] | None:
    """The tenant and the digest of a live key."""
    async with pool.connection() as connection:
        rows = await connection.execute(
            "SELECT k.tenant, k.digest FROM api_key k JOIN tenant t ON t.id = k.tenant "
            "WHERE k.id = %s AND t.deleted IS NULL AND (k.not_after IS NULL OR k.not_after > now())",
            (key_id,),
        )
        row = await rows.fetchone()
    return (row["tenant"], row["digest"]) if row else None


async def bump(connection: Connection) -> None:
    """Raise the version of what proxies are served."""
    await connection.execute("UPDATE snapshot SET version = version + 1")
