"""Deletes old data.

A partition is dropped only when its whole day is too old, and with a short wait for its
lock: other statements queue behind it.
"""

import re
from datetime import date, timedelta

import psycopg

from control.store import (
    activity,
    admin_audit,
    idempotency,
    keys,
    marks,
    proxies,
    sessions,
)
from control.store.database import LOCK_TIMEOUT, Connection

LOCK = 0x72657461
DAY = re.compile(r"(decision|completion)_(\d{4})(\d{2})(\d{2})")
LOGS = timedelta(days=30)  # days that ended deliveries are kept


async def drop_days(connection: Connection, oldest: date) -> list[str]:
    """Drop the partitions of days before `oldest`; their names.

    One in use stays until the next time.
    """
    rows = await connection.execute(
        "SELECT c.relname AS name FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid "
        "JOIN pg_class p ON p.oid = i.inhparent WHERE p.relname IN ('decision', 'completion') AND p.relnamespace = c.relnamespace "
        "ORDER BY c.relname"
    )
    dropped = []
    for row in await rows.fetchall():
        found = DAY.fullmatch(row["name"])
        if found is None or date(int(found[2]), int(found[3]), int(found[4])) >= oldest:
            continue
        try:
            async with connection.transaction():
                await connection.execute(
                    f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'".encode()
                )
                await connection.execute(f"DROP TABLE {found[0]}".encode())
        except psycopg.errors.LockNotAvailable:
            continue
        dropped.append(found[0])
    return dropped


async def drop_tenants_rows(connection: Connection, today: date) -> int:
    """Delete the records of tenants with a shorter time; how many exchanges."""
    rows = await connection.execute(
        "SELECT id, retention_days FROM tenant WHERE retention_days IS NOT NULL ORDER BY id"
    )
    count = 0
    for row in await rows.fetchall():
        oldest = today - timedelta(days=row["retention_days"])
        await activity.forget_of(connection, row["id"], oldest)
        async with connection.transaction():
            count += (
                await connection.execute(
                    "DELETE FROM decision WHERE tenant = %s AND day < %s",
                    (row["id"], oldest),
                )
            ).rowcount
            await connection.execute(
                "DELETE FROM completion WHERE tenant = %s AND day < %s",
                (row["id"], oldest),
            )
    return count


async def drop_logs(connection: Connection, days: int) -> None:
    """Delete old ended deliveries, entries of the audit of administration, counts, marks, keys of sign-ins, ends of sessions, and
    yesterday's idempotent answers.

    What waits stays.
    """
    await marks.forget(connection, days)
    await keys.forget_signed_in(connection, days)
    await idempotency.forget(connection)
    await proxies.forget(connection)
    await sessions.forget(connection)
    await connection.execute(
        "DELETE FROM delivery d USING webhook w, tenant t WHERE w.id = d.webhook AND t.id = w.tenant AND d.state <> 'waiting' "
        "AND d.ended < now() - least(%s, make_interval(days => coalesce(t.retention_days, %s)))",
        (LOGS, days),
    )
    oldest = date.today() - timedelta(days=days)
    await admin_audit.forget(connection, oldest)
    await activity.forget(connection, oldest)
    await connection.execute(
        "DELETE FROM quarantine WHERE arrived < now() - make_interval(days => %s)",
        (days,),
    )
