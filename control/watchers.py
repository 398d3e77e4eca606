"""Who watches the tail of the audit at this moment: each costs a query a second."""

from control.errors import ApiError
from control.permissions import Caller

# In all; of them, of tenants' own keys; and of one tenant, or one key of staff.
MOST_WATCHERS, MOST_OF_TENANTS, MOST_OF_ONE = 40, 25, 6


class Watchers:
    """Who watches: a tenant, whichever of its keys it uses, or a key of staff."""

    def __init__(self) -> None:
        self._there: list[tuple[bool, str]] = []

    def enter(self, who: Caller) -> tuple[bool, str]:
        """Its place. Raises ApiError 429 for one too many."""
        tenants = who.role == "tenant"
        place = (tenants, " ".join(who.tenants or ()) if tenants else who.key)
        of_tenants = sum(one[0] for one in self._there)
        full = len(self._there) >= MOST_WATCHERS or (tenants and of_tenants >= MOST_OF_TENANTS)  # fmt: skip
        if full or self._there.count(place) >= MOST_OF_ONE:
            message = "Too many watch the audit at this moment."
            hint = "Close other tabs with a live view, or ask again by GET /v1/audit."
            raise ApiError(429, "busy", message, hint, {"Retry-After": "30"})
        self._there.append(place)
        return place

    def leave(self, place: tuple[bool, str]) -> None:
        """It watches no more."""
        self._there.remove(place)

    def __len__(self) -> int:
        return len(self._there)
