"""Watches the event loop: how late it comes to its work, which every client feels, and where in our code it stands when it is very late."""

import asyncio
import logging
import sys
import threading
import time
import traceback
from bisect import bisect_left
from itertools import accumulate
from types import FrameType

logger = logging.getLogger("earthflow.loop")

TICK = 0.02  # seconds between two looks: a stall that is shorter is not seen
# Upper bounds of stalls in seconds, fine around what is allowed (0.1).
BOUNDS = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
LOUD = 1.0  # seconds of a stall that is logged, with its place
FRAMES = 6  # functions of the place that are named


# Threads whose place is named: the loop's, and those that may keep it from the interpreter.
SHOWN = ("MainThread", "large-work")


class LoopWatch:
    """Counts how late the loop was. `run` on the loop that is watched."""

    def __init__(self) -> None:
        self._counts = [0.0] * (len(BOUNDS) + 1)
        self._sum = 0.0
        self._last = time.monotonic()
        self._thread = 0  # of the loop

    async def run(self) -> None:
        """Watch until cancelled."""
        self._thread, self._last = threading.get_ident(), time.monotonic()
        ended = threading.Event()
        threading.Thread(
            target=self._look, args=(ended,), name="loop-watch", daemon=True
        ).start()
        try:
            while True:
                await asyncio.sleep(TICK)
                now = time.monotonic()
                self._note(max(0.0, now - self._last - TICK))
                self._last = now
        finally:
            ended.set()

    def _note(self, late: float) -> None:
        self._counts[bisect_left(BOUNDS, late)] += 1
        self._sum += late

    def _look(self, ended: threading.Event) -> None:
        """From a thread, since the loop cannot tell while it stands."""
        told = 0.0
        while not ended.wait(LOUD / 4):
            last = self._last
            if last == told or time.monotonic() - last < LOUD:
                continue
            told = last
            places = {thread.ident: thread.name for thread in threading.enumerate()}
            stacks = [
                f"{'the loop' if number == self._thread else name}: {_place(frame)}"
                for number, frame in sys._current_frames().items()
                if (name := places.get(number)) and name.startswith(SHOWN)
            ]
            logger.warning(
                "the event loop stands still for more than %.1f s, and nobody is served meanwhile; %s",
                LOUD,
                "; ".join(sorted(stacks, reverse=True)),
            )

    def stalls(self) -> tuple[list[tuple[str, float]], float]:
        """How often it was at most as late as each bound, the last of which is `+Inf`; and all lateness, seconds."""
        bounds = (*map(str, BOUNDS), "+Inf")
        return list(zip(bounds, accumulate(self._counts), strict=True)), self._sum


def _place(frame: FrameType) -> str:
    """Places alone, the innermost first: no value of a variable is in a frame's summary."""
    stack = traceback.extract_stack(frame)[: -FRAMES - 1 : -1]
    return " < ".join(f"{one.name} {one.filename}:{one.lineno}" for one in stack)
