"""Known values: secrets of a tenant's own that its proxies look for."""

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from control.store.admin_audit import changed, changing
from control.store.database import Connection, Pool
from control.store.tenants import bump
from rules.known import MAX_VALUES

# Of all tenants together: all of them are in each snapshot, some 5 MB of it where they are as long as passwords.
MOST = 20_000


class Known(NamedTuple):
    """A known value, without the value."""

    name: str
    any_case: bool
    created: datetime


class New(NamedTuple):
    """A known value to store, wrapped."""

    name: str
    value: str
    any_case: bool


class TooMany(Exception):
    """The tenant, or all together, would have more than they may; the sentence says which."""


async def of_tenant(pool: Pool, tenant: str) -> list[Known]:
    """A tenant's known values, by name."""
    async with pool.connection() as connection:
        rows = await connection.execute(
            "SELECT name, any_case, created FROM known_value WHERE tenant = %s ORDER BY name",
            (tenant,),
        )
        return [Known(**row) for row in await rows.fetchall()]


async def sealed(pool: Pool, tenant: str) -> list[New]:
    """A tenant's known values as they are stored, which nobody can read without the data key."""
    async with pool.connection() as connection:
        rows = await connection.execute(
            "SELECT name, value, any_case FROM known_value WHERE tenant = %s", (tenant,)
        )
        return [New(**row) for row in await rows.fetchall()]


async def put(pool: Pool, tenant: str, values: Iterable[New]) -> bool:
    """Add values, or replace those of the same names, and raise the snapshot's version, in one
    transaction. Whether there is such a tenant. Raises TooMany.
    """
    async with changing(pool) as connection:
        found = await connection.execute(
            "SELECT id FROM tenant WHERE id = %s AND deleted IS NULL FOR UPDATE",
            (tenant,),
        )
        if await found.fetchone() is None:
            return False
        names: dict[str, list[str]] = {"added": [], "replaced": []}
        for one in values:
            rows = await connection.execute(
                "INSERT INTO known_value (tenant, name, value, any_case) VALUES (%s, %s, %s, %s) ON CONFLICT (tenant, name) "
                "DO UPDATE SET value = excluded.value, any_case = excluded.any_case, created = now() "
                "RETURNING xmax = 0 AS new",
                (tenant, *one),
            )
            row = await rows.fetchone()
            names["added" if row and row["new"] else "replaced"].append(one.name)
        await bump(connection)  # first, since it holds off others
        await _bound(connection, tenant)
        changed(tenant, tenant, {}, {name: all for name, all in names.items() if all})
        return True


async def delete(pool: Pool, tenant: str, name: str) -> bool:
    """Forget a value, on every proxy. Whether there was one."""
    async with changing(pool) as connection:
        done = await connection.execute(
            "DELETE FROM known_value WHERE tenant = %s AND name = %s", (tenant, name)
        )
        if done.rowcount:
            await bump(connection)
            changed(name, tenant)
        return bool(done.rowcount)


async def _bound(connection: Connection, tenant: str) -> None:
    rows = await connection.execute(
        "SELECT count(*) FILTER (WHERE tenant = %s) AS own, count(*) AS all FROM known_value",
        (tenant,),
    )
    row = await rows.fetchone()
    assert row is not None
    if row["own"] > MAX_VALUES:
        raise TooMany(
            f"A tenant may have {MAX_VALUES:,} known values; this one would have {row['own']:,}."
        )
    if row["all"] > MOST:
        raise TooMany(
            f"All tenants together may have {MOST:,} known values; they would have {row['all']:,}."
        )
