"""Keeps the keyring as PostgreSQL has it, whoever changed it, and reports to PostgreSQL
when keys were used, and how many requests had none.
"""

import asyncio
import logging

import psycopg
from psycopg_pool import PoolTimeout

from control.state import State
from control.store import keys, snapshots, tally
from control.store.tally import Series

logger = logging.getLogger("earthflow.keys")

EVERY = 0.5  # seconds between checks of the version
TELL_EVERY = 10  # checks between reports


async def run(state: State) -> None:
    """Follow until cancelled."""
    looks = 0
    while True:
        try:
            if (await snapshots.served(state.pool)).version != state.keyring.version:
                await state.read_keys()
            looks += 1
            if looks % TELL_EVERY == 0:
                await _tell(state)
        except (psycopg.Error, PoolTimeout) as error:
            logger.debug("keys could not be read again (%s)", type(error).__name__)
        await asyncio.sleep(EVERY)


async def _tell(state: State) -> None:
    if (count := state.unauthorized) > 0:
        await tally.count(state.pool, Series("unauthorized_requests", ()), count)
        state.unauthorized -= count
    used, state.keyring.used = state.keyring.used, {}
    if not used:
        return
    try:
        await keys.note_used(state.pool, used)
    except BaseException:
        state.keyring.used = used | state.keyring.used
        raise
