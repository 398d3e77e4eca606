"""A rule file as its author wrote it, with the places that complaints point to. `load` makes of it what is used."""

from dataclasses import dataclass, replace
from typing import Any, Literal

from rules.complaint import Mark

Action = Literal["allow", "flag", "redact", "block"]
Severity = Literal["info", "low", "medium", "high", "critical"]
Mode = Literal["enforce", "monitor", "off"]

PRIORITY: dict[Severity, int] = {"critical": 800, "high": 600, "medium": 400, "low": 200, "info": 100}
PLACEHOLDER = "[REDACTED:{rule}]"


@dataclass(frozen=True, slots=True)
class Field:
    """`name` holds any of `values`: words or globs; for `size` one comparison such as `> 64KiB`."""

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
    """One way a rule can match a part's text: a regular expression (RE2), or any of some keywords."""

    at: Mark
    regex: str = ""
    keywords: tuple[str, ...] = ()


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
    """One rule, as written; `priority` follows from the severity where the author gave none."""

    id: str
    at: Mark
    action: Action
    message: str = ""
    severity: Severity = "medium"
    mode: Mode = "enforce"
    priority: int | None = None
    when: Clause | None = None
    match: tuple[Match, ...] = ()
    placeholder: str = PLACEHOLDER
    allows: tuple[str, ...] = ()
    tests: tuple[Test, ...] = ()
    tags: tuple[str, ...] = ()
    links: tuple[str, ...] = ()

    def patched(self, changes: "Override") -> "Rule":
        """This rule with what an override says of it."""
        return replace(self, **dict(changes.changes))


@dataclass(frozen=True, slots=True)
class Override:
    """A patch of all rules whose id matches `glob`."""

    glob: str
    at: Mark
    changes: tuple[tuple[str, Any], ...]


@dataclass(frozen=True, slots=True)
class RuleFile:
    """A file: what it extends, left to right, its own rules, and its patches."""

    name: str
    extends: tuple[tuple[str, Mark], ...] = ()
    rules: tuple[Rule, ...] = ()
    overrides: tuple[Override, ...] = ()
