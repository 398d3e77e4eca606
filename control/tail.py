"""The tail of the audit: exchanges that match, as they arrive, for as long as somebody watches.

A watcher looks once a second at what is new. Where that is more than anybody can read, the newest are given and the others counted.
Records of one moment arrive within seconds of each other; one that comes later than SETTLED stands in the audit and not in the tail.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from control.state import State
from control.store import search
from control.store.search import Row, Sought

EVERY = 1.0  # seconds
MOST_ROWS = 50  # that are given of a second; nobody reads more
MOST_COUNTED = 10_000
SETTLED = timedelta(seconds=5)
LONGEST = 15 * 60.0  # seconds after which a watcher comes again, and is known again


class Arrived(NamedTuple):
    """The exchanges of one look, the oldest first; `skipped` more arrived, or at least as many."""

    rows: list[Row]
    skipped: int


async def watch(state: State, sought: Sought) -> AsyncIterator[Arrived]:
    """What arrives from now on, once a second, also where nothing does. Ends when control does, and after LONGEST."""
    clock = asyncio.get_running_loop().time
    began, now = clock(), datetime.now(UTC)
    there = await search.arrived(state.reading, sought, now - SETTLED, (), MOST_COUNTED)
    seen = dict.fromkeys(there, now)
    while not state.ending and clock() - began < LONGEST:
        await asyncio.sleep(EVERY)
        now = datetime.now(UTC)
        seen = {id: at for id, at in seen.items() if at > now - 2 * SETTLED}
        new = await search.arrived(
            state.reading, sought, now - SETTLED, list(seen), MOST_COUNTED
        )
        seen |= dict.fromkeys(new, now)
        rows = await search.of_ids(state.reading, new[:MOST_ROWS]) if new else []
        yield Arrived(rows, len(new) - len(rows))
