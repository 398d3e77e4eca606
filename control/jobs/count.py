"""Counts exchanges from before counts were kept, a day at a time: after an upgrade, so that neither its start nor the ingest waits long."""

import asyncio
import logging

import psycopg
from psycopg_pool import PoolTimeout

from control.state import State
from control.store import activity

logger = logging.getLogger("earthflow.audit")

BETWEEN = 1.0  # seconds between two days, for whoever stores records
AGAIN = 10.0  # seconds after which it is tried again


async def run(state: State) -> None:
    """Count until all days are counted."""
    counted = 0
    while True:
        try:
            if not await activity.count_a_day(state.pool):
                break
            counted += 1
            await asyncio.sleep(BETWEEN)
        except (psycopg.Error, PoolTimeout) as error:
            logger.warning("a day is not counted yet (%s)", type(error).__name__)
            await asyncio.sleep(AGAIN)
    if counted:
        logger.info("%d days from before the upgrade are counted", counted)
