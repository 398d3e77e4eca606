"""Judges an exchange by a rulebook:

(Rulebook, Exchange) → Verdict. The whole algorithm, in reading order.

  1. Find      the scanner gives all findings of all patterns in all texts
  2. Fire      a rule fires where its findings pass its checks and its `when` holds
  3. Allow     an `allow` removes the rules that it names, of its own priority or below
  4. History   findings in earlier turns were judged when they were new
  5. Decide    any block blocks; else findings are redacted; else a flag flags

The order of rules never matters. Scores add up, and a threshold that is reached acts
like a rule. Rules in monitor mode change nothing; what they would have done stands in
`would`. What would block in a conversation's history is taken out instead. What could
not be read, and no rule concerns, is flagged: it is never a plain ALLOW.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from rules.condition import ALWAYS, holds
from rules.content import Content, Exempt, Need
from rules.exchange import NOWHERE, Exchange
from rules.joints import runs
from rules.model import Redact
from rules.redact import Edit, merged, stand_in
from rules.rulebook import CompiledRule, Rulebook, score_rule
from rules.scan import Clean, Finding
from rules.verdict import Fired, Outcome, Verdict

TURNS = ("user", "assistant", "tool")  # roles whose turns become history
COVER = Redact()
STAND_IN = "[REDACTED:"
# Our placeholders as `redact.placeholder` writes them.
OWN_STAND_IN = re.compile(r"\[REDACTED:(\w{1,80})_[b-t]{8}\]")
LONGEST_STAND_IN = 110  # characters
OURS = Exempt(frozenset(), (), 0, ALWAYS)
# the name by which an `allow` lets pass what could not be read
UNREAD = "coverage.unread"


def evaluate(
    book: Rulebook, exchange: Exchange, *, key: bytes = b"", clean: Clean | None = None
) -> Verdict:
    """Judge a call, or an answer. Linear in its size.

    Pure, but for `clean`, which learns texts without findings. `key` makes placeholders
    a tenant's own.
    """
    # A rulebook without rules for answers need not read them.
    speaking = book.of(exchange.direction)
    if speaking is None:
        return Verdict("ALLOW", unreadable=exchange.unreadable)
    book = speaking
    scanned = book.scanner.scan(
        [part.text for part in exchange.parts], runs(exchange.parts), clean
    )
    if scanned.hidden:
        exchange = replace(exchange, unreadable=(*exchange.unreadable, "hidden"))
    fired, idle = _fired(book, exchange, scanned.findings)
    # Findings that no rule wants, whatever else the call is, need not be found again.
    if clean is not None and not scanned.hidden:
        for text in idle:
            clean.add(exchange.parts[text].text)
    return _verdict(book, exchange, fired, key)


def decide(
    book: Rulebook, exchange: Exchange, findings: Iterable[Finding], *, key: bytes = b""
) -> Verdict:
    """Judge an exchange by exactly this book, with the findings of its parts known.

    Pure.
    """
    return _verdict(book, exchange, _fired(book, exchange, findings)[0], key)


def _verdict(
    book: Rulebook, exchange: Exchange, fired: Sequence[Fired], key: bytes
) -> Verdict:
    enforced = [one for one in fired if not one.rule.monitor]
    case = _Case(book, exchange, enforced)
    # What monitored rules would have done: the same case, judged with them.
    would = (
        _Case(book, exchange, fired).action
        if len(enforced) != len(fired)
        else case.action
    )
    redacting = case.action == "REDACT"
    edits = case.edits(key) if redacting else ()
    return Verdict(
        action=case.action,
        fired=(*fired, *case.scored),
        edits=edits,
        by=max(case.blocking, key=lambda rule: (rule.priority, rule.id), default=None),
        would=would if would != case.action else None,
        unreadable=exchange.unreadable,
        restore=tuple(case.restorable(key, edits)) if redacting else (),
    )


def _fired(
    book: Rulebook, exchange: Exchange, findings: Iterable[Finding]
) -> tuple[list[Fired], set[int]]:
    """The rules that fire, sorted by id, and the texts that may be remembered as clean."""
    by_text: defaultdict[int, defaultdict[int, list[Finding]]] = defaultdict(
        lambda: defaultdict(list)
    )
    asked: defaultdict[int, set[int]] = defaultdict(set)
    for finding in findings:
        for text in {place[0] for place in finding.places}:
            by_text[text][finding.pattern].append(finding)
            for number in book.asking.get(finding.pattern, ()):
                asked[number].add(text)
    # A `when` is a mask of conditions; a rule is tested by one comparison of bits.
    of_call = book.conditions.of_call(exchange)
    masks = {
        text: of_call | book.conditions.of_part(exchange.parts[text])
        for text in by_text
    }
    fired = []
    idle = set(by_text)
    for number, texts in asked.items():
        rule = book.rules[number]
        # A dict for its order: the same call gives the same record.
        stand: dict[Finding, None] = {}
        for text in sorted(texts):
            found = rule.content.find(by_text[text]) if rule.content is not None else ()
            if rule.content is not None and not _is_settled(rule.content, found):
                idle.discard(text)
            if not holds(rule.when, masks[text]):
                if found:
                    idle.discard(text)
                continue
            for one in found:
                exempt = _exempt(book, rule, one, masks[text])
                if exempt is None:
                    stand[one] = None
                if exempt is None or not exempt.always:
                    idle.discard(text)
        if stand and not _is_expired(rule, exchange):
            fired.append(Fired(rule, tuple(stand)))
    # Rules without content: no finding asks for them.
    for number in book.contextual:
        rule = book.rules[number]
        if _context_holds(book, rule, exchange, of_call) and not _is_expired(
            rule, exchange
        ):
            fired.append(Fired(rule, ()))
    return sorted(fired, key=lambda one: one.rule.id), idle


def _is_settled(content: Content, found: Sequence[Finding]) -> bool:
    """Whether this text alone decides that nothing was found.

    Members that are joined, or counted, may have looked at neighbouring texts, too.
    """
    return bool(found) or (isinstance(content, Need) and content.count <= 1)


def _exempt(
    book: Rulebook, rule: CompiledRule, finding: Finding, mask: int
) -> Exempt | None:
    """The exception that takes a finding away; OURS where it is a placeholder that we
    made.
    """
    for exempt in rule.exempt:
        if exempt.takes(finding, mask):
            return exempt
    return OURS if STAND_IN in finding.view.text and _is_ours(book, finding) else None


def _is_ours(book: Rulebook, finding: Finding) -> bool:
    """Whether the finding is nothing but our own placeholders and what joins them."""
    text, start, end = finding.view.text, finding.start, finding.end
    left, done = "", start
    for found in OWN_STAND_IN.finditer(
        text, max(0, start - LONGEST_STAND_IN), end + LONGEST_STAND_IN
    ):
        if found[1] in book.kinds and found.end() > start and found.start() < end:
            left += text[done : max(done, found.start())]
            done = found.end()
    return done > start and not any(map(str.isalnum, left + text[done:end]))


def _context_holds(
    book: Rulebook, rule: CompiledRule, exchange: Exchange, of_call: int
) -> bool:
    if rule.by_part:
        masks = {
            of_call | book.conditions.of_part(part) for part in exchange.parts
        } or {of_call}
        return any(holds(rule.when, mask) for mask in masks)
    return holds(rule.when, of_call)


def _is_expired(rule: CompiledRule, exchange: Exchange) -> bool:
    """Whether the rule has expired.

    An `allow` expires where the time is not known, too.
    """
    if rule.expires is None:
        return False
    return (
        rule.action == "allow"
        if exchange.time is None
        else exchange.time.date() > rule.expires
    )


class _Case:
    """What follows from the rules that fired."""

    def __init__(self, book: Rulebook, exchange: Exchange, fired: Sequence[Fired]):
        self._exchange, self._history = exchange, book.history
        allows = [one.rule for one in fired if one.rule.action == "allow"]
        # First of all, since an allowed rule does not score, redact or count as history.
        if allows:
            fired = [
                one
                for one in fired
                if not any(_allowed(one.rule, allow) for allow in allows)
            ]
        if book.history == "ignore":
            fired = [
                Fired(one.rule, new)
                for one in fired
                if (new := self._new(one)) or not one.findings
            ]
        self._unread_allowed = any(
            fnmatchcase(UNREAD, glob) for allow in allows for glob in allow.allows
        )
        self.blocking: list[CompiledRule] = []
        self.scored: list[Fired] = []
        self._redacting = [one for one in fired if one.rule.action == "redact"]
        # Parts of the history that are taken out whole, with the rule that demands it.
        self._covered: list[tuple[CompiledRule, int]] = []
        for one in fired:
            if one.rule.action == "block":
                self._block(one.rule, one.findings, self._new(one) or not one.findings)
        self._score(book, fired, allows)
        # What cannot be replaced where it stands, such as a URL's query, is not sent.
        self.blocking += [
            one.rule
            for one in self._redacting
            if any(self._fixed(place[0]) for f in one.findings for place in f.places)
        ]
        self.blocking += [rule for rule, text in self._covered if self._fixed(text)]
        self._actions = {one.rule.action for one in (*fired, *self.scored)} - {None}

    @property
    def action(self) -> Outcome:
        """The strongest action that the rules demand."""
        if self.blocking:
            return "BLOCK"
        if self._redacting or self._covered:
            return "REDACT"
        # A call of which nothing could be read is not silently allowed.
        unread = self._exchange.coverage == "none" and not self._actions - {"allow"}
        if "flag" in self._actions or (unread and not self._unread_allowed):
            return "FLAG"
        return "ALLOW"

    def edits(self, key: bytes) -> tuple[Edit, ...]:
        """The edits that replace findings, and history that is taken out."""
        return merged(
            (*redactions(self._redacting, self._exchange, key), *self._covers(key))
        )

    def restorable(
        self, key: bytes, edits: Sequence[Edit]
    ) -> Iterator[tuple[str, str]]:
        """Placeholders whose originals a whole answer may get back.

        Of values that stood in the text as such, in one piece, and that were replaced
        whole.
        """
        restoring = [one for one in self._redacting if one.rule.redact.restore]
        # An edit that another one merged with stands for more than this value.
        made = set(edits) if restoring else ()
        for one in restoring:
            for finding in one.findings:
                ((text, start, end), *more) = finding.places
                stand_in = _stand_in(one.rule, finding, key)
                if (
                    not more
                    and finding.view.depth == 0
                    and Edit(self._exchange.parts[text].literal, start, end, stand_in)
                    in made
                ):
                    yield stand_in, self._exchange.parts[text].text[start:end]

    def _block(
        self, rule: CompiledRule, findings: Iterable[Finding], new: object
    ) -> None:
        """Block, unless only the history demands it: then that history is taken out."""
        if new or self._history == "block":
            self.blocking.append(rule)
        else:
            self._covered += [
                (rule, place[0]) for finding in findings for place in finding.places
            ]

    def _score(
        self, book: Rulebook, fired: Sequence[Fired], allows: Sequence[CompiledRule]
    ) -> None:
        for name, threshold in book.thresholds:
            counted = [
                (one, points)
                for one in fired
                for score, points in one.rule.score
                if score == name
            ]
            total = sum(points for _, points in counted)
            new = sum(
                points for one, points in counted if self._new(one) or not one.findings
            )
            block, flag = score_rule(name, "block"), score_rule(name, "flag")
            # New points must reach the threshold by themselves to block; with the help of the
            # history they only take the history out.
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
        for rule, text in self._covered:
            part = self._exchange.parts[text]
            yield (
                rule.priority,
                Edit(
                    part.literal,
                    0,
                    len(part.text),
                    stand_in(rule.id, COVER, part.text, key),
                ),
            )

    def _new(self, one: Fired) -> tuple[Finding, ...]:
        return tuple(finding for finding in one.findings if not self._is_old(finding))

    def _is_old(self, finding: Finding) -> bool:
        parts, old = self._exchange.parts, self._exchange.old
        return all(
            text < old and parts[text].role in TURNS for text, _, _ in finding.places
        )

    def _fixed(self, text: int) -> bool:
        """Whether nothing can be replaced there.

        It stands outside of the body, or is a key, without which its object would be
        another one.
        """
        part = self._exchange.parts[text]
        return part.literal == NOWHERE or part.kind == "key"


def redactions(
    fired: Iterable[Fired], exchange: Exchange, key: bytes
) -> Iterator[tuple[int, Edit]]:
    """The edits of redacting rules, each with its priority."""
    for one in fired:
        for finding in one.findings:
            text = _stand_in(one.rule, finding, key)
            for number, start, end in finding.places:
                yield (
                    one.rule.priority,
                    Edit(exchange.parts[number].literal, start, end, text),
                )


def _stand_in(rule: CompiledRule, finding: Finding, key: bytes) -> str:
    return stand_in(
        rule.id, rule.redact, finding.view.text[finding.start : finding.end], key
    )


def _allowed(rule: CompiledRule, allow: CompiledRule) -> bool:
    named = any(fnmatchcase(rule.id, glob) for glob in allow.allows)
    return named and rule.action != "allow" and rule.priority <= allow.priority
