"""Which addresses the proxy connects to for a client, and which it never does.

Every connection of the event loop passes here: the name is resolved, every address is checked,
and only a checked address is connected to. So a second DNS answer (rebinding) comes too late.
Tasks for our own connections (Redis, control) are marked and not checked.
"""

import asyncio
from collections.abc import Container, Hashable, Mapping
from contextvars import ContextVar
from typing import Any

from addons.network.names import Names
from addons.settings import Address
from contract.addresses import is_internal, is_public

# True in tasks whose connections are Earthflow's own; all others are checked.
_own_connection: ContextVar[bool] = ContextVar("own_connection", default=False)

# For whom this task connects: an Earthflow key, or a client's address.
_caller: ContextVar[Hashable] = ContextVar("caller", default=None)


class InternalAddress(OSError):
    """A name resolves to an address that the proxy must not connect a client to."""

    def __init__(self, host: str):
        super().__init__(
            f"{host} is not a public address; the proxy does not connect to it"
        )


def mark_own_connections() -> None:
    """Mark this task and those it starts: their connections are Earthflow's own, and not checked."""
    _own_connection.set(True)


def mark_caller(caller: Hashable) -> None:
    """For whom this task, and those that it starts, look up names."""
    _caller.set(caller)


class Resolver:
    """Names to addresses that may be dialled. `fixed` answers for names in its keys (development only).

    Names in `internal` may lead into the house's own network, for models that run there.
    """

    def __init__(
        self,
        fixed: Mapping[Address, Address],
        internal: Container[str] = (),
        names: Names | None = None,
    ):
        self._fixed, self._internal = fixed, internal
        self._names = names or Names()

    async def resolve(
        self, host: str, port: int, key: Hashable = None
    ) -> list[Address]:
        """Addresses to dial for a key, in the order to try. Raises InternalAddress, or OSError where the name does not resolve."""
        if (host.lower(), port) in self._fixed:
            return [self._fixed[host.lower(), port]]
        addresses = await self._names.addresses(host, key)
        named = host.lower().rstrip(".") in self._internal
        if not addresses or not all(
            is_public(address) or (named and is_internal(address))
            for address in addresses
        ):
            raise InternalAddress(host)
        return [(address, port) for address in addresses]

    def guard(self, loop: asyncio.AbstractEventLoop) -> None:
        """Have the loop open every connection through this resolver, unless its task is marked."""
        dial: Any = loop.create_connection

        async def checked(
            factory: Any,
            host: str | None = None,
            port: int | None = None,
            **kwargs: Any,
        ) -> Any:
            if _own_connection.get() or host is None or port is None:
                return await dial(factory, host, port, **kwargs)
            failure: OSError | None = None
            for address, at in await self.resolve(host, port, _caller.get()):
                try:
                    return await dial(factory, address, at, **kwargs)
                except OSError as error:
                    failure = error
            raise failure or OSError(f"{host} does not resolve")

        loop.create_connection = checked  # type: ignore[method-assign, assignment]
