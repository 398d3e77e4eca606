"""Replays exchanges under other rules, page by page: those of one moment, and the same with one source that is another."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from contract.decision import Action, Decision
from contract.kept import opened
from contract.unwrap import placeholder_key
from control.replay.kept_exchange import exchange_of
from control.replay.outcomes import (
    Changes,
    Range,
    differences,
    outcome,
    recorded_of,
)
from control.store.search import Kept
from rules.evaluate import evaluate
from rules.exchange import Direction
from rules.known import KnownValues, rules_of
from rules.load import Library
from rules.sources import Assembled, version_of

DIRECTIONS: tuple[Direction, ...] = ("request", "response")


class Whose(NamedTuple):
    """A tenant as replay needs it: its preset, its known values, and its key for prompts."""

    preset: str
    known: KnownValues
    prompt_key: bytes


class Replayed(NamedTuple):
    """An exchange, or its answer, under other rules. `again`: its prompt was judged again."""

    record: Decision
    direction: Direction
    was: Action
    now: Range
    again: bool


@dataclass
class _Books:
    """A tenant's rules as they are and as they would be, and what differs."""

    version: str
    before: Assembled
    after: Assembled
    changes: Mapping[Direction, Changes]


@dataclass
class Replayer:
    """Rules as they are, and as they would be. Raises BadRules where they do not fit together; for one thread at a time."""

    before: Mapping[str, str]
    after: Mapping[str, str]
    _books: dict[tuple[str, str, str], _Books] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # hyperscan would compile for seconds what is asked some thousand times
        self._now = Library(self.before, portable=True)
        self._then = Library(self.after, portable=True)

    def replay(
        self, rows: Iterable[Kept], whose: Callable[[str], Whose | None]
    ) -> Iterator[Replayed]:
        """What exchanges would become; those that the rules decided. Nothing of tenants that ended."""
        for row in rows:
            decision = row.decision
            tenant = whose(decision.tenant)
            if tenant is None or decision.reason != "policy":
                continue
            yield self._call(row, tenant)
            if row.completion is not None and (was := recorded_of(row.completion)):
                now = self._by_record(row, tenant, "response")
                yield Replayed(decision, "response", was.action, now, again=False)

    def _call(self, row: Kept, tenant: Whose) -> Replayed:
        decision = row.decision
        call = opened(tenant.prompt_key, row.prompt) if row.prompt else None
        why = "no_prompt"
        if call is not None:
            exchange = exchange_of(decision, call)
            if not isinstance(exchange, str):
                book = self._then.rulebook(tenant.preset, decision.tenant, tenant.known)
                key = placeholder_key(tenant.prompt_key)
                action = evaluate(book, exchange, key=key).action
                return Replayed(decision, "request", decision.action, Range(action, action), again=True)  # fmt: skip
            why = exchange
        now = self._by_record(row, tenant, "request")
        if now.why in ("new_rules", "places", "exceptions") and why != "no_prompt":
            now = now._replace(why=why)
        return Replayed(decision, "request", decision.action, now, again=False)

    def _by_record(self, row: Kept, tenant: Whose, direction: Direction) -> Range:
        books = self._books_of(row.decision.tenant, tenant)
        if row.decision.rulebook != books.version:
            return Range("ALLOW", "BLOCK", "other_rules")
        record = recorded_of(row.decision if direction == "request" or row.completion is None else row.completion)  # fmt: skip
        assert record is not None
        return outcome(record, books.before, books.after, books.changes[direction], direction)  # fmt: skip

    def _books_of(self, tenant: str, whose: Whose) -> _Books:
        sources = self._now.written, self._then.written
        own = tenant if any(one.has_own(tenant) for one in sources) else ""
        key = (whose.preset, own, whose.known.mark)
        if key not in self._books:
            known = [rule for rule, _ in rules_of(whose.known)]
            before, after = (one.assemble(whose.preset, own, known) for one in sources)
            version = version_of(whose.preset, self.before, own, whose.known.mark)
            changes = {one: differences(before, after, one) for one in DIRECTIONS}
            self._books[key] = _Books(version, before, after, changes)
        return self._books[key]


class Tally(NamedTuple):
    """Outcomes, counted: by what exchanges were and may become; and why that is not known exactly."""

    outcomes: Counter[tuple[Direction, Action, Action, Action]]
    unknown: Counter[str]
    again: int


def tally(replayed: Iterable[Replayed]) -> Tally:
    """Count what exchanges would become."""
    outcomes = Counter[tuple[Direction, Action, Action, Action]]()
    unknown = Counter[str]()
    again = 0
    for one in replayed:
        outcomes[one.direction, one.was, one.now.low, one.now.high] += 1
        again += one.again
        if one.now.low != one.now.high:
            unknown[one.now.why] += 1
    return Tally(outcomes, unknown, again)
