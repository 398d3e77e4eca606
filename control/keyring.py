"""The keys that open the API, in memory: callers are known without PostgreSQL, even
while it is away or many wrong keys arrive.
"""

import asyncio
import hmac
import time
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from contract.keys import digest, parse
from control.store.keys import Known

# Addresses with wrong keys that are remembered; a flood from more replaces the oldest.
MOST_ADDRESSES = 10_000
# a digest of no secret, so that an unknown key takes as long as a wrong one
NOBODYS = "0" * 64
# wrong keys of one address, before it must wait
TRIES = 20
# Logins of commands that one address may begin: many people may be behind it.
LOGINS = 100
# What a key asks for and may not do, and each time is an entry: some 30 MB a day of the busiest one.
REFUSALS = 300
# The window of the limits below.
TRIES_SECONDS = 60.0
# Wrong keys of a peer that may be a proxy and speak for many.
PEER_TRIES = 1000
# delay of a wrong key, as long as few wait
SLOW_SECONDS = 0.25
# Delayed requests at once: each holds a connection.
MOST_WAITING = 500


@dataclass
class Keyring:
    """The keys as they were last read.

    `used`: when keys were used that PostgreSQL does not know of yet.
    """

    pepper: bytes
    version: int = -1
    used: dict[str, datetime] = field(default_factory=dict)
    _keys: dict[str, Known] = field(default_factory=dict)

    def take(self, keys: Iterable[Known], version: int) -> None:
        """Use these keys, and no others."""
        self._keys, self.version = {key.id: key for key in keys}, version

    def find(self, text: str) -> Known | None:
        """The owner of a key that works now.

        A wrong secret takes as long as a right one.
        """
        key = parse(text)
        if key is None:
            return None
        known = self._keys.get(key.id)
        right = hmac.compare_digest(
            digest(self.pepper, key.secret), known.digest if known else NOBODYS
        )
        return self.of_id(key.id) if right else None

    def of_id(self, id: str) -> Known | None:
        """The key of an id, if it works now: of somebody who showed it before."""
        known, now = self._keys.get(id), datetime.now(UTC)
        if known is None or (known.not_after is not None and known.not_after <= now):
            return None
        self.used[id] = now
        return known


class Guesses:
    """Wrong keys by address.

    Only wrong ones are counted, slowed and refused; right keys from the same address
    work.
    """

    def __init__(self) -> None:
        self._until: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._waiting = 0

    def wait(self, address: str, peer: str = "") -> int:
        """Count a wrong key; the seconds for which this address must wait, or 0.

        `peer` is the address that we see. It may be a proxy that names the client, or
        somebody who only claims to be one, and so has a larger limit.
        """
        waits = [
            self._wait(address, TRIES),
            *([self._wait(f"peer {peer}", PEER_TRIES)] if peer else []),
        ]
        return max(waits)

    def wrong_sign_in(self, address: str) -> int:
        """As `wait`, for codes and tokens of sign-ins: who guesses at keys does not keep others of the address from signing in."""
        return self._wait(f"sign-in {address}", TRIES)

    def begun(self, address: str) -> int:
        """Count a login of a command that begins; the seconds for which this address must wait, or 0."""
        return self._wait(f"login {address}", LOGINS)

    def refused(self, key: str) -> int:
        """Count a request that this key may not make; the seconds for which it must wait, or 0."""
        return self._wait(f"key {key}", REFUSALS)

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
        """Wait a moment, unless too many already do."""
        if self._waiting < MOST_WAITING:
            self._waiting += 1
            try:
                await asyncio.sleep(SLOW_SECONDS)
            finally:
                self._waiting -= 1
