"""Answers are judged on the event loop for a few milliseconds of its turn, and then beside it."""

import asyncio

import pytest

from addons.answers import loop_budget
from addons.answers.loop_budget import SECONDS, LoopBudget


class Clock:
    """A clock that only work moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now

    def work(self, seconds: float) -> list[bytes]:
        self.now += seconds
        return [b"done"]

    def fail(self, seconds: float) -> list[bytes]:
        self.now += seconds
        raise ValueError


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(loop_budget, "time", clock)
    return clock


async def test_it_is_spent_until_the_loop_had_its_turn(clock: Clock) -> None:
    budget = LoopBudget()
    for _ in range(4):
        assert not budget.is_spent
        assert budget.judge(clock.work, SECONDS / 3.5) == [b"done"]
    assert budget.is_spent
    await asyncio.sleep(0)
    assert not budget.is_spent


async def test_what_is_judged_in_a_thread_spends_nothing(clock: Clock) -> None:
    budget = LoopBudget()
    done = await asyncio.to_thread(budget.judge, clock.work, SECONDS * 2)
    assert (done, budget.is_spent) == ([b"done"], False)


async def test_what_raises_spends_its_time(clock: Clock) -> None:
    budget = LoopBudget()
    with pytest.raises(ValueError):
        budget.judge(clock.fail, SECONDS * 2)
    assert budget.is_spent
