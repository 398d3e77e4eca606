"""Answers to writes that named themselves, kept for a day."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import NamedTuple

from control.store.database import Connection, alone

KEPT = timedelta(hours=24)


class Answered(NamedTuple):
    """What was asked (a digest), and what was answered to it; `body` is wrapped, and None while nothing was answered."""

    asked: bytes
    status: int
    body: str | None


@asynccontextmanager
async def claim(conninfo: str, scope: str, key: str) -> AsyncIterator[Connection]:
    """A connection on which nobody else handles this key: whoever comes with it meanwhile waits."""
    async with await alone(conninfo) as connection:
        await connection.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", (f"{scope}\x1f{key}",))
        yield connection


async def read(connection: Connection, scope: str, key: str) -> Answered | None:
    """What this key was answered."""
    rows = await connection.execute(
        "SELECT asked, status, body FROM answered WHERE scope = %s AND key = %s AND at > now() - %s",
        (scope, key, KEPT),
    )
    row = await rows.fetchone()
    return Answered(**row) if row else None


async def keep(connection: Connection, scope: str, key: str, answered: Answered) -> None:
    """Note it, in place of one that is too old."""
    await connection.execute(
        "INSERT INTO answered (scope, key, asked, status, body) VALUES (%s, %s, %s, %s, %s) "
        "ON CONFLICT (scope, key) DO UPDATE SET asked = excluded.asked, status = excluded.status, body = excluded.body, at = now()",
        (scope, key, *answered),
    )


async def forget_one(connection: Connection, scope: str, key: str) -> None:
    """As if it had never come."""
    await connection.execute("DELETE FROM answered WHERE scope = %s AND key = %s", (scope, key))


async def forget(connection: Connection) -> None:
    """Delete what is too old."""
    await connection.execute("DELETE FROM answered WHERE at < now() - %s", (KEPT,))
