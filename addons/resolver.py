"""Which address is dialled for a name, and which never is.

Every dial of the proxy for a client goes through here: the name is resolved, each answer is checked, and only a checked address
is dialled, so a second answer from the name's owner comes too late. Our own connections (Redis, control) are marked as ours.
"""

import asyncio
import socket
from collections.abc import Container, Mapping
from contextvars import ContextVar
from typing import Any

from addons.settings import Address
from contract.addresses import is_internal, is_public

# Set in tasks whose connections are Earthflow's own; everywhere else a dial is a client's and is checked.
_ours: ContextVar[bool] = ContextVar("ours", default=False)


class InternalAddress(OSError):
    """The name leads to an address that the proxy must not reach for a client."""

    def __init__(self, host: str):
        super().__init__(f"{host} is not a public address; the proxy does not connect to it")


def ours() -> None:
    """Mark this task, and those it starts, as Earthflow's own: its connections are not a client's."""
    _ours.set(True)


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
        if not addresses or not all(
            is_public(str(address)) or (named and is_internal(str(address))) for address, _ in addresses
        ):
            raise InternalAddress(host)
        return [(str(address), int(port)) for address, port in addresses]

    def guard(self, loop: asyncio.AbstractEventLoop) -> None:
        """Put this resolver before every connection that the loop opens and nobody has marked as ours."""
        dial: Any = loop.create_connection

        async def checked(
            factory: Any, host: str | None = None, port: int | None = None, **kwargs: Any
        ) -> Any:
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
