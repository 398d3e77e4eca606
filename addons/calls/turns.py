"""The last call of each connection, for the next turn of its conversation.

What was read of it, found clean and hashed is not read, looked up and hashed again.
"""

import hmac
from collections.abc import Hashable
from weakref import WeakKeyDictionary

from addons.calls.clean_texts import TenantCleanTexts
from addons.providers.provider import Conversation

# Connections whose last call is kept, and the memory of all of those. A call of an agent, 100 KB with
# 700 parts, takes 0.8 MB.
MOST, MOST_BYTES = 256, 48 * 1024 * 1024


class Turn:
    """One call of a tenant that was judged. `before` is the turn that it continues."""

    def __init__(
        self,
        tenant: str,
        conversation: Conversation,
        clean: TenantCleanTexts,
        before: "Turn | None",
    ):
        self.tenant, self.conversation, self.clean = tenant, conversation, clean
        self._begun: _Begun | None = before._begun if before is not None else None

    def hash(self, key: bytes, body: bytes) -> bytes:
        """The HMAC of a body that continues this call."""
        cut, begun = self.conversation.cut, self._begun
        if begun is None or begun.key != key or begun.size > cut:
            begun = _Begun(key, 0, hmac.new(key, digestmod="sha256"))
        if begun.size < cut:
            self._begun = begun = begun.after(body[begun.size : cut])
        return begun.after(body[cut:]).state.digest()


class _Begun:
    """The HMAC of some first bytes. It stays as it is."""

    __slots__ = ("key", "size", "state")

    def __init__(self, key: bytes, size: int, state: hmac.HMAC):
        self.key, self.size, self.state = key, size, state

    def after(self, more: bytes) -> "_Begun":
        """The HMAC of these bytes and more."""
        state = self.state.copy()
        state.update(more)
        return _Begun(self.key, self.size + len(more), state)


class Turns:
    """The last turn of each client's connection, while that is open; the oldest give way."""

    def __init__(self) -> None:
        self._turns: WeakKeyDictionary[Hashable, Turn] = WeakKeyDictionary()

    def last(self, client: Hashable, tenant: str) -> Turn | None:
        """The last turn on a connection, where it is the same tenant's."""
        turn = self._turns.get(client)
        return turn if turn is not None and turn.tenant == tenant else None

    def keep(self, client: Hashable, turn: Turn) -> None:
        """Keep a turn in place of the one before it."""
        self._turns.pop(client, None)
        self._turns[client] = turn
        size = sum(one.conversation.size for one in self._turns.values())
        while size > MOST_BYTES or len(self._turns) > MOST:
            oldest = next(iter(self._turns), None)  # connections may end meanwhile
            if oldest is None:
                break
            size -= self._turns.pop(oldest).conversation.size
