"""How long answers may be judged on the event loop before others have their turn."""

import asyncio
import threading
import time
from collections.abc import Callable

SECONDS = 0.005  # of judging, in one turn of the loop
ASKED = 0.001  # seconds after which the loop is to say when it had its turn


class LoopBudget:
    """The time that was spent since the loop last came to its other work. One for all answers, made on the loop."""

    def __init__(self) -> None:
        self._thread = threading.get_ident()
        self._spent = 0.0
        self._waits = False

    @property
    def is_spent(self) -> bool:
        """Whether what follows belongs beside the loop."""
        return self._spent > SECONDS

    def judge[**Given](
        self,
        work: Callable[Given, list[bytes]],
        *args: Given.args,
        **more: Given.kwargs,
    ) -> list[bytes]:
        """Do some work, and count its time if it is done on the loop."""
        if threading.get_ident() != self._thread:
            return work(*args, **more)
        began = time.perf_counter()
        try:
            return work(*args, **more)
        finally:
            self._spent += time.perf_counter() - began
            if self._spent > ASKED and not self._waits:
                self._waits = True
                asyncio.get_running_loop().call_soon(self._had_its_turn)

    def _had_its_turn(self) -> None:
        self._spent, self._waits = 0.0, False
