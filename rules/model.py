"""A rule file as its author wrote it, with the positions that complaints point to.

`load.py` compiles it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Literal

from rules.commands.spec import CommandSpec
from rules.complaint import Mark

Action = Literal["allow", "flag", "redact", "block"]
Severity = Literal["info", "low", "medium", "high", "critical"]
Mode = Literal["enforce", "monitor", "off"]
# What a rule that redacts or blocks does to a finding in a call's head, where nothing can be
# replaced: flag it; refuse the call, unless it is where a credential belongs; or always refuse.
Head = Literal["flag", "refuse", "always"]
# Where an answer gets back what a placeholder replaced in its call: nowhere; in the model's
# text; in the files that it came from, too; or in the arguments of all tools but shells, too.
Restore = Literal["none", "text", "files", "all"]
Confidence = Literal["low", "medium", "high"]
History = Literal["redact", "block", "ignore"]

PRIORITY: dict[Severity, int] = {
    "critical": 800,
    "high": 600,
    "medium": 400,
    "low": 200,
    "info": 100,
}
KNOWN = "known."  # begins the ids of the rules for known values, which no file has
PLACEHOLDER = "[REDACTED:{type}_{hash}]"
WITHIN = 40  # characters between a finding and a keyword near it


@dataclass(frozen=True, slots=True)
class Field:
    """A condition: field `name` has one of `values`, words or globs.

    `size` and `tokens` have one comparison, `time` has windows.
    """

    name: str
    values: tuple[str, ...]
    at: Mark


@dataclass(frozen=True, slots=True)
class Group:
    """Conditions joined: all of them, any of them, or none of them."""

    how: Literal["all", "any", "not"]
    clauses: "tuple[Clause, ...]"


Clause = Field | Group


@dataclass(frozen=True, slots=True)
class Match:
    """What to find in a part's text: a regex (RE2), keywords, a detector, a command, or what
    reads like the examples of a model (`likeness.py`); and its checks.
    """

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
    command: CommandSpec | None = None
    reads_like: str = ""
    min_score: float = 0.6


@dataclass(frozen=True, slots=True)
class Matches:
    """Matches joined over one part: all of them, any of them, or none of them."""

    how: Literal["all", "any", "not"]
    members: "tuple[Match | Matches, ...]"
    at: Mark


def single_matches(matches: Match | Matches) -> Iterator[Match]:
    """What is looked for, however it is joined."""
    if isinstance(matches, Match):
        yield matches
    else:
        for member in matches.members:
            yield from single_matches(member)


@dataclass(frozen=True, slots=True)
class Except:
    """Findings to leave alone: by value, by the keyed hash of one, by what stands in them or within `near` characters, or all
    where only a `when` is given. `tests` prove it; `source` is the decision that it was made from.
    """

    at: Mark
    values: tuple[str, ...] = ()
    regex: str = ""
    keywords: tuple[str, ...] = ()
    near: int = 0
    when: Clause | None = None
    hashes: tuple[str, ...] = ()
    tests: "tuple[Test, ...]" = ()
    source: str = ""

    @property
    def any_value(self) -> bool:
        """Whether it leaves alone whatever was found, where its `when` holds."""
        return not (self.values or self.regex or self.keywords or self.hashes)


@dataclass(frozen=True, slots=True)
class Redact:
    """What replaces a finding."""

    placeholder: str = PLACEHOLDER


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
    """A rule as written. Without an action it only scores.

    `priority` follows from the severity where the author gave none. `direction` is set
    by an override: request, response or any. `restore`: None where its file and its
    preset decide.
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
    head: Head = "flag"
    restore: Restore | None = None

    def patched(self, changes: "Override") -> "Rule":
        """This rule with the changes of an override; its exceptions are added to the rule's own, and so are their tests."""
        told = dict(changes.changes)
        if more := told.pop("except_", ()):
            told["except_"] = (*self.except_, *more)
            told["tests"] = (*self.tests, *tests_of(more))
        return replace(self, **told)

    @property
    def weight(self) -> int:
        """The priority, as written or by severity."""
        return PRIORITY[self.severity] if self.priority is None else self.priority


def tests_of(exceptions: Iterable[Except]) -> Iterator[Test]:
    """The tests that exceptions bring."""
    return (test for one in exceptions for test in one.tests)


@dataclass(frozen=True, slots=True)
class Override:
    """A change of all rules whose id matches `glob`."""

    glob: str
    at: Mark
    changes: tuple[tuple[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Threshold:
    """The sums from which on a score flags, and blocks; None: never."""

    flag: int | None
    block: int | None
    at: Mark


@dataclass(frozen=True, slots=True)
class RuleFile:
    """A file: what it extends, its thresholds, rules and overrides; what it says of history
    and of originals in answers.
    """

    name: str
    extends: tuple[tuple[str, Mark], ...] = ()
    thresholds: tuple[tuple[str, Threshold], ...] = ()
    history: History | None = None
    restore: Restore | None = None
    rules: tuple[Rule, ...] = ()
    overrides: tuple[Override, ...] = ()
