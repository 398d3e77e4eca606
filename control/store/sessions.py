"""Sessions of the dashboard that ended before their time: single ones, and all of a key."""

from datetime import datetime, timedelta

from control.store.database import Connection, Pool


async def end(pool: Pool, what: str, at: datetime, lasts: timedelta) -> None:
    """End a session, or those of a key that began until a time, by control's clock; `lasts` is how long one could still work."""
    async with pool.connection() as connection:
        await connection.execute(
            "INSERT INTO session_end (what, at, until) VALUES (%s, %s, now() + %s) "
            "ON CONFLICT (what) DO UPDATE SET at = excluded.at, until = excluded.until",
            (what, at, lasts),
        )


async def has_ended(pool: Pool, session: str, key: str, began: datetime) -> bool:
    """Whether a session of a key, which began then, is over."""
    async with pool.connection() as connection:
        rows = await connection.execute(
            "SELECT 1 AS over FROM session_end WHERE what = %s OR (what = %s AND at >= %s)",
            (session, key, began),
        )
        return await rows.fetchone() is not None


async def forget(connection: Connection) -> None:
    """Forget the ends of sessions that would be too old by now."""
    await connection.execute("DELETE FROM session_end WHERE until < now()")
