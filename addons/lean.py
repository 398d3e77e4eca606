"""mitmproxy without what it does again at every call, and need not.

Once every addon is there and every option is set, neither changes any more: which addon listens to which hook, and what an option
holds, is then known and need not be looked for. And the types of a message's fields, which mitmproxy checks one by one, are our
type checker's business. Measured by `make bench`: about a fifth of the proxy's CPU per call.
"""

import inspect
from collections.abc import Callable
from typing import Any

from mitmproxy import hooks, http, master
from mitmproxy.addonmanager import safecall, traverse


def settle(mitm: master.Master) -> None:
    """Call once, after the last addon and the last option."""
    listeners = HookTable(mitm.addons.chain)
    mitm.addons.handle_lifecycle = listeners.dispatch  # type: ignore[method-assign]
    for name in mitm.options.keys():  # noqa: SIM118  (an OptManager is no mapping)
        mitm.options.__dict__[name] = mitm.options._options[name].current()
    http.MessageData.__post_init__ = _unchecked  # type: ignore[method-assign]  # as it is under `python -O`


def _unchecked(message: http.MessageData) -> None:
    """The types of a message's fields are what they are."""


class HookTable:
    """Who listens to what, found out once for each hook. As in mitmproxy, a listener that raises is logged and the next is asked."""

    def __init__(self, chain: list[Any]):
        self._addons = list(traverse(chain))
        self._listeners: dict[str, tuple[Callable[..., Any], ...]] = {}

    async def dispatch(self, event: hooks.Hook) -> None:
        """Ask every listener, in the order of the chain."""
        listeners = self._listeners.get(event.name)
        if listeners is None:
            found = (getattr(addon, event.name, None) for addon in self._addons)
            listeners = self._listeners[event.name] = tuple(
                listener for listener in found if callable(listener)
            )
        for listener in listeners:
            with safecall():
                result = listener(*event.args())
                if inspect.isawaitable(result):
                    await result
