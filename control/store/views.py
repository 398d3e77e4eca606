"""Saved views: searches of the audit under a name, of one person or for all who see the same tenants."""

from typing import NamedTuple

from control.permissions import Caller
from control.store.admin_audit import changed, changing
from control.store.database import Connection, Pool

MOST = 100  # of one owner
COLUMNS = "id, owner, name, query, shared"


class TooMany(Exception):
    """Its owner has as many as may be."""


class View(NamedTuple):
    """A search, as the query of a URL, and whose it is."""

    id: str
    owner: str
    name: str
    query: str
    shared: bool


async def owner_of(pool: Pool, who: Caller) -> str:
    """Whose views somebody's are: a person who signs in again has another key."""
    async with pool.connection() as connection:
        rows = await connection.execute(
            "SELECT subject FROM sign_in WHERE key = %s", (who.key,)
        )
        row = await rows.fetchone()
    return f"person {row['subject']}" if row else who.key


def scope_of(who: Caller) -> str:
    """Who else sees what somebody shares."""
    return " ".join(sorted(who.tenants or ()))


async def seen_by(pool: Pool, owner: str, scope: str) -> list[View]:
    """Somebody's own views, and those that others share."""
    async with pool.connection() as connection:
        rows = await connection.execute(
            f"SELECT {COLUMNS} FROM saved_view WHERE owner = %s OR (shared AND scope = %s) ORDER BY lower(name), id".encode(),
            (owner, scope),
        )
        return [View(**row) for row in await rows.fetchall()]


async def put(pool: Pool, view: View, scope: str) -> View:
    """Save a view, in the place of the one with the same name. Raises TooMany."""
    async with changing(pool) as connection:
        if await _others(connection, view) >= MOST:
            raise TooMany
        rows = await connection.execute(
            "INSERT INTO saved_view (id, owner, scope, name, query, shared) VALUES (%s, %s, %s, %s, %s, %s) "
            "ON CONFLICT (owner, name) DO UPDATE SET query = excluded.query, shared = excluded.shared, scope = excluded.scope "
            f"RETURNING {COLUMNS}".encode(),
            (view.id, view.owner, scope, view.name, view.query, view.shared),
        )
        row = await rows.fetchone()
        assert row is not None
        made = View(**row)
        changed(made.id, None, {}, {"name": made.name, "shared": made.shared})
        return made


async def delete(pool: Pool, id: str, owner: str) -> bool:
    """Delete somebody's own view. Whether there was one."""
    async with changing(pool) as connection:
        rows = await connection.execute(
            "DELETE FROM saved_view WHERE id = %s AND owner = %s RETURNING name",
            (id, owner),
        )
        row = await rows.fetchone()
        if row is not None:
            changed(id, None, {"name": row["name"]})
        return row is not None


async def _others(connection: Connection, view: View) -> int:
    """How many its owner has by other names."""
    rows = await connection.execute(
        "SELECT count(*) AS count FROM saved_view WHERE owner = %s AND name <> %s",
        (view.owner, view.name),
    )
    row = await rows.fetchone()
    return row["count"] if row else 0
