"""Applies saved rule files: they are proven as a whole, then swapped as a whole.

Broken ones change nothing.
"""

import asyncio
import logging
import time

import psycopg
from psycopg_pool import PoolTimeout

from control.rule_files import Signature, hash_of, own_hashes, read_sources, signature
from control.state import State
from control.store import snapshots
from rules.complaint import BadRules

logger = logging.getLogger("earthflow.rules")

EVERY = 0.25  # seconds between checks
SHARE = 20  # share of time that checks may take


async def run(state: State) -> None:
    """Watch until cancelled."""
    folder = state.settings.rules_dir
    if folder is None:
        return
    known = last = state.rules_signature
    while True:
        began = time.monotonic()
        now = await asyncio.to_thread(signature, folder)
        looking = time.monotonic() - began
        if now != known and now == last:  # nobody is writing them any more
            try:
                if await _take(state, now):
                    known = now
            except (psycopg.Error, PoolTimeout, OSError) as error:
                logger.warning(
                    "changed rules wait for the database (%s)", type(error).__name__
                )
        last = now
        await asyncio.sleep(max(EVERY, SHARE * looking))


async def _take(state: State, seen: Signature) -> bool:
    """Apply the files as they are, or report why not.

    False where they changed meanwhile.
    """
    folder = state.settings.rules_dir
    try:
        sources = await asyncio.to_thread(read_sources, folder)
    except BadRules as error:
        state.rules_complaint = error.places
        logger.error(
            "changed rule files are not used, the last good ones stay:\n%s", error
        )
        return True
    # whatever it is: the last good rules stay, and the next change is checked
    except Exception as error:
        state.rules_complaint = f"{type(error).__name__} while reading them"
        logger.exception("changed rule files are not used, the last good ones stay")
        return True
    if await asyncio.to_thread(signature, folder) != seen:
        return False
    name = hash_of(sources)
    await snapshots.note_rules(state.pool, name, own_hashes(sources))
    state.rules, state.rules_hash, state.rules_complaint = sources, name, ""
    logger.info("rules %s take effect", name[:12])
    await state.tell_proxies()
    return True
