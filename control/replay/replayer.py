"""Replays exchanges under other rules, page by page: those of one moment, and the same with one source that is another."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from contract.decision import Action, Decision
from contract.kept import opened
from contract.unwrap import placeholder_key
from control.replay.kept_exchange import exchange_of
from control.replay.outcomes import (
    ORDER,
    Changes,
    Range,
    differences,
    outcome,
    recorded_of,
)
from control.store.search import Kept
from rules.evaluate import evaluate
from rules.exchange import Direction, Exchange
from rules.known import KnownValues, rules_of
from rules.layers import is_layer, sources_of
from rules.load import Library
from rules.sources import PRESETS, Assembled, Sources, version_of
from rules.verdict import Verdict

MOST_BOOKS = 500  # some hundred KB each
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
    """A tenant's rules as they were and as they would be, and what differs."""

    before: Assembled
    after: Assembled
    changes: Mapping[Direction, Changes]


@dataclass
class Replayer:
    """Rules as they are, and as they would be. `past`: of tenants, the layers that concern them as of each time. Raises BadRules
    where rules do not fit together; for one thread at a time.
    """

    before: Mapping[str, str]
    after: Mapping[str, str]
    past: dict[str, Sequence[Mapping[str, str]]] = field(default_factory=dict)
    _owns: dict[str, str] = field(default_factory=dict)
    _books: dict[tuple[str, str, str, str], _Books | None] = field(default_factory=dict)
    _known_versions: dict[tuple[str, str], Mapping[str, tuple[str, Mapping[str, str]]]] = field(default_factory=dict)  # fmt: skip

    def __post_init__(self) -> None:
        # hyperscan would compile for seconds what is asked some thousand times
        self._then = Library(self.after, portable=True)
        self._then.check(("default",), tenants=[])

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
        by_record = self._by_record(row, tenant, "request")
        exchange = self._kept(row, tenant)
        if isinstance(exchange, str):
            known = by_record.low == by_record.high or exchange == "no_prompt"
            now = by_record if known else by_record._replace(why=exchange)
            return Replayed(decision, "request", decision.action, now, again=False)
        book = self._then.rulebook(tenant.preset, decision.tenant, tenant.known)
        verdict = evaluate(book, exchange, key=placeholder_key(tenant.prompt_key))
        now = self._without_head(row, tenant, verdict, by_record)
        return Replayed(decision, "request", decision.action, now, again=True)

    def _kept(self, row: Kept, tenant: Whose) -> Exchange | str:
        """The call of a record; or why it cannot be judged again."""
        if not row.prompt:
            return "no_prompt"
        call = opened(tenant.prompt_key, row.prompt)
        return exchange_of(row.decision, call) if call is not None else "kept_by_newer"

    def _without_head(
        self, row: Kept, tenant: Whose, verdict: Verdict, by_record: Range
    ) -> Range:
        """What a verdict without the call's head says: what stood there may make it another."""
        low, high = by_record.low, by_record.high
        if not ORDER.index(low) <= ORDER.index(verdict.action) <= ORDER.index(high):
            return by_record if low == high else by_record._replace(why="head")
        did = {one.rule for one in row.decision.rules if one.action == "REDACT" and not one.would}  # fmt: skip
        redacts = {one.rule.id for one in verdict.fired if one.rule.action == "redact" and not one.rule.monitor}  # fmt: skip
        # What is redacted now could stand in the head, too, and is refused there.
        refused = verdict.action == "REDACT" and redacts - did
        if (refused or self._looks_in_heads(row, tenant)) and high != verdict.action:
            return Range(verdict.action, high, "head")
        return Range(verdict.action, verdict.action)

    def _looks_in_heads(self, row: Kept, tenant: Whose) -> bool:
        """Whether a rule that is new, or another now, refuses what it finds in a head."""
        books = self._books_of(row.decision.tenant, tenant, row.decision.rulebook)
        if books is None:
            return False
        moved = books.changes["request"].unknown | books.changes["request"].acting
        rules = (books.after.rules[id] for id in moved & books.after.rules.keys())
        return any(one.head != "flag" and one.mode == "enforce" and one.action in ("redact", "block") for one in rules)  # fmt: skip

    def _by_record(self, row: Kept, tenant: Whose, direction: Direction) -> Range:
        decision = row.decision
        books = self._books_of(decision.tenant, tenant, decision.rulebook)
        if books is None:
            return Range("ALLOW", "BLOCK", "other_rules")
        of_call = direction == "request" or row.completion is None
        record = recorded_of(decision if of_call else row.completion)  # type: ignore[arg-type]
        assert record is not None
        whole = direction == "request" or (not decision.stream and decision.method != "GET")  # fmt: skip
        return outcome(record, books.before, books.after, books.changes[direction], direction, whole)  # fmt: skip

    def _books_of(self, tenant: str, whose: Whose, version: str) -> _Books | None:
        """The rules by which a record of this version was made, and those of the replay; None where they are not known any more."""
        own = self._own(tenant)
        key = (own, whose.preset, whose.known.mark, version)
        if key not in self._books:
            if len(self._books) >= MOST_BOOKS:
                self._books.clear()
            self._books[key] = self._made(tenant, whose, version)
        return self._books[key]

    def _own(self, tenant: str) -> str:
        """The tenant, where it has or had sources of its own."""
        if tenant not in self._owns:
            mine = frozenset(sources_of(tenant))
            times = (self.before, self.after, *self.past.get(tenant, ()))
            has = any(not mine.isdisjoint(one) for one in times)
            self._owns[tenant] = tenant if has else ""
        return self._owns[tenant]

    def _made(self, tenant: str, whose: Whose, version: str) -> _Books | None:
        then = self._versions(tenant, whose).get(version)
        if then is None:
            return None
        preset, sources = then
        known = [rule for rule, _ in rules_of(whose.known)]
        before = Sources(sources).assemble(preset, tenant, known)
        after = self._then.written.assemble(whose.preset, tenant, known)
        changes = {one: differences(before, after, one) for one in DIRECTIONS}
        return _Books(before, after, changes)

    def _versions(self, tenant: str, whose: Whose) -> Mapping[str, tuple[str, Mapping[str, str]]]:  # fmt: skip
        """The rules that a tenant may have had, by their versions: today's files under each preset, with the layers of each time."""
        own = self._own(tenant)
        key = (own, whose.known.mark)
        if key not in self._known_versions:
            files = {name: text for name, text in self.before.items() if not is_layer(name)}  # fmt: skip
            times = [self.before, *({**files, **layers} for layers in self.past.get(tenant, ({},)))]  # fmt: skip
            self._known_versions[key] = {
                version_of(preset, sources, tenant, whose.known.mark): (preset, sources)
                for sources in times
                for preset in PRESETS
            }
        return self._known_versions[key]


def times_of(changes: Iterable[tuple[str, str]]) -> list[Mapping[str, str]]:
    """The layers as of each time, by the changes of them: each a source and its new text."""
    times: list[Mapping[str, str]] = [{}]
    for name, text in changes:
        left = {other: said for other, said in times[-1].items() if other != name}
        times.append({**left, name: text} if text.strip() else left)
    return times


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
