"""What a record's findings come to under a rulebook: the actions that are possible, from the weakest to the strongest.

A record has every rule that fired, and where its first findings stand, but no text. So a rule that was there and did not fire is
known not to; what a new one would have found is not known. The steps are those of rules/case.py, with a range where a record
does not decide: a redaction blocks where its value stands in a place that cannot be edited, too.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from fnmatch import fnmatchcase
from typing import NamedTuple

from contract.decision import CUT, Action, Completion, Decision, Fired, Found
from rules.case import UNREAD
from rules.complaint import Mark
from rules.condition import said_of
from rules.exchange import HEAD, UNEDITED, Direction
from rules.model import PRIORITY, Rule
from rules.sources import Assembled

ORDER: Sequence[Action] = ("ALLOW", "FLAG", "REDACT", "BLOCK")
# What a rule says, but not what it looks for: without tests, words for people, and what only an answer gets back.
ACTING = ("action", "mode", "priority", "severity", "score", "allows", "head")
FINDING = ("when", "match", "expires", "direction")


class Range(NamedTuple):
    """The weakest and the strongest action that is possible; `why` they differ, where they do."""

    low: Action
    high: Action
    why: str = ""


class Changes(NamedTuple):
    """What differs between the rules that a record was made by and others: rules that may find what none did, `unknown`; that
    leave alone some of what they found, `narrowed`; and of rules that find the same, what they do, `acting`.
    """

    unknown: frozenset[str]
    narrowed: frozenset[str]
    acting: frozenset[str]
    scoring: bool  # thresholds, or what of the history counts
    silent: bool = False  # there is no rule for such exchanges any more

    @property
    def none(self) -> bool:
        """Whether the same is found, and the same done."""
        return not (self.unknown or self.narrowed or self.acting or self.scoring)


class Recorded(NamedTuple):
    """A record as far as rules are concerned: of a call, or of its answer."""

    action: Action
    would: Action | None
    coverage: str
    cut: bool
    rules: Sequence[Fired]


def recorded_of(record: Decision | Completion) -> Recorded | None:
    """What rules did; None where no rule was asked."""
    if record.action is None:
        return None
    return Recorded(
        record.action,
        record.would,
        record.coverage,
        CUT in record.unreadable,
        record.rules,
    )


def differences(before: Assembled, after: Assembled, direction: Direction) -> Changes:
    """What differs between two rulebooks for calls, or for answers."""
    unknown, narrowed, acting = set[str](), set[str](), set[str]()
    for id in before.rules.keys() | after.rules.keys():
        old, new = (_speaking(book.rules.get(id), direction) for book in (before, after))  # fmt: skip
        if old is new or (old is None and new is None):
            continue
        if new is None:
            acting.add(id)
        elif old is None or _said(old, FINDING) != _said(new, FINDING):
            unknown.add(id)
        else:
            left_alone = [
                _bare(replace(one, tests=(), source="")) for one in old.except_
            ]
            now = [_bare(replace(one, tests=(), source="")) for one in new.except_]
            if any(one not in now for one in left_alone):
                unknown.add(id)
            elif any(one not in left_alone for one in now):
                narrowed.add(id)
            if _said(old, ACTING) != _said(new, ACTING):
                acting.add(id)
    sums = [_bare(tuple(sorted(book.thresholds.items()))) for book in (before, after)]
    scoring = sums[0] != sums[1] or before.history != after.history
    speaking = any(_speaking(one, direction) for one in after.rules.values())
    silent = direction == "response" and not speaking
    return Changes(
        frozenset(unknown), frozenset(narrowed), frozenset(acting), scoring, silent
    )


def _said(rule: Rule, fields: Iterable[str]) -> object:
    return [_bare(getattr(rule, one)) for one in fields]


def _bare(value: object) -> object:
    """What was written, without where."""
    if isinstance(value, Mark):
        return None
    if isinstance(value, tuple):
        return tuple(map(_bare, value))
    if is_dataclass(value) and not isinstance(value, type):
        return type(value).__name__, *(
            _bare(getattr(value, one.name)) for one in fields(value)
        )
    return value


def outcome(
    record: Recorded,
    before: Assembled,
    after: Assembled,
    changes: Changes,
    direction: Direction,
    whole: bool = True,
) -> Range:
    """What a record that was made by the rules `before` would be under those `after`. `whole`: it was judged at once, and is no
    stream.
    """
    if record.cut:
        return Range("ALLOW", "BLOCK", "record_cut")
    if changes.silent:  # nothing is read then
        return Range("ALLOW", "ALLOW")
    fired = {one.rule for one in record.rules}
    moved = fired & (changes.acting | changes.narrowed | changes.unknown)
    scores = changes.scoring and bool(fired)
    if not whole and (moved or scores):
        # The rest of a stream that was blocked was not read, and what was found late in one was only flagged.
        return Range("ALLOW", "BLOCK", "stream")
    if not moved and not scores:
        known = Range(record.action, record.action)
    elif (
        not scores
        and not fired & changes.narrowed
        and _only_enforces(moved, record, before, after)
    ):
        known = Range(record.would or record.action, record.would or record.action)
    else:
        known = _known(record, before, after, changes, direction)
    return _with_unknown(known, after, changes, direction)


def _with_unknown(
    known: Range, after: Assembled, changes: Changes, direction: Direction
) -> Range:
    """The range, widened by what rules would have found of which nobody knows."""
    low, high = known.low, known.high
    for id in changes.unknown:
        rule = _speaking(after.rules.get(id), direction)
        if rule is None or rule.mode != "enforce":
            continue
        if rule.action == "allow":
            low = "ALLOW"
        elif rule.action is not None:
            # What is redacted may stand where it cannot be.
            high = _most(high, "FLAG" if rule.action == "flag" else "BLOCK")
        for name, _ in rule.score:
            high = _most(high, *_reachable(after, name))
    if (low, high) == (known.low, known.high):
        return known
    return Range(low, high, "new_rules")


def _only_enforces(
    moved: Iterable[str], record: Recorded, before: Assembled, after: Assembled
) -> bool:
    """Whether all that changed is that every monitored rule that fired is enforced: of that the record itself tells."""
    monitored = {one.rule for one in record.rules if one.would}
    if monitored != set(moved):
        return False
    for id in monitored:
        old, new = before.rules[id], after.rules.get(id)
        if new is None:
            return False
        same = all(getattr(old, one) == getattr(new, one) for one in ACTING if one != "mode")  # fmt: skip
        if not same or new.mode != "enforce":
            return False
    return True


def _known(
    record: Recorded,
    before: Assembled,
    after: Assembled,
    changes: Changes,
    direction: Direction,
) -> Range:
    """What the rules that fired come to."""
    surely, perhaps = _standing(record, after, changes, direction)
    low = _action(record, before, after, changes, surely, direction).low
    high = _action(record, before, after, changes, perhaps, direction).high
    allows = [one for one, _ in perhaps if one.action == "allow" and one.id in changes.narrowed]  # fmt: skip
    if allows:  # it may let less pass, or what it let pass
        low = "ALLOW"
        without = [one for one in perhaps if one[0] not in allows]
        high = _most(high, _action(record, before, after, changes, without, direction).high)  # fmt: skip
    # What is demanded of a text with a signature may be another now.
    if any(
        found.why in ("signed", "monitor")
        for one in record.rules
        for found in one.findings
    ):
        for rule in after.rules.values():
            if (
                rule.mode == "enforce"
                and _follows(rule)
                and rule.action not in (None, "allow")
            ):
                high = _most(high, "FLAG" if rule.action == "flag" else "BLOCK")
    if low == high:
        return Range(low, high)
    narrowed = any(one.rule in changes.narrowed for one in record.rules)
    return Range(low, high, "exceptions" if narrowed else "places")


type _Standing = list[tuple[Rule, Fired]]


def _standing(
    record: Recorded, after: Assembled, changes: Changes, direction: Direction
) -> tuple[_Standing, _Standing]:
    """The rules that fire and act: surely, and perhaps."""
    surely: _Standing = []
    perhaps: _Standing = []
    for one in record.rules:
        rule = _speaking(after.rules.get(one.rule), direction)
        if rule is None or rule.mode != "enforce" or rule.id in changes.unknown:
            continue
        perhaps.append((rule, one))
        if rule.id not in changes.narrowed and not _follows(rule):
            surely.append((rule, one))
    return surely, perhaps


def _follows(rule: Rule) -> bool:
    """Whether a rule fires for what becomes of others' findings: that a text with a signature is not edited."""
    return not said_of(rule.when, "unreadable").isdisjoint(UNEDITED)


def _action(
    record: Recorded,
    before: Assembled,
    after: Assembled,
    changes: Changes,
    standing: _Standing,
    direction: Direction,
) -> Range:
    allows = [rule for rule, _ in standing if rule.action == "allow"]
    left = [(rule, one) for rule, one in standing if not _allowed(rule.id, rule.action, rule.weight, allows)]  # fmt: skip
    ranges = [_scored(left, allows, after)]
    for rule, one in left:
        if rule.action in ("flag", "redact", "block"):
            found = _of_rule(rule, one, after.history, direction)
            ranges.append(_held(found, rule, record, before, changes))
    if not left and record.coverage == "none":
        passes = any(fnmatchcase(UNREAD, glob) for rule in allows for glob in rule.allows)  # fmt: skip
        ranges.append(Range("ALLOW" if passes else "FLAG", "FLAG"))
    return Range(_most(*(one.low for one in ranges)), _most(*(one.high for one in ranges)))  # fmt: skip


def _held(
    found: Range, rule: Rule, record: Recorded, before: Assembled, changes: Changes
) -> Range:
    """What a rule comes to, where it did the same before: then not more than what was done."""
    did_the_same = rule.id not in changes.acting and not changes.scoring
    moved = changes.acting | changes.narrowed | changes.unknown
    # What an `allow` that is another now took away was not done then.
    allows = any(
        before.rules[one.rule].action == "allow"
        for one in record.rules
        if one.rule in moved & before.rules.keys()
    )
    if not did_the_same or allows or before.rules[rule.id].mode != "enforce":
        return found
    return Range(found.low, min(found.high, record.action, key=ORDER.index))


def _of_rule(rule: Rule, one: Fired, history: str, direction: Direction) -> Range:
    """What one rule's findings come to."""
    demanded: Action = rule.action.upper()  # type: ignore[assignment,union-attr]
    if not one.count:  # the call as a whole
        return Range(demanded, demanded)
    ranges = [_of_finding(rule, demanded, found, history, direction) for found in one.findings]  # fmt: skip
    if one.count > len(one.findings):
        ranges.append(Range("ALLOW", "FLAG" if demanded == "FLAG" else "BLOCK"))
    return Range(_most(*(one.low for one in ranges)), _most(*(one.high for one in ranges)))  # fmt: skip


def _of_finding(
    rule: Rule, demanded: Action, found: Found, history: str, direction: Direction
) -> Range:
    most: Action = "FLAG" if demanded == "FLAG" else "BLOCK"
    # Whether it stood in a turn that was answered is not always told.
    if history == "ignore" and found.why in ("history", "monitor", "signed", "elsewhere"):  # fmt: skip
        return Range("ALLOW", most)
    if demanded == "FLAG":
        return Range("FLAG", "FLAG")
    if found.why == "signed":
        return Range("FLAG", most)
    if found.kind in HEAD or (found.kind == "document" and demanded == "REDACT"):
        if rule.head == "flag" or (rule.head == "refuse" and found.kind == "credential"):  # fmt: skip
            return Range("FLAG", most)
        # A document may be bound to a signature.
        sure = found.kind in HEAD or found.why != "monitor"
        return Range("BLOCK" if sure else "FLAG", "BLOCK")
    if found.why == "history":
        return Range("BLOCK" if demanded == history.upper() == "BLOCK" else "ALLOW", most)  # fmt: skip
    if found.why in (
        "monitor",
        "elsewhere",
    ):  # where it stood in the conversation is not told
        return Range("ALLOW", most)
    if demanded == "BLOCK" or found.kind == "key":
        return Range("BLOCK", "BLOCK")
    return Range("REDACT", "BLOCK")


def _scored(left: _Standing, allows: Sequence[Rule], after: Assembled) -> Range:
    """What the scores of the rules that fired come to."""
    ranges = [Range("ALLOW", "ALLOW")]
    for name, threshold in after.thresholds.items():
        points = [(value, one) for rule, one in left for score, value in rule.score if score == name]  # fmt: skip
        total = sum(value for value, _ in points)
        sure = sum(value for value, one in points if _is_new(one))
        id = f"score.{name}"
        if threshold.block is not None and total >= threshold.block and not _allowed(id, "block", _WEIGHT, allows):  # fmt: skip
            ranges.append(Range("BLOCK" if sure >= threshold.block else "ALLOW", "BLOCK"))  # fmt: skip
        elif threshold.flag is not None and total >= threshold.flag and not _allowed(id, "flag", _WEIGHT, allows):  # fmt: skip
            ranges.append(Range("FLAG" if sure >= threshold.flag else "ALLOW", "FLAG"))
    return Range(_most(*(one.low for one in ranges)), _most(*(one.high for one in ranges)))  # fmt: skip


_WEIGHT = PRIORITY["high"]  # of a threshold that is reached


def _is_new(one: Fired) -> bool:
    """Whether some of what a rule found is no history, for sure."""
    return not one.count or any(found.why in ("", "decoded") for found in one.findings)


def _reachable(after: Assembled, name: str) -> list[Action]:
    """What a score may come to."""
    threshold: Mapping[str, int | None] = {}
    if name in after.thresholds:
        one = after.thresholds[name]
        threshold = {"FLAG": one.flag, "BLOCK": one.block}
    return [action for action in ORDER if threshold.get(action) is not None]


def _allowed(id: str, action: str | None, weight: int, allows: Iterable[Rule]) -> bool:
    """Whether an `allow` takes a rule away (rules/case.py)."""
    return action != "allow" and any(
        weight <= allow.weight and any(fnmatchcase(id, glob) for glob in allow.allows)
        for allow in allows
    )


def _speaking(rule: Rule | None, direction: Direction) -> Rule | None:
    """The rule, where it is on, and judges calls, or answers."""
    if rule is None or rule.mode == "off":
        return None
    both = rule.direction == "any" or bool(said_of(rule.when, "direction"))
    of = "response" if rule.direction == "response" else "request"
    return rule if both or of == direction else None


def _most(*actions: Action) -> Action:
    return max(actions, key=ORDER.index, default="ALLOW")
