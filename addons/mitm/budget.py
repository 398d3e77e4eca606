"""What a peer may send that costs it nothing and says nothing: control frames, of HTTP/2 and of WebSockets."""

import time

# At once, and per second afterwards. Browsers and SDKs send some ten control frames at the beginning,
# and a ping in some seconds.
AT_ONCE = 1000.0
PER_SECOND = 100.0


class Budget:
    """Of one connection."""

    def __init__(self) -> None:
        self._left, self._filled = AT_ONCE, time.monotonic()

    def is_spent(self, cost: float) -> bool:
        """Spend some of it; whether that was too much."""
        now = time.monotonic()
        filled = self._left + (now - self._filled) * PER_SECOND
        self._left, self._filled = min(AT_ONCE, filled) - cost, now
        return self._left < 0
