"""Clients that do not trust the interception CA: their handshakes fail, and nothing is seen of their calls. Told apart, counted, dated.

Who says so in an alert is certain. Others just leave, as Node does; but so does a program that ends while it connects. They are
suspected, and told of once they have left so many times without a handshake that succeeded in between.
"""

import time
from collections import Counter, OrderedDict
from dataclasses import dataclass, field

AGAIN = 60.0  # seconds in which the same client at the same host is recorded once
RECENT = 3600.0  # seconds for which readiness tells of it
MOST = 1000  # of those that are remembered
CERTAIN = "The client does not trust"  # what mitmproxy says where a client sent an alert
SUSPICIOUS = 3  # handshakes in a row; an SDK that tries twice more makes as many


@dataclass
class Distrust:
    """All of them."""

    count: Counter[str] = field(
        default_factory=Counter
    )  # of handshakes, by how sure it is: certain, suspected
    _last: OrderedDict[tuple[str, str], tuple[float, str]] = field(
        default_factory=OrderedDict
    )  # by key and host
    _left: OrderedDict[tuple[str, str], int] = field(
        default_factory=OrderedDict
    )  # how often in a row, likewise

    def trusts(self, key: str, host: str) -> None:
        """A handshake succeeded."""
        self._left.pop((key, host), None)

    def note(self, key: str, host: str, error: str) -> bool:
        """A handshake failed; whether it should be recorded."""
        sure = "certain" if error.startswith(CERTAIN) else "suspected"
        self.count[sure] += 1
        if sure == "suspected" and not self._is_suspicious((key, host)):
            return False
        now = time.monotonic()
        before, _ = self._last.pop((key, host), (-AGAIN, ""))
        again = now - before >= AGAIN
        self._last[key, host] = (now if again else before, sure)
        if len(self._last) > MOST:
            self._last.popitem(last=False)
        return again

    def _is_suspicious(self, whose: tuple[str, str]) -> bool:
        times = self._left.pop(whose, 0) + 1
        self._left[whose] = times
        if len(self._left) > MOST:
            self._left.popitem(last=False)
        return times >= SUSPICIOUS

    def told(self) -> list[dict[str, object]]:
        """For readiness: at which hosts, how sure, how long ago; nothing of whose clients they are."""
        now = time.monotonic()
        hosts = {host: (now - at, sure) for (_, host), (at, sure) in self._last.items() if now - at < RECENT}
        return [
            {"host": host, "sure": sure, "seconds_ago": int(ago)}
            for host, (ago, sure) in sorted(hosts.items())
        ]
