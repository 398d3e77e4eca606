"""Work that takes long, done beside the event loop: for each tenant one at a time, and few in all.

Calls and answers have threads of their own, so that an answer that streams does not wait for other people's large calls. Python runs one
thread at a time, so more threads make nothing faster; they hand over every SWITCH seconds, since the event loop, which has hundreds of
short steps to do, waits as long at each.
"""

import asyncio
import sys
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

THREADS = 2  # pieces of work that are done at the same time
SWITCH = 0.0005  # seconds; Python's own is ten times as long


class LargeWork:
    """The threads, and whose turn it is."""

    def __init__(self) -> None:
        sys.setswitchinterval(SWITCH)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="large-work")
        self._turns: dict[str, asyncio.Lock] = {}
        self._asking: Counter[str] = Counter()

    async def run[Given](self, whose: str, work: Callable[[], Given]) -> Given:
        """Do it when all that was asked for in the same name before is done. What it raises is raised here."""
        turn = self._turns.setdefault(whose, asyncio.Lock())
        self._asking[whose] += 1
        try:
            async with turn:
                return await self._done(work)
        finally:
            self._asking[whose] -= 1
            if not self._asking[whose]:
                del self._asking[whose], self._turns[whose]

    async def _done[Given](self, work: Callable[[], Given]) -> Given:
        running = asyncio.get_running_loop().run_in_executor(self._threads, work)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            # A thread cannot be cancelled, and the next piece of work may change the same answer.
            while not running.done():
                with suppress(asyncio.CancelledError):
                    await asyncio.wait([running])
            if not running.cancelled():
                running.exception()  # nobody waits for it any more; its text is not for logs
            raise
