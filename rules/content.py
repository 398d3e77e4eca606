"""Compiles `match` and `except`, and tells which findings of a rule stand.

Works on what the scanner found in one part, and on the text around a finding.
"""

import hmac
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from rules.condition import ALWAYS, Condition, Conditions, holds
from rules.likeness import AROUND, BESIDE, Scorer, model
from rules.locate import Pattern
from rules.model import Except, Match, Matches
from rules.patterns import Regex, joined, keywords_as_regex, near_as_regex
from rules.scan import Finding
from rules.validators import Validator, entropy, validator

Found = Mapping[int, Sequence[Finding]]  # findings of one part, by pattern


@dataclass(frozen=True, slots=True)
class Need:
    """A pattern, and the checks that its findings must pass."""

    pattern: int
    entropy: float
    validate: Validator | None
    count: int
    of_command: bool = False  # it looks at command lines, not at texts
    reads_like: Scorer | None = None
    min_score: float = 0.0

    def find(self, found: Found) -> Sequence[Finding]:
        """The findings that pass the checks; none where they are too few."""
        findings = found.get(self.pattern, ())
        if self.reads_like is not None and findings:
            return list(likely(findings, self.reads_like, self.min_score))
        if self.entropy or self.validate is not None:
            findings = [finding for finding in findings if self._stands(finding.value)]
        if (
            self.count > 1
            and len({finding.value for finding in findings}) < self.count
            and all(f.value is not None for f in findings)
        ):
            return ()
        return findings

    def _stands(self, value: str | None) -> bool:
        if value is None:  # too many findings to check each: none can be cleared
            return True
        return (not self.entropy or entropy(value) >= self.entropy) and (
            self.validate is None or self.validate(value)
        )


def likely(
    findings: Sequence[Finding], scorer: Scorer, least: float
) -> Iterator[Finding]:
    """Those of a model's signs around which a text reads like its examples."""
    view, end = None, 0
    # Views of one text show mostly the same.
    scores: dict[str, float] = {}
    for finding in findings:  # view by view, from left to right
        # What was looked at around the sign before is not looked at again.
        if finding.view is view and finding.end <= end:
            continue
        view = finding.view
        beside = view.text[max(0, finding.start - BESIDE) : finding.end + BESIDE]
        if not scorer.tells(beside):
            end = finding.end + BESIDE // 2
            continue
        text = view.text[max(0, finding.start - AROUND) : finding.end + AROUND]
        end = finding.end + AROUND // 2
        if text not in scores:
            scores[text] = scorer.score(text)
        if scores[text] >= least:
            yield finding


@dataclass(frozen=True, slots=True)
class Joined:
    """Needs joined over one part."""

    how: Literal["all", "any", "not"]
    members: "tuple[Need | Joined, ...]"

    def find(self, found: Found) -> Sequence[Finding]:
        """The findings of all members, where the whole holds."""
        findings: list[Finding] = []
        for member in self.members:
            if isinstance(member, Joined) and member.how == "not":
                if member.members[0].find(found):
                    return ()
                continue
            here = member.find(found)
            if not here and self.how == "all":
                return ()
            findings.extend(here)
        return findings


Content = Need | Joined


def commands_of(content: Content) -> frozenset[int]:
    """The patterns that look for commands."""
    if isinstance(content, Need):
        return frozenset({content.pattern} if content.of_command else ())
    return frozenset().union(*map(commands_of, content.members))


def is_single(content: Content) -> bool:
    """Whether one finding is enough, whatever stands around it."""
    if isinstance(content, Need):
        return content.count <= 1 and content.reads_like is None
    return content.how == "any" and all(map(is_single, content.members))


def of_one_text(content: Content) -> bool:
    """Whether a text in which it found nothing can be remembered: no other text would change that.

    A model also looks at the beginning of the next text. That is accepted: what it found is kept even
    if another text follows later.
    """
    if isinstance(content, Need):
        return content.count <= 1
    return content.how == "any" and all(map(of_one_text, content.members))


def patterns_of(content: Content) -> frozenset[int]:
    """The patterns of which at least one must be found; not those that must be missing."""
    if isinstance(content, Need):
        return frozenset({content.pattern})
    if content.how == "not":
        return frozenset()
    return frozenset().union(*map(patterns_of, content.members))


def mentioned(content: Content) -> frozenset[int]:
    """All patterns that take part, those that must be missing included."""
    if isinstance(content, Need):
        return frozenset({content.pattern})
    return frozenset().union(*map(mentioned, content.members))


class Compiler:
    """Numbers the patterns of many rules, each distinct one once."""

    def __init__(self, detectors: Mapping[str, Match], numbers: dict[Pattern, int]):
        """`numbers` is extended: a new pattern gets the next number."""
        self._detectors, self._numbers = detectors, numbers

    def compile(self, matches: Match | Matches) -> Content:
        """A match over pattern numbers.

        An unknown detector must have been complained of before.
        """
        if isinstance(matches, Match):
            return self._need(matches)
        members = tuple(self.compile(member) for member in matches.members)
        return (
            members[0]
            if matches.how != "not" and len(members) == 1
            else Joined(matches.how, members)
        )

    def _need(self, match: Match) -> Need:
        check = match.validate
        bits = match.entropy
        near = match.near
        within = match.within
        regex = match.regex
        if match.command is not None:
            pattern = Pattern(match.command.regex)
            number = self._numbers.setdefault(pattern, len(self._numbers))
            return Need(number, 0.0, match.command.matches, 1, of_command=True)
        if match.reads_like:
            scorer = model(match.reads_like)
            pattern = Pattern(scorer.signs)
            number = self._numbers.setdefault(pattern, len(self._numbers))
            return Need(
                number,
                0.0,
                None,
                1,
                reads_like=scorer,
                min_score=match.min_score,
            )
        if match.detector:
            shape = self._detectors[match.detector]
            regex = shape.regex
            if match.min_confidence != "low":
                check, bits = check or shape.validate, bits or shape.entropy
            if match.min_confidence == "high" and not near:
                near, within = shape.near, shape.within
        elif match.keywords:
            regex = keywords_as_regex(match.keywords)
        pattern = Pattern(
            regex, near_as_regex(near) if near else "", within if near else 0
        )
        number = self._numbers.setdefault(pattern, len(self._numbers))
        return Need(number, bits, validator(check) if check else None, match.count)


@dataclass(frozen=True, slots=True)
class Exempt:
    """One `except`, compiled."""

    values: frozenset[str]
    regexes: tuple[Regex, ...]
    near: int
    when: Condition
    hashes: frozenset[str] = frozenset()
    any_value: bool = False

    @property
    def always(self) -> bool:
        """Whether it depends on the finding alone, not on the call or what stands
        beside it.
        """
        return self.when == ALWAYS and not self.near

    def takes(self, finding: Finding, mask: int, key: bytes) -> bool:
        """Whether it takes the finding away. `key` is the tenant's, for placeholders."""
        if finding.value is None or not holds(self.when, mask):
            return False
        if self.any_value or finding.value.casefold() in self.values:
            return True
        if self.hashes and hash_of(finding.value, key) in self.hashes:
            return True
        if not self.regexes:
            return False
        text = finding.view.text
        first = max(0, finding.start - self.near)
        last = finding.end + self.near
        around = text[first:last].encode("utf-8", "replace")
        return any(regex.search(around) is not None for regex in self.regexes)


def compile_exceptions(
    written: Sequence[Except], conditions: Conditions
) -> tuple[Exempt, ...]:
    """Compile exceptions; those with the same distance and condition become one."""
    together: dict[tuple[int, Condition], list[Except]] = {}
    for one in written:
        together.setdefault((one.near, conditions.compile(one.when)), []).append(one)
    return tuple(_exempt(alike, near, when) for (near, when), alike in together.items())


def _exempt(written: Sequence[Except], near: int, when: Condition) -> Exempt:
    regexes = [one.regex for one in written if one.regex] + [
        keywords_as_regex(one.keywords) for one in written if one.keywords
    ]
    values = frozenset(value.casefold() for one in written for value in one.values)
    hashes = frozenset(hash for one in written for hash in one.hashes)
    any_value = any(one.any_value for one in written)
    return Exempt(values, joined(tuple(regexes)), near, when, hashes, any_value)


def hash_of(value: str, key: bytes) -> str:
    """The keyed hash by which an exception knows a value that it does not hold: 64 hexadecimal digits."""
    content = b"\0except\0" + value.encode("utf-8", "surrogatepass")
    return hmac.digest(key, content, "sha256").hex()
