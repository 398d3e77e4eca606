"""What arrived and is no record: kept aside, listed, and stored after all where a later version can read it."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from control.store.database import Connection, Pool


class SetAside(NamedTuple):
    """An entry that was kept aside, and why. `signed`: it had its proxy's MAC."""

    entry: str
    arrived: datetime
    reason: str
    bytes: int
    signed: bool


async def page(pool: Pool, limit: int, after: str | None) -> list[SetAside]:
    """The newest entries; `after` this one, where there is one."""
    async with pool.connection() as connection:
        rows = await connection.execute(
            "SELECT entry, arrived, reason, length(payload) AS bytes, signed FROM quarantine q "
            "WHERE %(after)s::text IS NULL OR (arrived, entry) < (SELECT a.arrived, a.entry FROM quarantine a WHERE a.entry = %(after)s) "
            "ORDER BY arrived DESC, entry DESC LIMIT %(limit)s",
            {"after": after, "limit": limit},
        )
        return [SetAside(**row) for row in await rows.fetchall()]


async def honest(
    connection: Connection, entry: str | None, most: int
) -> list[tuple[str, bytes]]:
    """The entries with their proxies' MAC, oldest first, or this one; nobody else changes them until the transaction ends."""
    rows = await connection.execute(
        "SELECT entry, payload FROM quarantine WHERE signed AND (%(entry)s::text IS NULL OR entry = %(entry)s) "
        "ORDER BY arrived, entry LIMIT %(most)s FOR UPDATE",
        {"entry": entry, "most": most},
    )
    return [(row["entry"], row["payload"]) for row in await rows.fetchall()]


async def forget(connection: Connection, entries: Sequence[str]) -> None:
    """They are kept aside no more."""
    await connection.execute(
        "DELETE FROM quarantine WHERE entry = ANY (%s)", (list(entries),)
    )
