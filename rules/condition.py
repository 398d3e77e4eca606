"""Compiles `when` to bits.

Each distinct predicate is evaluated once per exchange (`role`, `part` and `tool`: once
per kind of part) and gives one bit. A clause becomes a few comparisons of integers,
however many rules share its predicates.
"""

import operator
import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from fnmatch import translate
from functools import lru_cache
from itertools import product
from zoneinfo import ZoneInfo

from rules.exchange import NOWHERE, Direction, Exchange, Kind, Part, Role
from rules.model import Clause, Field, Group
from rules.source.when import DAYS, SIZE, WINDOW

UNITS = {None: 1, "B": 1, "KiB": 1024, "MiB": 1024 * 1024}
COMPARE: dict[str, Callable[[int, int], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
OF_PART = ("role", "part", "tool")
# Values (models, hosts, paths) for which a predicate's answer is kept
KEPT_VALUES = 256
LONGEST_KEPT = 256  # characters of such a value; a longer one is not kept
MAX_TERMS = 256  # alternatives of one clause

Term = tuple[int, int]  # bits that must be set, and bits that must not
Condition = tuple[Term, ...]  # one of the terms must hold; () never does
ALWAYS: Condition = ((0, 0),)


class TooComplex(Exception):
    """A clause with more than MAX_TERMS alternatives."""


class Conditions:
    """The predicates of a rulebook, each once."""

    def __init__(self) -> None:
        self._bits: dict[tuple[str, tuple[str, ...]], int] = {}
        self._of_call: list[tuple[int, Callable[[Exchange], bool]]] = []
        self._of_part: list[tuple[int, Callable[[Part], bool]]] = []

    def copy(self) -> "Conditions":
        """The same predicates, to add to."""
        copy = Conditions()
        copy._bits = dict(self._bits)
        copy._of_call = list(self._of_call)
        copy._of_part = list(self._of_part)
        return copy

    def only(self, conditions: Iterable[Condition]) -> "Conditions":
        """The predicates that these conditions use, and no others."""
        bits = 0
        for condition in conditions:
            for need, forbid in condition:
                bits |= need | forbid
        copy = self.copy()
        copy._of_call = [(bit, test) for bit, test in self._of_call if bits >> bit & 1]
        copy._of_part = [(bit, test) for bit, test in self._of_part if bits >> bit & 1]
        return copy

    def compile(self, clause: Clause | None) -> Condition:
        """A clause as alternatives. Raises TooComplex."""
        return ALWAYS if clause is None else self._terms(clause, wanted=True)

    def known(
        self, direction: Direction, role: Role | None = None, kind: Kind | None = None
    ) -> tuple[int, int]:
        """The bits that hold, and those that do not, for every part of every exchange
        of this kind.
        """
        call = Exchange(direction=direction)
        part = Part("", role or "other", kind or "text", NOWHERE)
        said = (
            {"direction"}
            | ({"role"} if role else set())
            | ({"part"} if kind else set())
        )
        mask = self.of_call(call) | self.of_part(part)
        every = sum(1 << bit for (name, _), bit in self._bits.items() if name in said)
        return mask & every, ~mask & every

    def speaks_of_parts(self, condition: Condition) -> bool:
        """Whether the exchange alone cannot decide it."""
        parts = sum(1 << bit for bit, _ in self._of_part)
        return any((need | forbid) & parts for need, forbid in condition)

    def of_call(self, exchange: Exchange) -> int:
        """The bits that hold for an exchange."""
        mask = 0
        for bit, holds in self._of_call:
            if holds(exchange):
                mask |= 1 << bit
        return mask

    def of_part(self, part: Part) -> int:
        """The bits that hold for a part."""
        mask = 0
        for bit, holds in self._of_part:
            if holds(part):
                mask |= 1 << bit
        return mask

    def _terms(self, clause: Clause, *, wanted: bool) -> Condition:
        if isinstance(clause, Field):
            bit = 1 << self._bit(clause)
            return ((bit, 0),) if wanted else ((0, bit),)
        if clause.how == "not":
            return self._joined(
                [self._terms(inner, wanted=not wanted) for inner in clause.clauses],
                every=wanted,
            )
        inside = [self._terms(inner, wanted=wanted) for inner in clause.clauses]
        return self._joined(inside, every=(clause.how == "all") == wanted)

    def _joined(self, inside: list[Condition], *, every: bool) -> Condition:
        if not every:
            return tuple(dict.fromkeys(term for terms in inside for term in terms))
        terms: Condition = ALWAYS
        for other in inside:
            joined = (
                (need | more, forbid | less)
                for (need, forbid), (more, less) in product(terms, other)
            )
            terms = tuple(
                dict.fromkeys(term for term in joined if not term[0] & term[1])
            )
            if len(terms) > MAX_TERMS:
                raise TooComplex
        return terms

    def _bit(self, field: Field) -> int:
        key = (field.name, field.values)
        if key not in self._bits:
            bit = self._bits[key] = len(self._bits)
            if field.name in OF_PART:
                self._of_part.append((bit, _part_test(field)))
            else:
                self._of_call.append((bit, _call_test(field)))
        return self._bits[key]


def holds(condition: Condition, mask: int) -> bool:
    """Whether one of the terms holds for these bits."""
    for need, forbid in condition:  # noqa: SIM110  (a generator takes longer)
        if mask & need == need and not mask & forbid:
            return True
    return False


def may_hold(condition: Condition, known: tuple[int, int]) -> bool:
    """Whether it may hold where some bits are known to be set, and some not to be."""
    is_set, is_not = known
    return any(not need & is_not and not forbid & is_set for need, forbid in condition)


def said_of(clause: Clause | None, name: str) -> frozenset[str]:
    """All values that a clause names for a field."""
    if isinstance(clause, Group):
        return frozenset().union(*(said_of(inner, name) for inner in clause.clauses))
    return (
        frozenset(clause.values)
        if clause is not None and clause.name == name
        else frozenset()
    )


def _part_test(field: Field) -> Callable[[Part], bool]:
    values = frozenset(field.values)
    if field.name == "role":
        return lambda part: part.role in values
    if field.name == "part":
        return lambda part: part.kind in values
    pattern = _globs(field.values)
    return lambda part: pattern.match(part.tool.lower()) is not None


def _call_test(field: Field) -> Callable[[Exchange], bool]:
    name, values = field.name, frozenset(field.values)
    match name:
        case "direction":
            return lambda exchange: "any" in values or exchange.direction in values
        case "coverage":
            return lambda exchange: exchange.coverage in values
        case "unreadable":
            return lambda exchange: not values.isdisjoint(exchange.unreadable)
        case "stream":
            return lambda exchange: str(exchange.stream).lower() in values
        case "size" | "tokens":
            return _comparison(name, field.values[0])
        case "time":
            windows = [_window(value) for value in field.values]
            return lambda exchange: (
                exchange.time is not None
                and any(window(exchange.time) for window in windows)
            )
    pattern = _globs(field.values)

    @lru_cache(maxsize=KEPT_VALUES)
    def matches(value: str) -> bool:
        return pattern.match(value.lower()) is not None

    def holds_for(exchange: Exchange) -> bool:
        value: str = getattr(exchange, name)
        return (
            matches(value) if len(value) <= LONGEST_KEPT else matches.__wrapped__(value)
        )

    return holds_for


def _globs(values: tuple[str, ...]) -> "re.Pattern[str]":
    """A list of globs as one linear pattern, without regard to case."""
    return re.compile("|".join(translate(value.lower()) for value in values))


def _comparison(name: str, comparison: str) -> Callable[[Exchange], bool]:
    parsed = SIZE.fullmatch(comparison)
    if parsed is None:
        raise ValueError(comparison)  # the reader complained of it already
    compare, limit = COMPARE[parsed[1]], int(parsed[2]) * UNITS[parsed[3]]
    return lambda exchange: compare(getattr(exchange, name), limit)


def _window(value: str) -> Callable[[datetime], bool]:
    """A time window, `Mon-Fri 08:00-18:00 Europe/Paris`.

    One that ends before it begins runs over midnight, and belongs to the day on which
    it began.
    """
    parsed = WINDOW.fullmatch(value)
    if parsed is None:
        raise ValueError(value)  # the reader complained of it already
    first = DAYS.index(parsed[1]) if parsed[1] else 0
    last = DAYS.index(parsed[2]) if parsed[2] else first if parsed[1] else 6
    days = {(first + step) % 7 for step in range((last - first) % 7 + 1)}
    start = int(parsed[3]) * 60 + int(parsed[4])
    end = int(parsed[5]) * 60 + int(parsed[6])
    zone = ZoneInfo(parsed[7]) if parsed[7] else UTC

    def inside(time: datetime) -> bool:
        local = time.astimezone(zone)
        minute, day = local.hour * 60 + local.minute, local.weekday()
        if start < end:
            return day in days and start <= minute < end
        return (day in days and minute >= start) or (
            (day - 1) % 7 in days and minute < end
        )

    return inside
