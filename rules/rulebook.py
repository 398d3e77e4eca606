"""What judges a call: rules ready to be used, and the compiled patterns and conditions that rulebooks share."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import get_args

from rules.condition import Condition, Conditions, may_hold, said_of
from rules.content import Content, Exempt, compile_exceptions
from rules.exchange import Direction, Kind
from rules.live import Live
from rules.locate import Pattern
from rules.model import Action, History, Redact, Rule, Severity, Threshold
from rules.scan import Scanner

DIRECTIONS: tuple[Direction, ...] = get_args(Direction)


@dataclass(frozen=True, slots=True)
class Judge:
    """One rule ready to be used. Without `content`, `when` alone decides; without an action, it only scores.

    A rule of which nobody says a direction speaks of requests.
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


@dataclass(frozen=True, slots=True)
class Rulebook:
    """All that judges calls; `answers`, where a rule speaks of them, judges those, and `stream` what of one can still be held.

    `version` names its content.
    """

    name: str
    version: str
    judges: tuple[Judge, ...]
    scanner: Scanner
    conditions: Conditions
    asking: Mapping[int, tuple[int, ...]]  # a pattern -> the judges that ask for it
    contextual: tuple[int, ...]  # judges without content
    thresholds: tuple[tuple[str, Threshold], ...]
    history: History
    kinds: frozenset[str]  # of placeholders that its rules make
    live: Mapping[Kind, Live]  # what a text of an answer may still become, by its kind
    answers: "Rulebook | None"
    stream: "Rulebook | None"

    @property
    def ready(self) -> bool:
        """Whether a stream can be judged without delay."""
        return self.stream is None or all(live.ready for live in self.stream.live.values())

    def warm(self) -> None:
        """Have ready what streams need; takes seconds where many rules speak of answers."""
        for live in self.stream.live.values() if self.stream else ():
            live.warm()

    def of(self, direction: Direction) -> "Rulebook | None":
        """What judges calls, or answers; None where no rule speaks of those."""
        return self if direction == "request" else self.answers


class Base:
    """Compiled matches and conditions, and their patterns in layers."""

    def __init__(self) -> None:
        self.numbers: dict[Pattern, int] = {}
        self.contents: dict[
            int, Content
        ] = {}  # by the identity of what was written, which the reader's cache keeps alive
        self.conditions = Conditions()
        self.layers: list[tuple[Pattern, ...]] = []
        self.known: dict[
            int, Rule
        ] = {}  # what was compiled, by identity; kept, so that no other can have the same
        self.judges: dict[int, Judge] = {}

    def end_layer(self) -> None:
        """What was added since the last layer is one."""
        self.layers.append(tuple(self.numbers)[sum(map(len, self.layers)) :])

    def extended(self) -> "Base":
        """A copy to add to."""
        copy = Base()
        copy.numbers, copy.contents, copy.layers = dict(self.numbers), dict(self.contents), list(self.layers)
        copy.conditions, copy.known, copy.judges = self.conditions.copy(), dict(self.known), self.judges
        return copy


def judge_of(rule: Rule, base: Base) -> Judge:
    """A rule whose match the base has compiled, ready to be used."""
    conditions = base.conditions
    when = conditions.compile(rule.when)
    named: tuple[Direction, ...] = ("response",) if rule.direction == "response" else ("request",)
    spoken = DIRECTIONS if rule.direction == "any" or said_of(rule.when, "direction") else named
    return Judge(
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
            direction for direction in spoken if may_hold(when, conditions.known(direction))
        ),
    )
