"""What follows from the rules that fired: which action, and which edits.

allow        removes the rules that it names, of its own priority or below
head         a finding there refuses or flags, and is then done with
history      what is old does not block: the text is taken out whole
score        sums that reach a threshold act like a rule
block        any of: a blocking rule; a redaction where nothing can be replaced
"""

from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase

from rules.exchange import HEAD, NOWHERE, Exchange
from rules.model import Redact
from rules.redact import Edit, merged, stand_in
from rules.rulebook import CompiledRule, Rulebook, score_rule
from rules.scan import Finding
from rules.spread import places_of, values_of
from rules.verdict import Fired, Outcome

TURNS = ("user", "assistant", "tool")  # roles whose turns become history
COVER = Redact()
# the name by which an `allow` lets pass what could not be read
UNREAD = "coverage.unread"


class Case:
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
        fired, flagged = self._without_heads(fired)
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
        # Where the values of redacted findings stand besides: value, text, start, end.
        self._elsewhere: list[tuple[str, int, int, int]] = []
        self._owners: dict[str, tuple[CompiledRule, Finding]] = {}
        if self._redacting and exchange.direction == "request":
            self._look_elsewhere()
        self._actions = {one.rule.action for one in (*fired, *self.scored)} - {None}
        if flagged:
            self._actions.add("flag")

    def _without_heads(self, fired: Sequence[Fired]) -> tuple[list[Fired], bool]:
        """What fired in bodies, or for the call as a whole; whether heads are to be flagged.

        A finding in the head that refuses is blocking from here on.
        """
        rest: list[Fired] = []
        flagged = False
        for one in fired:
            body = []
            for finding in one.findings:
                kind = self._exchange.parts[finding.text].kind
                if kind not in HEAD:
                    body.append(finding)
                elif one.rule.action in ("block", "redact") and (
                    one.rule.head == "always"
                    or (one.rule.head == "refuse" and kind == "head")
                ):
                    self.blocking.append(one.rule)
                else:
                    flagged = flagged or one.rule.action in ("block", "redact", "flag")
            if len(body) == len(one.findings):
                rest.append(one)
            elif body:
                rest.append(Fired(one.rule, tuple(body)))
        return rest, flagged

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
            (
                *redactions(self._redacting, self._exchange, key),
                *self._spread(key),
                *self._covers(key),
            )
        )

    def _look_elsewhere(self) -> None:
        """Find redacted values that no rule found; refuse where one cannot be replaced."""
        parts = self._exchange.parts
        for one in self._redacting:
            for finding in one.findings:
                for value in values_of((finding,), parts):
                    self._owners.setdefault(value, (one.rule, finding))
        for place in places_of(self._owners, parts):
            value, text = place[:2]
            if not self._fixed(text):
                self._elsewhere.append(place)
            elif parts[text].kind != "credential":
                self.blocking.append(self._owners[value][0])

    def _spread(self, key: bytes) -> Iterator[tuple[int, Edit]]:
        for value, text, start, end in self._elsewhere:
            rule, finding = self._owners[value]
            literal = self._exchange.parts[text].literal
            yield (
                rule.priority,
                Edit(literal, start, end, _stand_in(rule, finding, key)),
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
