"""Large work is done in turns: one piece in a name at a time, those of others meanwhile."""

import asyncio
import gc
import threading

import pytest

from addons.calls.large_work import THREADS, LargeWork

PATIENCE = 30.0


class Work:
    """Pieces of work that last until `go`, and how many were under way at once."""

    def __init__(self) -> None:
        self.go, self.begun = threading.Event(), threading.Semaphore(0)
        self.running = self.most = self.done = 0
        self._lock = threading.Lock()

    def __call__(self) -> None:
        with self._lock:
            self.running += 1
            self.most = max(self.most, self.running)
        self.begun.release()
        assert self.go.wait(PATIENCE)
        with self._lock:
            self.running -= 1
            self.done += 1

    async def begins(self, count: int) -> None:
        """Wait until that number has begun."""
        for _ in range(count):
            assert await asyncio.to_thread(self.begun.acquire, timeout=PATIENCE)


async def test_one_name_has_one_turn_at_a_time() -> None:
    large, work = LargeWork(), Work()
    asked = [asyncio.create_task(large.run("a", work)) for _ in range(4)]
    await work.begins(1)
    work.go.set()
    await asyncio.gather(*asked)
    assert (work.most, work.done) == (1, 4)
    assert not large._turns


async def test_another_name_does_not_wait_for_it() -> None:
    large, work = LargeWork(), Work()
    first = asyncio.create_task(large.run("a", work))
    await work.begins(1)
    assert await large.run("b", lambda: "served") == "served"
    work.go.set()
    await first


async def test_few_are_done_at_once_in_all() -> None:
    large, work = LargeWork(), Work()
    asked = [asyncio.create_task(large.run(str(n), work)) for n in range(2 * THREADS)]
    await work.begins(THREADS)
    work.go.set()
    await asyncio.gather(*asked)
    assert (work.most <= THREADS, work.done) == (True, 2 * THREADS)


async def test_what_it_raises_is_raised_and_ends_its_turn() -> None:
    large = LargeWork()

    def fail() -> None:
        raise LookupError("x")

    with pytest.raises(LookupError):
        await large.run("a", fail)
    assert await large.run("a", lambda: 1) == 1


async def test_who_leaves_keeps_the_turn_until_the_work_is_done() -> None:
    """Or the next piece would be judged in another thread, in the same answer."""
    large, work = LargeWork(), Work()
    left = asyncio.create_task(large.run("a", work))
    await work.begins(1)
    after = asyncio.create_task(large.run("a", work))
    for _ in range(2):  # a second time, too
        left.cancel()
        for _ in range(10):
            await asyncio.sleep(0)
        assert large._turns["a"].locked()
        assert not left.done()
    assert not work.begun.acquire(timeout=0.05)
    work.go.set()
    await after
    with pytest.raises(asyncio.CancelledError):
        await left
    assert (work.most, work.done) == (1, 2)


async def test_what_is_raised_when_nobody_waits_any_more_is_told_to_nobody() -> None:
    large, begun, go = LargeWork(), threading.Event(), threading.Event()
    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, what: told.append(what))

    def fail() -> None:
        begun.set()
        assert go.wait(PATIENCE)
        raise ValueError("a text of a call")

    left = asyncio.create_task(large.run("a", fail))
    assert await asyncio.to_thread(begun.wait, PATIENCE)
    left.cancel()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await left
    del left
    gc.collect()
    assert told == []
