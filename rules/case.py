"""What follows from the rules that fired: which action, and which edits.

allow        removes the rules that it names, of its own priority or below
head         a finding there refuses or flags, and is then done with
document     a redaction there refuses or flags, as in the head
signature    a finding in a text that is bound to one flags
history      what is old does not block: the text is taken out whole
score        sums that reach a threshold act like a rule
block        any of: a blocking rule; a redaction where nothing can be replaced
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from fnmatch import fnmatchcase

from rules.exchange import HEAD, NOWHERE, Exchange
from rules.found import Elsewhere
from rules.model import Redact, Restore
from rules.redact import Edit, StandIns, merged
from rules.rulebook import CompiledRule, Policy, Rulebook, score_rule
from rules.scan import Finding
from rules.spread import places_of, values_of
from rules.verdict import Fired, Outcome, Restorable
from rules.views import Place

COVER = Redact()
# the name by which an `allow` lets pass what could not be read
UNREAD = "coverage.unread"


class Case:
    """What follows from the rules that fired."""

    def __init__(
        self,
        book: Rulebook | Policy,
        exchange: Exchange,
        fired: Sequence[Fired],
        *,
        spreads: bool = True,
    ):
        """`spreads`: redacted values are looked for wherever else they stand."""
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
                if (new := self._unanswered(one)) or not one.findings
            ]
        self._unread_allowed = any(
            fnmatchcase(UNREAD, glob) for allow in allows for glob in allow.allows
        )
        self.blocking: list[CompiledRule] = []
        self._refusing: dict[int, None] = {}
        self._signed: dict[int, None] = {}
        fired, flagged = self._editable(fired)
        self.scored: list[Fired] = []
        self._redacting = [one for one in fired if one.rule.action == "redact"]
        # Texts of the history that are taken out whole, with the rule that demands it.
        self._covered: list[tuple[CompiledRule, int]] = []
        for one in fired:
            if one.rule.action == "block":
                new = self._new(one)
                self._block(one.rule, one.findings, new or not one.findings, new)
        self._score(book, fired, allows)
        # What cannot be replaced where it stands, such as a URL's query, is not sent.
        self.blocking += [
            one.rule
            for one in self._redacting
            if any(self._fixed(place[0]) for f in one.findings for place in f.places)
        ]
        self.blocking += [rule for rule, text in self._covered if self._fixed(text)]
        self.elsewhere: list[Elsewhere] = []
        if spreads and self._redacting and exchange.direction == "request":
            self._look_elsewhere()
        self._actions = {one.rule.action for one in (*fired, *self.scored)} - {None}
        if flagged:
            self._actions.add("flag")

    def _editable(self, fired: Sequence[Fired]) -> tuple[list[Fired], bool]:
        """What fired in texts that may be edited, or for the call as a whole; whether the
        others are to be flagged.

        A finding in the head that refuses is blocking from here on.
        """
        parts = self._exchange.parts
        rest: list[Fired] = []
        flagged = False
        for one in fired:
            body = []
            for finding in one.findings:
                kind = parts[finding.text].kind
                signed = [p[0] for p in finding.places if parts[p[0]].signature]
                # An answer that is refused is not edited.
                if signed and not self._may_refuse(one.rule):
                    flagged = flagged or one.rule.action in ("block", "redact", "flag")
                    if one.rule.action in ("block", "redact"):
                        self._signed |= dict.fromkeys(signed)
                    if len(signed) < len(finding.places):
                        body.append(_unsigned(finding, signed))
                elif kind not in HEAD and not (
                    kind == "document" and one.rule.action == "redact"
                ):
                    body.append(finding)
                elif one.rule.action in ("block", "redact") and (
                    one.rule.head == "always"
                    or (one.rule.head == "refuse" and kind != "credential")
                ):
                    self.blocking.append(one.rule)
                else:
                    flagged = flagged or one.rule.action in ("block", "redact", "flag")
            if body == list(one.findings):
                rest.append(one)
            elif body:
                rest.append(Fired(one.rule, tuple(body)))
        return rest, flagged

    def _may_refuse(self, rule: CompiledRule) -> bool:
        return rule.action == "block" and self._exchange.direction == "response"

    @property
    def action(self) -> Outcome:
        """The strongest action that the rules demand."""
        if self.blocking:
            return "BLOCK"
        if self._redacting or self._covered:
            return "REDACT"
        if "flag" in self._actions:
            return "FLAG"
        if self._actions - {"allow"} or self._unread_allowed:
            return "ALLOW"
        return by_default(self._exchange)

    def edits(self, names: StandIns) -> tuple[Edit, ...]:
        """The edits that replace findings, and history that is taken out."""
        return merged(
            (
                *redactions(self._redacting, self._exchange, names),
                *self._spread(names),
                *self._covers(names),
            )
        )

    @property
    def refusing(self) -> tuple[int, ...]:
        """The parts for whose text it blocks; empty where it does not."""
        return tuple(self._refusing) if self.blocking else ()

    @property
    def signed(self) -> tuple[int, ...]:
        """The parts with findings that would be acted on, were it not for a signature."""
        return tuple(self._signed)

    def _look_elsewhere(self) -> None:
        """Find redacted values that no rule found; refuse where one cannot be replaced."""
        parts = self._exchange.parts
        owners: dict[str, tuple[Fired, Finding]] = {}
        own: set[Place] = set()
        # A value that several rules found is refused in a head, or a document, where any of them refuses.
        for one in sorted(self._redacting, key=lambda one: one.rule.head == "flag"):
            for finding in one.findings:
                own.update(finding.places)
                for value in values_of((finding,), parts):
                    owners.setdefault(value, (one, finding))
        for value, text, start, end in places_of(owners, parts):
            if (text, start, end) in own:
                continue
            if parts[text].signature:
                self._signed[text] = None
            elif not self._fixed(text):
                self.elsewhere.append(Elsewhere(*owners[value], text, start, end))
            elif (
                parts[text].kind == "document" and owners[value][0].rule.head == "flag"
            ):
                continue
            elif parts[text].kind != "credential":
                self.blocking.append(owners[value][0].rule)

    def _spread(self, names: StandIns) -> Iterator[tuple[int, Edit]]:
        for one, finding, text, start, end in self.elsewhere:
            literal = self._exchange.parts[text].literal
            edit = Edit(literal, start, end, _stand_in(one.rule, finding, names))
            yield one.rule.priority, edit

    def restorable(
        self, names: StandIns, edits: Sequence[Edit], otherwise: Restore
    ) -> Iterator[Restorable]:
        """The values that an answer may get back; `otherwise` is where, unless a rule says.

        Of values that stood in the text as such, in one piece, and that were replaced
        whole, by a placeholder that stands for no other.
        """
        # An edit that another one merged with stands for more than this value.
        made = set(edits)
        for one in self._redacting:
            where = one.rule.restore or otherwise
            if where == "none" or "{hash}" not in one.rule.redact.placeholder:
                continue
            for finding in one.findings:
                ((text, start, end), *more) = finding.places
                part, name = self._exchange.parts[text], _stand_in(one.rule, finding, names)  # fmt: skip
                if (
                    not more
                    and finding.view.depth == 0
                    and Edit(part.literal, start, end, name) in made
                ):
                    yield Restorable(name, part.text[start:end], where)

    def _block(
        self,
        rule: CompiledRule,
        findings: Iterable[Finding],
        blocks: object,
        new: Iterable[Finding],
    ) -> None:
        """Block, unless only the history demands it: then that history is taken out.

        `new` are the findings that are no history, `findings` what is taken out.
        """
        if blocks or self._history == "block":
            self.blocking.append(rule)
            for finding in new:
                self._refusing |= dict.fromkeys(place[0] for place in finding.places)
        else:
            self._covered += [
                (rule, place[0]) for finding in findings for place in finding.places
            ]

    def _score(
        self,
        book: Rulebook | Policy,
        fired: Sequence[Fired],
        allows: Sequence[CompiledRule],
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
                    (f for one, _ in counted for f in self._new(one)),
                )
            elif (
                threshold.flag is not None
                and total >= threshold.flag
                and not any(_allowed(flag, allow) for allow in allows)
            ):
                self.scored.append(Fired(flag, ()))

    def _covers(self, names: StandIns) -> Iterator[tuple[int, Edit]]:
        for rule, text in self._covered:
            part = self._exchange.parts[text]
            name = names.of(rule.id, COVER, part.text)
            yield rule.priority, Edit(part.literal, 0, len(part.text), name)

    def _new(self, one: Fired) -> tuple[Finding, ...]:
        return tuple(finding for finding in one.findings if not self._is_old(finding))

    def _unanswered(self, one: Fired) -> tuple[Finding, ...]:
        return tuple(
            finding
            for finding in one.findings
            if not all(self._exchange.is_answered(p[0]) for p in finding.places)
        )

    def _is_old(self, finding: Finding) -> bool:
        return all(self._exchange.is_old(text, end) for text, _, end in finding.places)

    def _fixed(self, text: int) -> bool:
        """Whether nothing can be replaced there.

        It stands outside of the body, or is a key, without which its object would be
        another one.
        """
        part = self._exchange.parts[text]
        return part.literal == NOWHERE or part.kind == "key"


def by_default(exchange: Exchange) -> Outcome:
    """What becomes of an exchange of which no rule speaks: one of which nothing could be read
    is not silently allowed.
    """
    return "FLAG" if exchange.coverage == "none" else "ALLOW"


def _unsigned(finding: Finding, signed: Collection[int]) -> Finding:
    """A finding without its places in texts that are bound to a signature."""
    places = tuple(place for place in finding.places if place[0] not in signed)
    return finding._replace(places=places)


def redactions(
    fired: Iterable[Fired], exchange: Exchange, names: StandIns
) -> Iterator[tuple[int, Edit]]:
    """The edits of redacting rules, each with its priority."""
    for one in fired:
        for finding in one.findings:
            text = _stand_in(one.rule, finding, names)
            for number, start, end in finding.places:
                yield (
                    one.rule.priority,
                    Edit(exchange.parts[number].literal, start, end, text),
                )


def _stand_in(rule: CompiledRule, finding: Finding, names: StandIns) -> str:
    value = finding.view.text[finding.start : finding.end]
    return names.of(rule.id, rule.redact, value)


def _allowed(rule: CompiledRule, allow: CompiledRule) -> bool:
    named = any(fnmatchcase(rule.id, glob) for glob in allow.allows)
    return named and rule.action != "allow" and rule.priority <= allow.priority
