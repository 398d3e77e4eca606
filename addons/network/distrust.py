"""Clients that do not trust the interception CA: their handshakes fail, and their calls are never seen.

A client that says so in a TLS alert is certain. Node and others just close the connection, and
so does any program that ends while it connects: those are suspected, and reported after
SUSPICIOUS handshakes without a success between them.
"""

import time
from collections import Counter, OrderedDict
from dataclasses import dataclass, field

AGAIN = 60.0  # seconds between two records of the same client at the same host
RECENT = 3600.0  # seconds for which readiness reports it
MAX_REMEMBERED = 1000  # clients at hosts; the oldest is forgotten
SUSPICIOUS = 3  # handshakes in a row: a first try and an SDK's two retries


@dataclass
class Distrust:
    """Counts failed handshakes, and decides which are recorded.

    `certain` is how the error of a rejected certificate begins.
    """

    certain: str

    # of handshakes, by how sure it is: certain, suspected
    count: Counter[str] = field(default_factory=Counter)
    # by key and host
    _last: OrderedDict[tuple[str, str], tuple[float, str]] = field(
        default_factory=OrderedDict
    )
    # how often in a row, likewise
    _left: OrderedDict[tuple[str, str], int] = field(default_factory=OrderedDict)

    def trusts(self, key: str, host: str) -> None:
        """A handshake succeeded."""
        self._left.pop((key, host), None)

    def note(self, key: str, host: str, error: str) -> bool:
        """A handshake failed; whether it should be recorded."""
        sure = "certain" if error.startswith(self.certain) else "suspected"
        self.count[sure] += 1
        if sure == "suspected" and not self._is_suspicious((key, host)):
            return False
        now = time.monotonic()
        before, _ = self._last.pop((key, host), (-AGAIN, ""))
        again = now - before >= AGAIN
        self._last[key, host] = (now if again else before, sure)
        if len(self._last) > MAX_REMEMBERED:
            self._last.popitem(last=False)
        return again

    def _is_suspicious(self, whose: tuple[str, str]) -> bool:
        times = self._left.pop(whose, 0) + 1
        self._left[whose] = times
        if len(self._left) > MAX_REMEMBERED:
            self._left.popitem(last=False)
        return times >= SUSPICIOUS

    def report(self) -> list[dict[str, object]]:
        """For readiness: hosts, how sure it is, seconds ago. Names no tenant and no client."""
        now = time.monotonic()
        hosts = {
            host: (now - at, sure)
            for (_, host), (at, sure) in self._last.items()
            if now - at < RECENT
        }
        return [
            {"host": host, "sure": sure, "seconds_ago": int(ago)}
            for host, (ago, sure) in sorted(hosts.items())
        ]
