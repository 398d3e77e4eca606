"""Webhooks: their URLs, statuses and secrets."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from control.store.admin_audit import changed, changing, without_secrets
from control.store.database import Connection, Pool

LOCK = 0x77656268
# For which the old secret signs beside the new one.
SECRET_GRACE = timedelta(hours=24)

COLUMNS = "id, tenant, url, statuses, created, disabled, failures, not_before"


class StillTwo(Exception):
    """The secret was changed less than a day ago, and the one before still signs."""


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
    async with changing(pool) as connection:
        made = await insert(connection, tenant, values)
        if made is not None:
            changed(made.id, tenant, {}, _told(made))
        return made


async def insert(
    connection: Connection, tenant: str, values: Mapping[str, Any]
) -> Webhook | None:
    """As `create`, in the caller's transaction."""
    rows = await connection.execute(
        "INSERT INTO webhook (id, tenant, url, statuses, secret) SELECT %(id)s, id, %(url)s, %(statuses)s, %(secret)s "
        f"FROM tenant WHERE id = %(tenant)s AND deleted IS NULL FOR SHARE RETURNING {COLUMNS}".encode(),
        {**values, "tenant": tenant},
    )
    row = await rows.fetchone()
    return Webhook(**row) if row else None


async def set_first(
    connection: Connection, tenant: str, values: Mapping[str, Any]
) -> None:
    """Give the first webhook of a tenant another URL and secret, or make it; without `values` remove it."""
    rows = await connection.execute(
        "SELECT id FROM webhook WHERE tenant = %s ORDER BY created, id LIMIT 1 FOR UPDATE",
        (tenant,),
    )
    first = await rows.fetchone()
    if first is None:
        if values:
            await insert(connection, tenant, values)
    elif values:
        await connection.execute(
            "UPDATE webhook SET url = %s, secret = %s, previous_secret = NULL, disabled = NULL, failures = 0, not_before = now() "
            "WHERE id = %s",
            (values["url"], values["secret"], first["id"]),
        )
    else:
        await connection.execute("DELETE FROM webhook WHERE id = %s", (first["id"],))


class Load(NamedTuple):
    """A webhook, and how many of its deliveries wait and were given up."""

    webhook: Webhook
    waiting: int
    dead: int


async def every(
    pool: Pool, tenants: Sequence[str] | None, after: str | None, limit: int
) -> list[Load]:
    """The webhooks of these tenants, or of all, by their ids."""
    async with pool.connection() as connection:
        rows = await connection.execute(
            f"SELECT {COLUMNS}, (SELECT count(*) FROM delivery d WHERE d.webhook = w.id AND d.state = 'waiting') + "
            "(SELECT count(*) FROM webhook_event e WHERE e.webhook = w.id AND e.delivery IS NULL) AS waiting, "
            "(SELECT count(*) FROM delivery d WHERE d.webhook = w.id AND d.state = 'dead') AS dead FROM webhook w "
            "WHERE (%(tenants)s::text[] IS NULL OR tenant = ANY (%(tenants)s)) AND id > %(after)s ORDER BY id LIMIT %(limit)s".encode(),
            {"tenants": list(tenants) if tenants is not None else None, "after": after or "", "limit": limit},
        )  # fmt: skip
        found = await rows.fetchall()
    return [
        Load(waiting=row.pop("waiting"), dead=row.pop("dead"), webhook=Webhook(**row))
        for row in found
    ]


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
    async with changing(pool) as connection:
        before = await _locked(connection, id)
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
        if before is None or row is None:
            return None
        after = Webhook(**row)
        changed(id, after.tenant, _told(before), _told(after))
        return after


async def delete(pool: Pool, id: str) -> bool:
    """Delete a webhook, its queue and its log. Whether there was one."""
    async with changing(pool) as connection:
        before = await _locked(connection, id)
        await connection.execute("DELETE FROM webhook WHERE id = %s", (id,))
        if before is not None:
            changed(id, before.tenant, _told(before), {})
        return before is not None


async def new_secret(
    pool: Pool, id: str, wrapped: str, *, end_old: bool = False
) -> bool:
    """Set a new secret; the old one also signs for a day, unless it is to `end_old`.

    Whether there is such a webhook. Raises StillTwo where an older one still signs.
    """
    async with changing(pool) as connection:
        webhook = await _locked(connection, id)
        if webhook is None:
            return False
        done = await connection.execute(
            "UPDATE webhook SET previous_secret = CASE WHEN %(end)s THEN NULL ELSE secret END, previous_until = now() + %(grace)s, "
            "secret = %(new)s WHERE id = %(id)s AND (%(end)s OR previous_secret IS NULL OR previous_until <= now())",
            {"end": end_old, "grace": SECRET_GRACE, "new": wrapped, "id": id},
        )
        if not done.rowcount:
            raise StillTwo(id)
        changed(id, webhook.tenant, {}, {"secret": "new", "old_ended": end_old})
        return True


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


async def _locked(connection: Connection, id: str) -> Webhook | None:
    """A webhook that nobody else changes until the transaction ends."""
    rows = await connection.execute(
        f"SELECT {COLUMNS} FROM webhook WHERE id = %s FOR UPDATE".encode(), (id,)
    )
    row = await rows.fetchone()
    return Webhook(**row) if row else None


def _told(webhook: Webhook) -> dict[str, object]:
    """A webhook as the audit of administration tells of it."""
    return {
        "url": without_secrets(webhook.url),
        "statuses": webhook.statuses,
        "disabled": webhook.disabled,
    }
