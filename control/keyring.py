"""All keys that open the API, in memory: who calls is known without PostgreSQL, however many wrong keys come, and while it is away."""

import asyncio
import hmac
import time
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from contract.keys import digest, parse
from control.store.keys import Known

MOST_ADDRESSES = 10_000
NOBODYS = "0" * 64  # a digest that no secret has, so that an unknown key takes as long as a wrong one
TRIES, TRIES_SECONDS = 20, 60.0  # so many wrong keys from one address, then it is told to wait
PEER_TRIES = 1000
SLOW_SECONDS, MOST_WAITING = 0.25, 500  # by which it is slowed, as far as that costs us nothing


@dataclass
class Keyring:
    """As they were when last read. `used` is what PostgreSQL is not told yet: key ids, and when."""

    pepper: bytes
    version: int = -1
    used: dict[str, datetime] = field(default_factory=dict)
    _keys: dict[str, Known] = field(default_factory=dict)

    def take(self, keys: Iterable[Known], version: int) -> None:
        """These, and no others any more."""
        self._keys, self.version = {key.id: key for key in keys}, version

    def find(self, text: str) -> Known | None:
        """Whose key this is, if it works now. Takes as long for a wrong secret as for a right one."""
        key = parse(text)
        if key is None:
            return None
        known = self._keys.get(key.id)
        right = hmac.compare_digest(digest(self.pepper, key.secret), known.digest if known else NOBODYS)
        now = datetime.now(UTC)
        if known is None or not right or (known.not_after is not None and known.not_after <= now):
            return None
        self.used[known.id] = now
        return known


class Guesses:
    """Wrong keys by address. Only wrong ones are counted, slowed and refused: a neighbour with a right key is not held up."""

    def __init__(self) -> None:
        self._until: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._waiting = 0

    def wait(self, address: str, peer: str = "") -> int:
        """Note one more; for how many seconds this address should now stay away, 0 for not at all.

        `peer` is whom we see: it may be a proxy that says for whom it asks, or somebody who only says so, and has a larger limit.
        """
        waits = [self._wait(address, TRIES), *([self._wait(f"peer {peer}", PEER_TRIES)] if peer else [])]
        return max(waits)

    def _wait(self, address: str, tries: int) -> int:
        now = time.monotonic()
        count, until = self._until.pop(address, (0, now + TRIES_SECONDS))
        if until <= now:
            count, until = 0, now + TRIES_SECONDS
        self._until[address] = (count + 1, until)
        while len(self._until) > MOST_ADDRESSES:
            self._until.popitem(last=False)
        return max(1, round(until - now)) if count >= tries else 0

    async def slow(self) -> None:
        """Take a while, unless too many are at it already."""
        if self._waiting < MOST_WAITING:
            self._waiting += 1
            try:
                await asyncio.sleep(SLOW_SECONDS)
            finally:
                self._waiting -= 1
