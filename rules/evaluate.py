"""(Rulebook, Exchange) -> Verdict. The whole algorithm, in reading order.

Every rule is asked; order never matters. An `allow` takes away only the rules it names, of its own priority or below. Of what is
left, any block blocks; else findings are redacted; else a flag flags. Scores of rules add up, and their thresholds act like rules.
Rules in monitor mode act on nothing; what they would have done is told beside the verdict. What stands in the history of a
conversation was judged when it was new: what would block there is taken out instead. What could not be read at all, and no rule
speaks of, is flagged: it is never a plain ALLOW.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cache
from typing import Literal

from rules.condition import ALWAYS, holds
from rules.content import Content, Exempt, Need
from rules.exchange import NOWHERE, Exchange
from rules.model import PRIORITY, Redact
from rules.normalise import runs
from rules.redact import Edit, merged, stand_in
from rules.rulebook import Judge, Rulebook
from rules.scan import Clean, Finding

Outcome = Literal["ALLOW", "FLAG", "REDACT", "BLOCK"]
TURNS = ("user", "assistant", "tool")  # whose words can be history
COVER = Redact()
STAND_IN = "[REDACTED:"
OWN_STAND_IN = re.compile(r"\[REDACTED:(\w{1,80})_[b-t]{8}\]")
LONGEST_STAND_IN = 110  # characters
OURS = Exempt(frozenset(), (), 0, ALWAYS)
UNREAD = "coverage.unread"  # what an allow names to let pass what could not be read, and no rule speaks of


@dataclass(frozen=True, slots=True)
class Fired:
    """A rule that fired, with its findings; none where the call's context alone decided."""

    judge: Judge
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do with a call. `by` decided a BLOCK; `would` is what it would be if monitored rules were enforced.

    `unreadable` adds to the exchange's own what turned out while it was judged. `restore` are pairs of placeholder and original.
    """

    action: Outcome
    fired: tuple[Fired, ...] = ()
    edits: tuple[Edit, ...] = ()
    by: Judge | None = None
    would: Outcome | None = None
    unreadable: tuple[str, ...] = ()
    restore: tuple[tuple[str, str], ...] = ()


def evaluate(book: Rulebook, exchange: Exchange, *, key: bytes = b"", clean: Clean | None = None) -> Verdict:
    """Judge a call, or an answer. Pure, but for `clean`, which learns; `key` makes placeholders a tenant's own. Linear in the size."""
    speaking = book.of(exchange.direction)
    if speaking is None:
        return Verdict("ALLOW", unreadable=exchange.unreadable)
    book = speaking
    scanned = book.scanner.scan([part.text for part in exchange.parts], runs(exchange.parts), clean)
    if scanned.hidden:
        exchange = replace(exchange, unreadable=(*exchange.unreadable, "hidden"))
    fired, idle = _fired(book, exchange, scanned.findings)
    if clean is not None and not scanned.hidden:
        for text in idle:
            clean.add(exchange.parts[text].text)
    return _verdict(book, exchange, fired, key)


def decide(book: Rulebook, exchange: Exchange, findings: Iterable[Finding], *, key: bytes = b"") -> Verdict:
    """Judge an exchange by this very book, the findings in its parts known already. Pure."""
    return _verdict(book, exchange, _fired(book, exchange, findings)[0], key)


def _verdict(book: Rulebook, exchange: Exchange, fired: Sequence[Fired], key: bytes) -> Verdict:
    enforced = [one for one in fired if not one.judge.monitor]
    case = _Case(book, exchange, enforced)
    would = _Case(book, exchange, fired).action if len(enforced) != len(fired) else case.action
    redacting = case.action == "REDACT"
    edits = case.edits(key) if redacting else ()
    return Verdict(
        action=case.action,
        fired=(*fired, *case.scored),
        edits=edits,
        by=max(case.blocking, key=lambda judge: (judge.priority, judge.id), default=None),
        would=would if would != case.action else None,
        unreadable=exchange.unreadable,
        restore=tuple(case.restorable(key, edits)) if redacting else (),
    )


def _fired(book: Rulebook, exchange: Exchange, findings: Iterable[Finding]) -> tuple[list[Fired], set[int]]:
    """The rules that fire, by id; and the texts in which something was found that no rule means, whatever the call."""
    by_text: defaultdict[int, defaultdict[int, list[Finding]]] = defaultdict(lambda: defaultdict(list))
    asked: defaultdict[int, set[int]] = defaultdict(set)
    for finding in findings:
        for text in {place[0] for place in finding.places}:
            by_text[text][finding.pattern].append(finding)
            for number in book.asking.get(finding.pattern, ()):
                asked[number].add(text)
    of_call = book.conditions.of_call(exchange)
    masks = {text: of_call | book.conditions.of_part(exchange.parts[text]) for text in by_text}
    fired = []
    idle = set(by_text)
    for number, texts in asked.items():
        judge = book.judges[number]
        stand: dict[Finding, None] = {}
        for text in sorted(texts):
            found = judge.content.find(by_text[text]) if judge.content is not None else ()
            if judge.content is not None and not _is_settled(judge.content, found):
                idle.discard(text)
            if not holds(judge.when, masks[text]):
                if found:
                    idle.discard(text)
                continue
            for one in found:
                exempt = _exempt(book, judge, one, masks[text])
                if exempt is None:
                    stand[one] = None
                if exempt is None or not exempt.always:
                    idle.discard(text)
        if stand and not _over(judge, exchange):
            fired.append(Fired(judge, tuple(stand)))
    for number in book.contextual:
        judge = book.judges[number]
        if _context_holds(book, judge, exchange, of_call) and not _over(judge, exchange):
            fired.append(Fired(judge, ()))
    return sorted(fired, key=lambda one: one.judge.id), idle


def _is_settled(content: Content, found: Sequence[Finding]) -> bool:
    """Whether that nothing was found follows from this text alone; what joins or counts may have looked at its neighbours, too."""
    return bool(found) or (isinstance(content, Need) and content.count <= 1)


def _exempt(book: Rulebook, judge: Judge, finding: Finding, mask: int) -> Exempt | None:
    """Why it is none: an exception says so, or it is what we ourselves put there before."""
    for exempt in judge.exempt:
        if exempt.takes(finding, mask):
            return exempt
    return OURS if STAND_IN in finding.view.text and _is_ours(book, finding) else None


def _is_ours(book: Rulebook, finding: Finding) -> bool:
    """Whether nothing but our own placeholders, and what joins them, was found."""
    text, start, end = finding.view.text, finding.start, finding.end
    left, done = "", start
    for found in OWN_STAND_IN.finditer(text, max(0, start - LONGEST_STAND_IN), end + LONGEST_STAND_IN):
        if found[1] in book.kinds and found.end() > start and found.start() < end:
            left += text[done : max(done, found.start())]
            done = found.end()
    return done > start and not any(map(str.isalnum, left + text[done:end]))


def _context_holds(book: Rulebook, judge: Judge, exchange: Exchange, of_call: int) -> bool:
    if judge.by_part:
        masks = {of_call | book.conditions.of_part(part) for part in exchange.parts} or {of_call}
        return any(holds(judge.when, mask) for mask in masks)
    return holds(judge.when, of_call)


def _over(judge: Judge, exchange: Exchange) -> bool:
    """Whether the rule has expired; an allow that might have is over."""
    if judge.expires is None:
        return False
    return judge.action == "allow" if exchange.time is None else exchange.time.date() > judge.expires


class _Case:
    """What follows from the rules that fired."""

    def __init__(self, book: Rulebook, exchange: Exchange, fired: Sequence[Fired]):
        self._exchange, self._history = exchange, book.history
        allows = [one.judge for one in fired if one.judge.action == "allow"]
        if allows:
            fired = [one for one in fired if not any(_allowed(one.judge, allow) for allow in allows)]
        if book.history == "ignore":
            fired = [Fired(one.judge, new) for one in fired if (new := self._new(one)) or not one.findings]
        self._unread_allowed = any(fnmatchcase(UNREAD, glob) for allow in allows for glob in allow.allows)
        self.blocking: list[Judge] = []
        self.scored: list[Fired] = []
        self._redacting = [one for one in fired if one.judge.action == "redact"]
        self._covered: list[
            tuple[Judge, int]
        ] = []  # parts of the history that are taken out whole, and for which rule
        for one in fired:
            if one.judge.action == "block":
                self._block(one.judge, one.findings, self._new(one) or not one.findings)
        self._score(book, fired, allows)
        self.blocking += [
            one.judge
            for one in self._redacting
            if any(self._fixed(place[0]) for f in one.findings for place in f.places)
        ]
        self.blocking += [judge for judge, text in self._covered if self._fixed(text)]
        self._actions = {one.judge.action for one in (*fired, *self.scored)} - {None}

    @property
    def action(self) -> Outcome:
        """The strongest of what the rules ask for."""
        if self.blocking:
            return "BLOCK"
        if self._redacting or self._covered:
            return "REDACT"
        unread = self._exchange.coverage == "none" and not self._actions - {"allow"}
        if "flag" in self._actions or (unread and not self._unread_allowed):
            return "FLAG"
        return "ALLOW"

    def edits(self, key: bytes) -> tuple[Edit, ...]:
        """What is put in place of what was found."""
        return merged((*redactions(self._redacting, self._exchange, key), *self._covers(key)))

    def restorable(self, key: bytes, edits: Sequence[Edit]) -> Iterator[tuple[str, str]]:
        """Placeholders that a whole answer may get the originals back for: of values that stood in clear, and were taken out as such."""
        restoring = [one for one in self._redacting if one.judge.redact.restore]
        made = set(edits) if restoring else ()
        for one in restoring:
            for finding in one.findings:
                ((text, start, end), *more) = finding.places
                stand_in = _stand_in(one.judge, finding, key)
                if (
                    not more
                    and finding.view.depth == 0
                    and Edit(self._exchange.parts[text].literal, start, end, stand_in) in made
                ):
                    yield stand_in, self._exchange.parts[text].text[start:end]

    def _block(self, judge: Judge, findings: Iterable[Finding], new: object) -> None:
        """A block, unless only the history asks for it; then that history is taken out."""
        if new or self._history == "block":
            self.blocking.append(judge)
        else:
            self._covered += [(judge, place[0]) for finding in findings for place in finding.places]

    def _score(self, book: Rulebook, fired: Sequence[Fired], allows: Sequence[Judge]) -> None:
        for name, threshold in book.thresholds:
            counted = [(one, points) for one in fired for score, points in one.judge.score if score == name]
            total = sum(points for _, points in counted)
            new = sum(points for one, points in counted if self._new(one) or not one.findings)
            block, flag = _score_judge(name, "block"), _score_judge(name, "flag")
            if (
                threshold.block is not None
                and total >= threshold.block
                and not any(_allowed(block, allow) for allow in allows)
            ):
                self.scored.append(Fired(block, ()))
                self._block(
                    block,
                    (f for one, _ in counted for f in one.findings if self._is_old(f)),
                    new >= threshold.block,
                )
            elif (
                threshold.flag is not None
                and total >= threshold.flag
                and not any(_allowed(flag, allow) for allow in allows)
            ):
                self.scored.append(Fired(flag, ()))

    def _covers(self, key: bytes) -> Iterator[tuple[int, Edit]]:
        for judge, text in self._covered:
            part = self._exchange.parts[text]
            yield (
                judge.priority,
                Edit(part.literal, 0, len(part.text), stand_in(judge.id, COVER, part.text, key)),
            )

    def _new(self, one: Fired) -> tuple[Finding, ...]:
        return tuple(finding for finding in one.findings if not self._is_old(finding))

    def _is_old(self, finding: Finding) -> bool:
        parts, old = self._exchange.parts, self._exchange.old
        return all(text < old and parts[text].role in TURNS for text, _, _ in finding.places)

    def _fixed(self, text: int) -> bool:
        """Nothing can be put there: it stands outside of the body, or is a key, without which its object would be another."""
        part = self._exchange.parts[text]
        return part.literal == NOWHERE or part.kind == "key"


def redactions(fired: Iterable[Fired], exchange: Exchange, key: bytes) -> Iterator[tuple[int, Edit]]:
    """What redacting rules put in place of what they found, each with its weight."""
    for one in fired:
        for finding in one.findings:
            text = _stand_in(one.judge, finding, key)
            for number, start, end in finding.places:
                yield one.judge.priority, Edit(exchange.parts[number].literal, start, end, text)


def _stand_in(judge: Judge, finding: Finding, key: bytes) -> str:
    return stand_in(judge.id, judge.redact, finding.view.text[finding.start : finding.end], key)


def _allowed(judge: Judge, allow: Judge) -> bool:
    named = any(fnmatchcase(judge.id, glob) for glob in allow.allows)
    return named and judge.action != "allow" and judge.priority <= allow.priority


@cache
def _score_judge(name: str, action: Literal["flag", "block"]) -> Judge:
    """A threshold that was reached, as the rule that it acts like."""
    return Judge(
        id=f"score.{name}",
        action=action,
        severity="high",
        priority=PRIORITY["high"],
        monitor=False,
        message=f"Several signs of {name} together",
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
