"""How late the event loop is, is counted; where it stands, is logged."""

import asyncio
import logging
import threading
import time

import pytest

from addons.status import loop_watch
from addons.status.loop_watch import BOUNDS, LoopWatch


def stalls(watch: LoopWatch, longer: float) -> int:
    """How many were longer."""
    counts = dict(watch.stalls()[0])
    return int(counts["+Inf"] - counts[str(longer)])


def stand(loop_is_seen: threading.Event) -> None:
    """Nothing else runs until the watch has seen it."""
    assert loop_is_seen.wait(30)


async def test_a_stall_is_counted_and_its_place_is_logged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(loop_watch, "LOUD", 0.2)
    seen = threading.Event()

    said: list[str] = []

    class Noted(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())
            seen.set()

    handler = Noted()
    loop_watch.logger.addHandler(handler)
    watch = LoopWatch()
    running = asyncio.create_task(watch.run())
    before = time.monotonic()
    while not watch._sum and time.monotonic() < before + 30:
        await asyncio.sleep(0)
    stand(seen)
    lasted = time.monotonic() - before
    while not stalls(watch, 0.1) and time.monotonic() < before + 30:
        await asyncio.sleep(0)
    running.cancel()
    loop_watch.logger.removeHandler(handler)
    assert lasted > 0.2
    assert stalls(watch, 0.1) >= 1
    (warning,) = said
    assert "< stand " in warning and "stands still" in warning


def test_what_is_allowed_is_a_bound() -> None:
    assert 0.1 in BOUNDS
    assert list(BOUNDS) == sorted(set(BOUNDS))
