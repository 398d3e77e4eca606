"""(Rulebook, Exchange) -> Verdict. The whole algorithm, on one screen.

Every rule is asked; order never matters. An `allow` takes away only the rules it names, of its own priority or below. Of what is
left, any block blocks; else findings are redacted; else a flag flags. Rules in monitor mode act on nothing; what they would have
done is told beside the verdict. What could not be read at all, and no rule speaks of, is flagged: it is never a plain ALLOW.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

from rules.exchange import NOWHERE, Exchange
from rules.load import Judge, Rulebook
from rules.redact import Edit, merged
from rules.scan import Finding

Outcome = Literal["ALLOW", "FLAG", "REDACT", "BLOCK"]


@dataclass(frozen=True, slots=True)
class Fired:
    """A rule that fired, with its findings; none where the call's context alone decided."""

    judge: Judge
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do with a call. `by` decided a BLOCK; `would` is what it would be if monitored rules were enforced."""

    action: Outcome
    fired: tuple[Fired, ...] = ()
    edits: tuple[Edit, ...] = ()
    by: Judge | None = None
    would: Outcome | None = None


def evaluate(book: Rulebook, exchange: Exchange) -> Verdict:
    """Judge one call. Pure; time is linear in the call's size."""
    fired = _fired(book, exchange)
    enforced = _after_allows([one for one in fired if not one.judge.monitor])
    action = _strongest(enforced, exchange)
    would = _strongest(_after_allows(fired), exchange) if len(enforced) != len(fired) else action
    blocks = [one.judge for one in enforced if one.judge.action == "block" or _cannot_redact(one, exchange)]
    return Verdict(
        action=action,
        fired=tuple(fired),
        edits=redactions(enforced, exchange) if action == "REDACT" else (),
        by=max(blocks, key=lambda judge: (judge.priority, judge.id), default=None),
        would=would if would != action else None,
    )


def _fired(book: Rulebook, exchange: Exchange) -> list[Fired]:
    found: defaultdict[int, list[Finding]] = defaultdict(list)
    for finding in book.scanner.scan([part.text for part in exchange.parts]):
        found[finding.pattern].append(finding)
    fired = []
    for judge in book.judges:
        if judge.patterns:
            findings = [finding for pattern in judge.patterns & found.keys() for finding in found[pattern]]
            if judge.when is not None:
                when = judge.when
                findings = [finding for finding in findings if when(exchange, exchange.parts[finding.text])]
            if findings:
                fired.append(Fired(judge, tuple(findings)))
        elif _context_holds(judge, exchange):
            fired.append(Fired(judge, ()))
    return fired


def _context_holds(judge: Judge, exchange: Exchange) -> bool:
    if judge.when is None:
        return False
    if judge.by_part:
        return any(judge.when(exchange, part) for part in exchange.parts)
    return judge.when(exchange, None)


def _after_allows(fired: list[Fired]) -> list[Fired]:
    allows = [one.judge for one in fired if one.judge.action == "allow"]
    return [one for one in fired if not any(_allowed(one.judge, allow) for allow in allows)] if allows else fired


def _allowed(judge: Judge, allow: Judge) -> bool:
    named = any(fnmatchcase(judge.id, glob) for glob in allow.allows)
    return named and judge.action != "allow" and judge.priority <= allow.priority


def _strongest(fired: list[Fired], exchange: Exchange) -> Outcome:
    actions = {one.judge.action for one in fired}
    if "block" in actions or any(_cannot_redact(one, exchange) for one in fired):
        return "BLOCK"
    if "redact" in actions:
        return "REDACT"
    if "flag" in actions or (exchange.coverage == "none" and not actions):
        return "FLAG"
    return "ALLOW"


def _cannot_redact(one: Fired, exchange: Exchange) -> bool:
    """A rule that would redact where nothing can be put in place: outside of the body, or in a key, whose object would change."""
    parts = (exchange.parts[finding.text] for finding in one.findings)
    return one.judge.action == "redact" and any(part.literal == NOWHERE or part.kind == "key" for part in parts)


def redactions(fired: Iterable[Fired], exchange: Exchange) -> tuple[Edit, ...]:
    """What the redacting rules among these put in place of what they found."""
    return merged(
        (one.judge.priority, Edit(exchange.parts[finding.text].literal, finding.start, finding.end, one.judge.placeholder))
        for one in fired
        if one.judge.action == "redact"
        for finding in one.findings
    )
