"""A rule file as its author wrote it, with the places that complaints point to. `load` makes of it what is used."""

from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Literal

from rules.complaint import Mark

Action = Literal["allow", "flag", "redact", "block"]
Severity = Literal["info", "low", "medium", "high", "critical"]
Mode = Literal["enforce", "monitor", "off"]
Confidence = Literal["low", "medium", "high"]
History = Literal["redact", "block", "ignore"]

PRIORITY: dict[Severity, int] = {"critical": 800, "high": 600, "medium": 400, "low": 200, "info": 100}
PLACEHOLDER = "[REDACTED:{type}_{hash}]"
WITHIN = 40  # characters between a finding and the word that it must be near


@dataclass(frozen=True, slots=True)
class Field:
    """`name` holds any of `values`: words or globs; for `size` and `tokens` one comparison, for `time` a window."""

    name: str
    values: tuple[str, ...]
    at: Mark


@dataclass(frozen=True, slots=True)
class Group:
    """Clauses joined: all of them, any of them, or none of them."""

    how: Literal["all", "any", "not"]
    clauses: "tuple[Clause, ...]"


Clause = Field | Group


@dataclass(frozen=True, slots=True)
class Match:
    """One thing to find in a part's text: a regex (RE2), any of some keywords, or a detector's shape, and what must be true of it."""

    at: Mark
    regex: str = ""
    keywords: tuple[str, ...] = ()
    detector: str = ""
    min_confidence: Confidence = "medium"
    near: tuple[str, ...] = ()
    within: int = WITHIN
    entropy: float = 0.0
    validate: str = ""
    count: int = 1


@dataclass(frozen=True, slots=True)
class Matches:
    """Matches joined over the same part: all of them, any of them, or none of them."""

    how: Literal["all", "any", "not"]
    members: "tuple[Match | Matches, ...]"
    at: Mark


@dataclass(frozen=True, slots=True)
class Except:
    """Findings that are none: by their value, or by what stands in them or `near` characters around them."""

    at: Mark
    values: tuple[str, ...] = ()
    regex: str = ""
    keywords: tuple[str, ...] = ()
    near: int = 0
    when: Clause | None = None


@dataclass(frozen=True, slots=True)
class Redact:
    """What is put in place of a finding; `restore`: a whole answer gets the original back."""

    placeholder: str = PLACEHOLDER
    restore: bool = False


@dataclass(frozen=True, slots=True)
class Test:
    """A proof that comes with a rule: a text or a context that it must match, or must leave alone."""

    must_match: bool
    at: Mark
    text: str | None = None
    context: tuple[tuple[str, str], ...] = ()
    redacted: str | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule, as written; `priority` follows from the severity where the author gave none. Without an action it only scores.

    `direction` is what an override says: request, response or any.
    """

    id: str
    at: Mark
    action: Action | None = None
    message: str = ""
    severity: Severity = "medium"
    mode: Mode = "enforce"
    priority: int | None = None
    when: Clause | None = None
    match: Matches | None = None
    except_: tuple[Except, ...] = ()
    redact: Redact = Redact()
    score: tuple[tuple[str, int], ...] = ()
    allows: tuple[str, ...] = ()
    expires: date | None = None
    tests: tuple[Test, ...] = ()
    tags: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    direction: str = ""

    def patched(self, changes: "Override") -> "Rule":
        """This rule with what an override says of it."""
        return replace(self, **dict(changes.changes))

    @property
    def weight(self) -> int:
        """Its priority, said or following from its severity."""
        return PRIORITY[self.severity] if self.priority is None else self.priority


@dataclass(frozen=True, slots=True)
class Override:
    """A patch of all rules whose id matches `glob`."""

    glob: str
    at: Mark
    changes: tuple[tuple[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Threshold:
    """From which sum on a score flags, and from which it blocks; None: never."""

    flag: int | None
    block: int | None
    at: Mark


@dataclass(frozen=True, slots=True)
class RuleFile:
    """A file: what it extends, left to right, its thresholds, its own rules, and its patches."""

    name: str
    extends: tuple[tuple[str, Mark], ...] = ()
    thresholds: tuple[tuple[str, Threshold], ...] = ()
    history: History | None = None
    rules: tuple[Rule, ...] = ()
    overrides: tuple[Override, ...] = ()
