"""Warns tenants of keys that end though they are in use: a rotation's grace that is nearly over, or an end that was set long ago.

One control process does it at a time; there is one warning of each key.
"""

import asyncio
import logging
from itertools import groupby

import psycopg
from psycopg_pool import PoolTimeout

from control.state import State
from control.store import deliveries, keys
from control.store.keys import Key

logger = logging.getLogger("earthflow.keys")

EVERY = 30.0  # seconds: within the shortest grace that anybody sets
MOST = 500  # keys of one transaction
KIND = "keys.ending"  # of the webhooks' message


async def run(state: State) -> None:
    """Tell until cancelled."""
    while True:
        try:
            await tell(state)
        except (psycopg.Error, PoolTimeout) as error:
            logger.warning(
                "the warning of keys that end comes later (%s)", type(error).__name__
            )
        await asyncio.sleep(EVERY)


async def tell(state: State) -> int:
    """Tell of keys that end; how many."""
    async with state.pool.connection() as connection, connection.transaction():
        found = await keys.to_tell(connection, MOST)
        for tenant, ending in groupby(sorted(found, key=_tenant), _tenant):
            told = [_told(key) for key in ending]
            await deliveries.tell(connection, tenant, KIND, {"tenant": tenant, "keys": told})  # fmt: skip
    for key in found:
        logger.warning("key %s of %s ends at %s and is in use", key.id, key.tenant, key.not_after)  # fmt: skip
    return len(found)


def _tenant(key: Key) -> str:
    return key.tenant or ""


def _told(key: Key) -> dict[str, str | None]:
    return {
        "id": key.id,
        "name": key.name,
        "ends": key.not_after.isoformat() if key.not_after else None,
        "last_used": key.last_used.isoformat() if key.last_used else None,
        "replaced_by": key.replaced_by,
    }
