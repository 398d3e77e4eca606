"""Which addresses may be dialled for a client."""

import asyncio
import socket
from typing import Any

import pytest

from addons.network.names import Names
from addons.network.resolver import InternalAddress, Resolver, mark_own_connections
from contract.addresses import is_internal, is_public

INTERNAL = [
    "127.0.0.1", "127.8.8.8", "0.0.0.0", "0.1.2.3", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254", "100.64.0.1",
    "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255", "192.0.2.1", "198.18.0.1", "::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254",
    "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "2002:7f00:1::", "2002:a9fe:a9fe::1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "::127.0.0.1", "2001:db8::1",
    "168.63.129.16", "192.0.0.192", "fec0::1", "3fff::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2",
]  # fmt: skip


@pytest.mark.parametrize("address", INTERNAL)
def test_an_internal_address_is_known_in_every_form(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "1.1.1.1",
        "104.18.6.192",
        "172.32.0.1",
        "2606:4700::1111",
        "::ffff:1.1.1.1",
        "64:ff9b::101:101",
    ],
)
def test_a_public_address_is_allowed(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "host", ["localhost", "127.1", "0x7f.1", "2130706433", "127.0.0.1", "::1"]
)
async def test_a_name_is_judged_by_what_it_resolves_to(host: str) -> None:
    with pytest.raises((InternalAddress, socket.gaierror)):
        await Resolver({}).resolve(host, 80)


def answers(*addresses: str) -> list[Any]:
    return [(2, 1, 6, "", (address, 0)) for address in addresses]


async def test_one_internal_answer_among_public_ones_is_enough_to_refuse() -> None:
    for order in (("1.1.1.1", "10.0.0.1"), ("10.0.0.1", "1.1.1.1")):
        names = Names(look_up=lambda *_, order=order, **__: answers(*order))
        with pytest.raises(InternalAddress):
            await Resolver({}, names=names).resolve("rebind.example", 443)


async def test_every_dial_of_the_loop_is_checked_but_our_own() -> None:
    loop = asyncio.get_running_loop()
    dial = loop.create_connection
    Resolver({("fixed.example", 443): ("127.0.0.1", 1)}).guard(loop)
    server = await asyncio.start_server(
        lambda reader, writer: writer.close(), "127.0.0.1", 0
    )
    port = server.sockets[0].getsockname()[1]
    try:
        with pytest.raises(InternalAddress):
            await asyncio.open_connection("127.0.0.1", port)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("fixed.example", 443)

        async def own() -> None:
            mark_own_connections()
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()

        await asyncio.create_task(own())
        with pytest.raises(InternalAddress):
            await asyncio.open_connection("127.0.0.1", port)
    finally:
        loop.create_connection = dial  # type: ignore[method-assign]
        server.close()


@pytest.mark.parametrize(
    "address", ["10.0.0.1", "172.16.9.9", "192.168.1.1", "fd12::1"]
)
def test_a_house_may_name_hosts_of_its_own_network(address: str) -> None:
    assert is_internal(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "::1",
        "169.254.169.254",
        "fe80::1",
        "fd00:ec2::254",
        "0.0.0.0",
        "::",
        "224.0.0.1",
        "240.0.0.1",
        "::ffff:10.0.0.1",
        "8.8.8.8",
    ],
)
def test_but_none_that_is_this_machine_or_a_service_of_a_cloud(address: str) -> None:
    assert not is_internal(address)
