"""Answers to writes with an Idempotency-Key, kept for a day."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import NamedTuple

from control.store.database import Connection, alone

# How long an answer is kept, as Stripe and others do.
KEPT = timedelta(hours=24)


class Answered(NamedTuple):
    """A request (its digest) and its answer.

    `body` is wrapped; None while it is not answered.
    """

    asked: bytes
    status: int
    body: str | None


@asynccontextmanager
async def claim(conninfo: str, scope: str, key: str) -> AsyncIterator[Connection]:
    """A connection on which nobody else handles this key: others with it wait."""
    async with await alone(conninfo) as connection:
        await connection.execute(
            "SELECT pg_advisory_lock(hashtextextended(%s, 0))", (f"{scope}\x1f{key}",)
        )
        yield connection


async def read(connection: Connection, scope: str, key: str) -> Answered | None:
    """The answer that this key got."""
    rows = await connection.execute(
        "SELECT asked, status, body FROM answered WHERE scope = %s AND key = %s AND at > now() - %s",
        (scope, key, KEPT),
    )
    row = await rows.fetchone()
    return Answered(**row) if row else None


async def keep(
    connection: Connection, scope: str, key: str, answered: Answered
) -> None:
    """Keep an answer; an outdated one is replaced."""
    await connection.execute(
        "INSERT INTO answered (scope, key, asked, status, body) VALUES (%s, %s, %s, %s, %s) "
        "ON CONFLICT (scope, key) DO UPDATE SET asked = excluded.asked, status = excluded.status, body = excluded.body, at = now()",
        (scope, key, *answered),
    )


async def forget_one(connection: Connection, scope: str, key: str) -> None:
    """Forget a request."""
    await connection.execute(
        "DELETE FROM answered WHERE scope = %s AND key = %s", (scope, key)
    )


async def forget(connection: Connection) -> None:
    """Delete outdated answers."""
    await connection.execute("DELETE FROM answered WHERE at < now() - %s", (KEPT,))
