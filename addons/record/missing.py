"""Counts what could not be recorded, by tenant, until a record can say so."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from contract.decision import SCHEMA, Decision, Missing, Place, new_id


@dataclass(slots=True)
class _Count:
    exchanges: int = 0
    passed: int = 0
    unfinished: int = 0
    since: datetime = field(default_factory=lambda: datetime.now(UTC))


class MissingRecords:
    """What is missing of each tenant since it was last told."""

    def __init__(self) -> None:
        self._counts: dict[str, _Count] = {}

    def exchange(self, tenant: str, *, passed: bool) -> None:
        """An exchange has no record; `passed`: it was not refused."""
        count = self._counts.setdefault(tenant, _Count())
        count.exchanges += 1
        count.passed += passed

    def completion(self, tenant: str) -> None:
        """An exchange has a decision, and no completion."""
        self._counts.setdefault(tenant, _Count()).unfinished += 1

    def next(self) -> Callable[[Place], Decision] | None:
        """Makes the record of a tenant. Once it is written, `told` must follow."""
        return self._decision if self._counts else None

    def told(self) -> None:
        """The last record was written."""
        del self._counts[next(iter(self._counts))]

    def _decision(self, place: Place) -> Decision:
        tenant, count = next(iter(self._counts.items()))
        return Decision(
            schema=SCHEMA,
            id=new_id(),
            time=datetime.now(UTC),
            place=place,
            tenant=tenant,
            key="",
            action="FLAG",
            reason="audit_gap",
            coverage="none",
            host="",
            missing=Missing(
                count.since, count.exchanges, count.passed, count.unfinished
            ),
        )
