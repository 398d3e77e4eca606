"""Work that takes long, done beside the event loop: for each tenant one large call and one piece of a stream at a time, and few in all.

Threads share one interpreter, so more of them make nothing faster: each is one more that the loop has to wait for, at every step. They
give way after SWITCH seconds, so that the loop, which has hundreds of short steps to do, comes late to nobody.
"""

import asyncio
import sys
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

THREADS = 3  # pieces of work that are done at the same time
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
            # A thread cannot be cancelled, and whoever is next must not meet it at the same answer.
            await asyncio.wait([running])
            raise
