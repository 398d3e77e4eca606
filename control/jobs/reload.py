"""Rule files that were saved take effect by themselves: proven as a whole, then swapped as a whole. What is broken changes nothing."""

import asyncio
import logging
import time

import psycopg
from psycopg_pool import PoolTimeout

from control.rule_files import hash_of, read_sources, signature
from control.state import State
from control.store import snapshots
from rules.complaint import BadRules

logger = logging.getLogger("earthflow.rules")

EVERY = 0.5  # seconds between looks
SHARE = 20  # looking takes no more than one part in so many


async def run(state: State) -> None:
    """Watch, for ever."""
    folder = state.settings.rules_dir
    if folder is None:
        return
    known = state.rules_signature
    while True:
        began = time.monotonic()
        now = await asyncio.to_thread(signature, folder)
        if now != known:
            try:
                await _take(state)
                known = now
            except (psycopg.Error, PoolTimeout, OSError) as error:
                logger.warning("changed rules wait for the database (%s)", type(error).__name__)
        await asyncio.sleep(max(EVERY, SHARE * (time.monotonic() - began) if now == known else EVERY))


async def _take(state: State) -> None:
    """Take up the files as they are, or say why not."""
    try:
        sources = await asyncio.to_thread(read_sources, state.settings.rules_dir)
    except BadRules as error:
        state.rules_complaint = str(error)
        logger.error("changed rule files are not used, the last good ones stay:\n%s", error)
        return
    name = hash_of(sources)
    await snapshots.note_rules(state.pool, name)
    state.rules, state.rules_hash, state.rules_complaint = sources, name, ""
    logger.info("rules %s take effect", name[:12])
    await state.tell_proxies()
