"""What ends a connection, told by a clock of the tests' own."""

import time
from collections.abc import Hashable
from dataclasses import replace

import pytest

from addons.network.connections import GRACE, SLOWEST, Connections, Upload
from addons.settings import Limits
from contract.setting_types import networks

LIMITS = Limits(
    max_body=1000,
    connections_per_address=3,
    handshake_seconds=15,
    connection_seconds=3600,
    stream_idle_seconds=300,
    stream_seconds=3600,
)


@pytest.fixture
def ended() -> list[Hashable]:
    return []


@pytest.fixture
def connections(ended: list[Hashable]) -> Connections:
    return Connections(LIMITS, ended.append)


def test_one_address_has_so_many_and_no_more(connections: Connections) -> None:
    assert [connections.open(number, "a") for number in range(4)] == [
        True,
        True,
        True,
        False,
    ]
    assert connections.open(9, "b")
    connections.close(0)
    assert connections.open(10, "a")
    assert connections.refused == {"crowded": 1}


def test_only_clients_that_are_allowed_may_come(ended: list[Hashable]) -> None:
    limits = replace(LIMITS, allowed_clients=networks("10.0.0.0/8, 192.168.8.7, fd00::/8"))  # fmt: skip
    connections = Connections(limits, ended.append)
    came = {
        "10.255.0.1": True, "192.168.8.7": True, "::ffff:10.0.0.1": True, "fd12::1": True, "fd12::1%eth0": True,
        "11.0.0.1": False, "192.168.8.8": False, "::1": False, "::ffff:11.0.0.1": False, "unknown": False, "": False,
    }  # fmt: skip
    for address, may in came.items():
        assert connections.open(address, address) == may, address
    assert connections.refused == {"stranger": 6}
    assert len(connections) == 5


def test_who_says_nothing_is_ended(
    connections: Connections, ended: list[Hashable]
) -> None:
    for client in ("silent", "half a head", "at rest", "busy"):
        connections.open(client, client)
    connections.arrived("at rest")
    connections.begin_call("busy")
    connections.arrived("half a head")
    connections.expect("half a head")
    connections.sweep(time.monotonic() + 14)
    assert ended == []
    connections.sweep(time.monotonic() + 16)
    assert ended == ["silent", "half a head"]


def test_what_is_old_is_ended_when_it_rests_and_at_last_in_any_case(
    connections: Connections, ended: list[Hashable]
) -> None:
    for client in ("at rest", "busy"):
        connections.open(client, client)
        connections.begin_call(client)
    connections.end_call("at rest")
    connections.sweep(time.monotonic() + 3601)
    assert ended == ["at rest"]
    connections.close("at rest")
    connections.end_call("busy")
    connections.begin_call("busy")
    connections.sweep(time.monotonic() + 7201)
    assert ended == ["at rest", "busy"]


def test_a_body_may_be_slow_for_a_while_and_then_not_below_the_slowest() -> None:
    upload = Upload("client", began=0.0, last_byte=0.0)
    assert not upload.is_slow(GRACE, 1)
    assert not upload.is_slow(GRACE + 10, 10 * SLOWEST)
    assert upload.is_slow(GRACE + 12, 1)


def test_a_body_that_stands_still_is_ended(
    connections: Connections, ended: list[Hashable]
) -> None:
    connections.open("client", "a")
    connections.arrived("client")
    upload, done = connections.upload("client"), connections.upload("other")
    done.done = True
    connections.sweep(time.monotonic() + GRACE + 1)
    assert ended == ["client"]
    assert upload.done
    assert connections.refused == {"stalled": 1}
