"""Deletes what is older than AUDIT_RETENTION_DAYS: whole days, by their partitions; for
a tenant with a shorter time, by rows.
"""

import asyncio
import logging
from datetime import UTC, datetime, timedelta

import psycopg
from psycopg_pool import PoolTimeout

from control.state import State
from control.store import retention
from control.store.database import alone, lead

logger = logging.getLogger("earthflow.retention")

EVERY = 3600.0  # seconds
# After a failure; the work itself is done once an hour.
RETRY_SECONDS = 60.0


async def run(state: State) -> None:
    """Delete until cancelled."""
    while True:
        pause = EVERY
        try:
            await forget(state, datetime.now(UTC))
        except (psycopg.Error, PoolTimeout) as error:
            logger.warning("old records stay for now (%s)", type(error).__name__)
            pause = RETRY_SECONDS
        await asyncio.sleep(pause)


async def forget(state: State, now: datetime) -> list[str]:
    """Delete once; the partitions that were dropped.

    Does nothing while another process does it.
    """
    async with await alone(state.settings.database_direct) as connection:
        if not await lead(connection, retention.LOCK):
            return []
        oldest = (now - timedelta(days=state.settings.retention_days)).date()
        dropped = await retention.drop_days(connection, oldest)
        rows = await retention.drop_tenants_rows(connection, now.date())
        await retention.drop_logs(connection, state.settings.retention_days)
    if dropped or rows:
        logger.info(
            "dropped %s, and %d rows of tenants with a shorter retention",
            ", ".join(dropped) or "no partition",
            rows,
        )
    return dropped
