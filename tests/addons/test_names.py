"""Names of hosts are looked up once, with bounds, and nobody's silent names hold up another's."""

import asyncio
import socket
import threading
import time
from typing import Any

import pytest

from addons.network import names as module
from addons.network.names import Busy, Names


class Servers:
    """A resolver of which names that begin with `silent` get no answer until `release`."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.release = threading.Event()

    def __call__(self, host: str, *_: object, **__: object) -> list[Any]:
        self.asked.append(host)
        if host.startswith("silent"):
            self.release.wait(60)
        if host.startswith("nobody"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(2, 1, 6, "", (address, 0)) for address in ("1.1.1.1", "1.1.1.1")]


@pytest.fixture
def servers() -> Any:
    made = Servers()
    yield made
    made.release.set()


async def test_a_name_is_asked_for_once_at_a_time_and_remembered(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = Names(look_up=servers)
    found = await asyncio.gather(*(names.addresses("a.example") for _ in range(5)))
    assert found == [["1.1.1.1"]] * 5
    assert await names.addresses("a.example") == ["1.1.1.1"]
    assert servers.asked == ["a.example"]
    now = time.monotonic() + module.KEPT
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    await names.addresses("a.example")
    assert servers.asked == ["a.example"] * 2


async def test_a_name_that_nobody_knows_is_remembered_for_a_moment(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = Names(look_up=servers)
    for _ in range(3):
        with pytest.raises(socket.gaierror):
            await names.addresses("nobody.example")
    assert servers.asked == ["nobody.example"]
    now = time.monotonic() + module.KEPT_FAILURE
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    with pytest.raises(socket.gaierror):
        await names.addresses("nobody.example")
    assert len(servers.asked) == 2


async def test_silence_ends_at_the_deadline_and_for_each_key_at_its_bound(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "DEADLINE", 0.05)
    names = Names(look_up=servers)
    waiting = [
        asyncio.ensure_future(names.addresses(f"silent{number}.example", "key"))
        for number in range(module.OF_ONE)
    ]
    await asyncio.sleep(0)
    with pytest.raises(Busy, match="for this key"):
        await names.addresses("one-more.example", "key")
    assert await names.addresses("b.example", "another key") == ["1.1.1.1"]
    ended = await asyncio.gather(*waiting, return_exceptions=True)
    assert {str(one) for one in ended} == {
        "no name server answered within 0.05 seconds"
    }
    assert await names.addresses("c.example", "key") == ["1.1.1.1"]


async def test_providers_are_looked_up_whatever_others_wait_for(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "DEADLINE", 0.05)
    names = Names(lambda host: host == "api.example", servers)
    waiting = [
        names.addresses(f"silent{number}.example", number)
        for number in range(module.OF_OTHERS)
    ]
    ended = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(one, OSError) for one in ended)
    with pytest.raises(Busy, match="too many names are looked up; try again"):
        await names.addresses("d.example", "key")
    assert await names.addresses("api.example", "key") == ["1.1.1.1"]
    servers.release.set()


async def test_what_is_no_name_is_said_to_be_none() -> None:
    for host in ("a..example", "x" * 300, ""):
        with pytest.raises(OSError):
            await Names().addresses(host)


async def test_no_more_names_are_kept_than_the_bound(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_KEPT", 3)
    names = Names(look_up=servers)
    for number in (1, 2, 3, 4, 1):
        await names.addresses(f"n{number}.example")
    assert [host[1] for host in servers.asked] == ["1", "2", "3", "4", "1"]
