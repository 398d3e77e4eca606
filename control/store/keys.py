"""Keys of tenants. Of a secret only its digest is here."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from control.store.database import Connection, Pool
from control.store.tenants import bump


class Key(NamedTuple):
    """A key; past `not_after` it does not work any more."""

    id: str
    tenant: str
    created: datetime
    not_after: datetime | None
    replaced_by: str | None


class Minted(NamedTuple):
    """A new key, as it is stored."""

    id: str
    digest: str


class Rotated(NamedTuple):
    """A tenant's old keys, and the one that takes their place; they end at `not_after`."""

    tenant: str
    old: Sequence[str]
    new: str
    not_after: datetime


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


async def of_tenant(pool: Pool, tenant: str) -> list[Key]:
    """All keys that a tenant has or had, oldest first."""
    async with pool.connection() as connection:
        rows = await connection.execute(
            "SELECT id, tenant, created, not_after, replaced_by FROM api_key WHERE tenant = %s ORDER BY created, id", (tenant,)
        )
        return [Key(**row) for row in await rows.fetchall()]


async def add(pool: Pool, tenant: str, minted: Minted, not_after: datetime | None) -> Key | None:
    """One more key; proxies are told in the same transaction. None where there is no such tenant."""
    async with pool.connection() as connection, connection.transaction():
        rows = await connection.execute(
            "INSERT INTO api_key (id, tenant, digest, not_after) SELECT %s, id, %s, %s FROM tenant WHERE id = %s AND deleted IS NULL "
            "RETURNING id, tenant, created, not_after, replaced_by",
            (minted.id, minted.digest, not_after, tenant),
        )
        row = await rows.fetchone()
        if row is not None:
            await bump(connection)
        return Key(**row) if row is not None else None


async def revoke(pool: Pool, tenant: str, key: str) -> bool:
    """End a key now. Whether it worked until now."""
    async with pool.connection() as connection, connection.transaction():
        done = await connection.execute(
            "UPDATE api_key SET not_after = now() WHERE id = %s AND tenant = %s AND (not_after IS NULL OR not_after > now())", (key, tenant)
        )
        if done.rowcount:
            await bump(connection)
        return bool(done.rowcount)


async def to_rotate(pool: Pool, tenant: str | None) -> list[str]:
    """The tenants whose keys would be rotated: this one, or all."""
    async with pool.connection() as connection:
        rows = await connection.execute(
            "SELECT id FROM tenant WHERE deleted IS NULL AND (%(id)s::text IS NULL OR id = %(id)s) ORDER BY created, id", {"id": tenant}
        )
        return [row["id"] for row in await rows.fetchall()]


async def rotate(pool: Pool, minted: dict[str, Minted], revoke_after: int) -> list[Rotated]:
    """Give each tenant its new key; those it has work for so many seconds more. All in one transaction, or nothing."""
    async with pool.connection() as connection, connection.transaction():
        rotated = [await _rotate(connection, tenant, new, revoke_after) for tenant, new in minted.items()]
        await bump(connection)
    return rotated


async def _rotate(connection: Connection, tenant: str, new: Minted, revoke_after: int) -> Rotated:
    await connection.execute("INSERT INTO api_key (id, tenant, digest) VALUES (%s, %s, %s)", (new.id, tenant, new.digest))
    rows = await connection.execute(
        "UPDATE api_key SET replaced_by = %(new)s, not_after = least(not_after, now() + make_interval(secs => %(seconds)s)) "
        "WHERE tenant = %(tenant)s AND id <> %(new)s AND (not_after IS NULL OR not_after > now()) RETURNING id",
        {"new": new.id, "tenant": tenant, "seconds": revoke_after},
    )
    old = [row["id"] for row in await rows.fetchall()]
    row = await (await connection.execute("SELECT now() + make_interval(secs => %s) AS ends", (revoke_after,))).fetchone()
    assert row is not None
    return Rotated(tenant, old, new.id, row["ends"])
