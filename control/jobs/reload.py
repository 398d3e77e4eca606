"""Applies saved rule files: they are proven as a whole, with all layers, then swapped as a whole.

Broken ones change nothing.
"""

import asyncio
import logging
import time

import psycopg
from psycopg_pool import PoolTimeout

from control.rule_files import Signature, hash_of, own_hashes, read_sources, signature
from control.state import State
from control.store import layers, snapshots
from rules.complaint import BadRules

logger = logging.getLogger("earthflow.rules")

EVERY = 0.25  # seconds between checks
SHARE = 20  # share of time that checks may take


async def run(state: State) -> None:
    """Watch until cancelled."""
    folder = state.settings.rules_dir
    known = last = state.rules_signature
    while True:
        began = time.monotonic()
        now = await asyncio.to_thread(signature, folder)
        looking = time.monotonic() - began
        # Nobody is writing them any more.
        settled = now != known and now == last
        try:
            if (settled or await _may_fit(state)) and await take(state, now):
                known = now
        except (psycopg.Error, PoolTimeout, OSError) as error:
            logger.warning(
                "changed rules wait for the database (%s)", type(error).__name__
            )
        last = now
        await asyncio.sleep(max(EVERY, SHARE * looking))


async def _may_fit(state: State) -> bool:
    """Whether files that did not fit the layers may do so now, since layers changed."""
    if state.unfit is None:
        return False
    async with state.pool.connection() as connection:
        return await layers.last_change(connection) != state.unfit


async def take(state: State, seen: Signature) -> bool:
    """Apply the files as they are, or report why not.

    False where they changed meanwhile.
    """
    folder = state.settings.rules_dir
    there = await layers.in_force(state.pool)
    try:
        async with state.proving:
            sources = await asyncio.to_thread(read_sources, folder, there.sources)
    except BadRules as error:
        state.rules_complaint, state.unfit = error.places, there.change
        logger.error(
            "changed rule files are not used, the last good ones stay:\n%s", error
        )
        return True
    # whatever it is: the last good rules stay, and the next change is checked
    except Exception as error:
        state.rules_complaint = f"{type(error).__name__} while reading them"
        state.unfit = None
        logger.exception("changed rule files are not used, the last good ones stay")
        return True
    if await asyncio.to_thread(signature, folder) != seen:
        return False
    name = hash_of(sources)
    own = own_hashes(sources)
    if not await snapshots.note_rules(state.pool, name, own, there.change):
        return False
    state.rules, state.rules_hash, state.rules_complaint = sources, name, ""
    state.unfit, state.noted = None, True
    logger.info("rules %s take effect", name[:12])
    await state.tell_proxies()
    return True
