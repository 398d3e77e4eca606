"""Rulebooks: rules that are compiled, and the patterns and conditions that rulebooks
share.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import Literal, get_args

from rules.condition import ALWAYS, Condition, Conditions, may_hold, said_of
from rules.content import Content, Exempt, Need, compile_exceptions
from rules.exchange import Direction, Kind
from rules.locate import Pattern
from rules.model import (
    PRIORITY,
    Action,
    Head,
    History,
    Redact,
    Restore,
    Rule,
    Severity,
    Threshold,
)
from rules.partial_match import PartialMatches
from rules.scan import Scanner

DIRECTIONS: tuple[Direction, ...] = get_args(Direction)


@dataclass(frozen=True, slots=True)
class CompiledRule:
    """One rule, compiled.

    Without `content`, `when` alone decides; without an `action`, the rule only scores.
    A rule for which nobody names a direction concerns requests.
    """

    id: str
    action: Action | None
    severity: Severity
    priority: int
    monitor: bool
    message: str
    redact: Redact
    allows: tuple[str, ...]
    score: tuple[tuple[str, int], ...]
    expires: date | None
    content: Content | None
    when: Condition
    by_part: bool
    exempt: tuple[Exempt, ...]
    directions: frozenset[Direction]
    head: Head = "flag"
    restore: Restore | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """What decides besides the rules that fire: thresholds of scores, and the history.

    `instead` are rules that take others' places, by id; None: nothing does.
    """

    thresholds: tuple[tuple[str, Threshold], ...]
    history: History
    instead: Mapping[str, CompiledRule | None]


class Once[Value]:
    """A value that is made when it is first asked for."""

    __slots__ = ("_make", "_value")

    def __init__(self, make: Callable[[], Value]):
        self._make: Callable[[], Value] | None = make
        self._value: Value | None = None

    @property
    def made(self) -> bool:
        """Whether asking costs nothing any more."""
        return self._make is None

    def __call__(self) -> Value:
        make = self._make
        if make is not None:  # twice where two threads ask at once: the same
            self._value = make()
            self._make = None
        return self._value  # type: ignore[return-value]


@dataclass(frozen=True, slots=True)
class Rulebook:
    """The compiled rules for calls.

    `answers` are those for answers, `stream` those of them that can act inside a stream,
    and `of_commands` those that look for commands. `strict` tells what the preset strict has
    otherwise, made when it is first asked for. `version` identifies the content.
    """

    name: str
    version: str
    rules: tuple[CompiledRule, ...]
    scanner: Scanner
    conditions: Conditions
    asking: Mapping[int, tuple[int, ...]]  # a pattern -> the rules that look for it
    contextual: tuple[int, ...]  # rules without content
    thresholds: tuple[tuple[str, Threshold], ...]
    history: History
    kinds: frozenset[str]  # the kinds of placeholders that its rules make
    partial: Mapping[Kind, PartialMatches]  # the prefix patterns for texts of each kind
    commands: frozenset[int]  # the patterns that look for commands
    answers: "Rulebook | None"
    stream: "Rulebook | None"
    of_commands: "Rulebook | None"
    strict: "Once[Policy | None] | None" = None
    restore: Restore = "files"  # where a rule says nothing of it

    @property
    def ready(self) -> bool:
        """Whether calls and streams can be judged without a delay for compiling."""
        strict = self.strict is None or self.strict.made
        return strict and (
            self.stream is None
            or all(partial.ready for partial in self.stream.partial.values())
        )

    def warm(self) -> None:
        """Compile what streams need, and what strict would do; takes seconds where many rules
        concern answers.
        """
        if self.strict is not None:
            self.strict()
        for partial in self.stream.partial.values() if self.stream else ():
            partial.warm()

    def of(self, direction: Direction) -> "Rulebook | None":
        """The rules for calls, or for answers; None where there are none."""
        return self if direction == "request" else self.answers


class Base:
    """Compiled matches and conditions, and their patterns in layers.

    `contents` and `known` are keyed by the identity of what was written; `known` keeps
    it alive.
    """

    def __init__(self) -> None:
        self.numbers: dict[Pattern, int] = {}
        self.contents: dict[int, Content] = {}
        self.conditions = Conditions()
        self.layers: list[tuple[Pattern, ...]] = []
        self.known: dict[int, Rule] = {}
        self.rules: dict[int, CompiledRule] = {}

    def end_layer(self) -> None:
        """What was added since the last layer becomes one."""
        self.layers.append(tuple(self.numbers)[sum(map(len, self.layers)) :])

    def add_known(self, values: Iterable[tuple[Rule, Pattern]]) -> None:
        """The rules of known values, and a layer of what they look for."""
        for rule, pattern in values:
            number = self.numbers.setdefault(pattern, len(self.numbers))
            self.contents[id(rule.match)] = Need(number, 0.0, None, 1)
            self.known[id(rule)] = rule
        self.end_layer()

    def extended(self) -> "Base":
        """A copy to add to."""
        copy = Base()
        copy.numbers = dict(self.numbers)
        copy.contents = dict(self.contents)
        copy.layers = list(self.layers)
        copy.conditions = self.conditions.copy()
        copy.known = dict(self.known)
        copy.rules = self.rules
        return copy


def compile_rule(rule: Rule, base: Base) -> CompiledRule:
    """Compile a rule whose match the base has compiled already."""
    conditions = base.conditions
    when = conditions.compile(rule.when)
    named: tuple[Direction, ...] = (
        ("response",) if rule.direction == "response" else ("request",)
    )
    spoken = (
        DIRECTIONS
        if rule.direction == "any" or said_of(rule.when, "direction")
        else named
    )
    return CompiledRule(
        id=rule.id,
        action=rule.action,
        severity=rule.severity,
        priority=rule.weight,
        monitor=rule.mode == "monitor",
        message=rule.message,
        redact=rule.redact,
        allows=rule.allows,
        score=rule.score,
        expires=rule.expires,
        content=base.contents[id(rule.match)] if rule.match else None,
        when=when,
        by_part=conditions.speaks_of_parts(when),
        exempt=compile_exceptions(rule.except_, conditions),
        directions=frozenset(
            direction
            for direction in spoken
            if may_hold(when, conditions.known(direction))
        ),
        head=rule.head,
        restore=rule.restore,
    )


def _own_rule(
    id: str, action: Action, severity: Severity, message: str
) -> CompiledRule:
    """A rule that no file has: Earthflow says itself when it fires."""
    return CompiledRule(
        id=id,
        action=action,
        severity=severity,
        priority=PRIORITY[severity],
        monitor=False,
        message=message,
        redact=Redact(),
        allows=(),
        score=(),
        expires=None,
        content=None,
        when=ALWAYS,
        by_part=False,
        exempt=(),
        directions=frozenset(("request", "response")),
    )


RESTORE_ELSEWHERE = _own_rule(
    "restore.elsewhere",
    "flag",
    "low",
    "A placeholder stayed where no original may return",
)


@cache
def score_rule(name: str, action: Literal["flag", "block"]) -> CompiledRule:
    """A threshold that was reached, as the rule that it acts like."""
    message = f"Several signs of {name} together"
    return _own_rule(f"score.{name}", action, "high", message)
