"""Who watches the tail of the audit at this moment: each costs a query a second."""

from control.errors import ApiError

MOST_WATCHERS, MOST_OF_KEY = 40, 6


class Watchers:
    """Who watches, by the ids of keys."""

    def __init__(self) -> None:
        self._keys: list[str] = []

    def enter(self, key: str) -> None:
        """Raises ApiError 429 for one too many."""
        if len(self._keys) >= MOST_WATCHERS or self._keys.count(key) >= MOST_OF_KEY:
            message = "Too many watch the audit at this moment."
            hint = "Close other tabs with a live view, or ask again by GET /v1/audit."
            raise ApiError(429, "busy", message, hint, {"Retry-After": "30"})
        self._keys.append(key)

    def leave(self, key: str) -> None:
        """It watches no more."""
        self._keys.remove(key)
