"""The hook table asks whom mitmproxy would ask, in the same order, and goes on when one raises."""

import logging
from dataclasses import dataclass

import pytest
from mitmproxy import hooks

from addons.mitm.bends import HookTable


@dataclass
class TrialHook(hooks.Hook):
    """A hook of this test's own."""

    name = "trial"
    seen: list[str]


class Listener:
    def __init__(self, word: str):
        self.word = word

    def trial(self, seen: list[str]) -> None:
        seen.append(self.word)


class Raising:
    def trial(self, seen: list[str]) -> None:
        raise RuntimeError("no")


class Awaited:
    async def trial(self, seen: list[str]) -> None:
        seen.append("awaited")


class Deaf:
    trial = None


async def test_every_listener_is_asked_in_order_whatever_one_of_them_does(
    caplog: pytest.LogCaptureFixture,
) -> None:
    table = HookTable(
        [Listener("first"), Deaf(), Raising(), Awaited(), Listener("last")]
    )
    for _ in range(2):
        seen: list[str] = []
        with caplog.at_level(logging.ERROR):
            await table.dispatch(TrialHook(seen))
        assert seen == ["first", "awaited", "last"]
    assert "Addon error" in caplog.text
