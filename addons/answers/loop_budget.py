"""How long answers may be judged on the event loop before others have their turn."""

import asyncio
import time
from collections.abc import Callable

SECONDS = 0.005  # of judging, in one turn of the loop


class LoopBudget:
    """The time that was spent since the loop last came to its other work. One for all answers."""

    def __init__(self) -> None:
        self._spent = 0.0
        self._told = False  # the loop tells when it had its turn

    @property
    def is_spent(self) -> bool:
        """Whether what follows belongs beside the loop."""
        return self._spent > SECONDS

    def judge(self, work: Callable[[], list[bytes]]) -> list[bytes]:
        """Do some work, and count its time if it is done on the loop."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # in a thread
            return work()
        began = time.perf_counter()
        try:
            return work()
        finally:
            self._spent += time.perf_counter() - began
            if not self._told:
                self._told = True
                loop.call_soon(self._had_its_turn)

    def _had_its_turn(self) -> None:
        self._spent, self._told = 0.0, False
