"""Webhooks: their URLs, statuses and secrets."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from control.store.database import Connection, Pool

LOCK = 0x77656268
# For which the old secret signs beside the new one.
SECRET_GRACE = timedelta(hours=24)

COLUMNS = "id, tenant, url, statuses, created, disabled, failures, not_before"


class Webhook(NamedTuple):
    """A webhook, without its secret.

    After `failures` in a row it is not tried before `not_before`.
    """

    id: str
    tenant: str
    url: str
    statuses: Sequence[str]
    created: datetime
    disabled: str | None
    failures: int
    not_before: datetime


async def create(pool: Pool, tenant: str, values: Mapping[str, Any]) -> Webhook | None:
    """Add a webhook. None: there is no such tenant."""
    async with pool.connection() as connection:
        return await insert(connection, tenant, values)


async def insert(
    connection: Connection, tenant: str, values: Mapping[str, Any]
) -> Webhook | None:
    """As `create`, in the caller's transaction."""
    rows = await connection.execute(
        "INSERT INTO webhook (id, tenant, url, statuses, secret) SELECT %(id)s, id, %(url)s, %(statuses)s, %(secret)s "
        f"FROM tenant WHERE id = %(tenant)s AND deleted IS NULL RETURNING {COLUMNS}".encode(),
        {**values, "tenant": tenant},
    )
    row = await rows.fetchone()
    return Webhook(**row) if row else None


async def of_tenant(pool: Pool, tenant: str) -> list[Webhook]:
    """A tenant's webhooks, oldest first."""
    async with pool.connection() as connection:
        rows = await connection.execute(
            f"SELECT {COLUMNS} FROM webhook WHERE tenant = %s ORDER BY created, id".encode(),
            (tenant,),
        )
        return [Webhook(**row) for row in await rows.fetchall()]


async def one(pool: Pool, id: str) -> Webhook | None:
    """A webhook, or None."""
    async with pool.connection() as connection:
        row = await (
            await connection.execute(
                f"SELECT {COLUMNS} FROM webhook WHERE id = %s".encode(), (id,)
            )
        ).fetchone()
    return Webhook(**row) if row else None


async def change(
    pool: Pool, id: str, url: str | None, statuses: Sequence[str] | None
) -> Webhook | None:
    """Set what is not None. A disabled webhook is tried again, from the start."""
    async with pool.connection() as connection:
        rows = await connection.execute(
            "UPDATE webhook SET url = coalesce(%(url)s, url), statuses = coalesce(%(statuses)s::text[], statuses), "
            f"disabled = NULL, failures = 0, not_before = now() WHERE id = %(id)s RETURNING {COLUMNS}".encode(),
            {
                "id": id,
                "url": url,
                "statuses": list(statuses) if statuses is not None else None,
            },
        )
        row = await rows.fetchone()
        await connection.execute(
            "UPDATE delivery SET due = now() WHERE webhook = %s AND state = 'waiting'",
            (id,),
        )
    return Webhook(**row) if row else None


async def delete(pool: Pool, id: str) -> bool:
    """Delete a webhook, its queue and its log. Whether there was one."""
    async with pool.connection() as connection:
        return bool(
            (
                await connection.execute("DELETE FROM webhook WHERE id = %s", (id,))
            ).rowcount
        )


async def new_secret(pool: Pool, id: str, wrapped: str) -> bool:
    """Set a new secret; the old one also signs for a day.

    Whether there is such a webhook.
    """
    async with pool.connection() as connection:
        done = await connection.execute(
            "UPDATE webhook SET previous_secret = secret, previous_until = now() + %s, secret = %s WHERE id = %s",
            (SECRET_GRACE, wrapped, id),
        )
        return bool(done.rowcount)


async def disable(pool: Pool, webhook: str, why: str) -> None:
    """Disable a webhook. What waits stays, and can be replayed."""
    async with pool.connection() as connection, connection.transaction():
        await connection.execute(
            "UPDATE webhook SET disabled = %s WHERE id = %s", (why, webhook)
        )
        await connection.execute(
            "UPDATE delivery SET state = 'dead', ended = now() WHERE webhook = %s AND state = 'waiting'",
            (webhook,),
        )
