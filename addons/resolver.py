"""Which address is dialled for a name, and which never is.

Every dial of the proxy for a client goes through here: the name is resolved, each answer is checked, and only a checked address
is dialled, so a second answer from the name's owner comes too late. Our own connections (Redis, control) are marked as ours.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Container, Mapping
from contextvars import ContextVar
from typing import Any

from addons.settings import Address

NAT64 = ipaddress.ip_network("64:ff9b::/96")
# Not public whatever the running Python's tables say: metadata and wire services of clouds, site-local and documentation nets.
NEVER = tuple(map(ipaddress.ip_network, ("168.63.129.16/32", "192.0.0.0/24", "fec0::/10", "3fff::/20")))
UNIQUE_LOCAL, AWS_METADATA = ipaddress.ip_network("fc00::/7"), ipaddress.ip_address("fd00:ec2::254")
# Set in tasks whose connections are Earthflow's own; everywhere else a dial is a client's and is checked.
_ours: ContextVar[bool] = ContextVar("ours", default=False)


class InternalAddress(OSError):
    """The name leads to an address that the proxy must not reach for a client."""

    def __init__(self, host: str):
        super().__init__(f"{host} is not a public address; the proxy does not connect to it")


def ours() -> None:
    """Mark this task, and those it starts, as Earthflow's own: its connections are not a client's."""
    _ours.set(True)


def is_public(address: str) -> bool:
    """Whether an IP address is on the public internet, seen through every way of wrapping a v4 address in a v6 one."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if inner is None and (ip in NAT64 or int(ip) < 2**32):
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF)
        if inner is not None:
            return is_public(str(inner))
    return ip.is_global and not ip.is_multicast and not ip.is_reserved and not any(ip in net for net in NEVER if net.version == ip.version)


def is_internal(address: str) -> bool:
    """Whether an IP address is of a house's own network: private, and none of those that are nobody's (metadata services, this host's)."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    never = ip.is_link_local or ip.is_loopback or ip.is_multicast or ip.is_reserved or ip.is_unspecified
    inner = isinstance(ip, ipaddress.IPv6Address) and not ip.is_global and ip not in UNIQUE_LOCAL
    return ip.is_private and not never and not inner and ip != AWS_METADATA


class Resolver:
    """Names to addresses that may be dialled. `fixed` answers for names in its keys (development only).

    Names in `internal` may lead into the house's own network, for models that run there.
    """

    def __init__(self, fixed: Mapping[Address, Address], internal: Container[str] = ()):
        self._fixed, self._internal = fixed, internal

    async def resolve(self, host: str, port: int) -> list[Address]:
        """Addresses to dial, in the order to try. Raises InternalAddress, or OSError where the name does not resolve."""
        if (host.lower(), port) in self._fixed:
            return [self._fixed[host.lower(), port]]
        loop = asyncio.get_running_loop()
        answers = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys((answer[4][0], answer[4][1]) for answer in answers))
        named = host.lower().rstrip(".") in self._internal
        if not addresses or not all(is_public(str(address)) or (named and is_internal(str(address))) for address, _ in addresses):
            raise InternalAddress(host)
        return [(str(address), int(port)) for address, port in addresses]

    def guard(self, loop: asyncio.AbstractEventLoop) -> None:
        """Put this resolver before every connection that the loop opens and nobody has marked as ours."""
        dial: Any = loop.create_connection

        async def checked(factory: Any, host: str | None = None, port: int | None = None, **kwargs: Any) -> Any:
            if _ours.get() or host is None or port is None:
                return await dial(factory, host, port, **kwargs)
            failure: OSError | None = None
            for address, at in await self.resolve(host, port):
                try:
                    return await dial(factory, address, at, **kwargs)
                except OSError as error:
                    failure = error
            raise failure or OSError(f"{host} does not resolve")

        loop.create_connection = checked  # type: ignore[method-assign, assignment]
