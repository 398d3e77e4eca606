"""Where the findings of a verdict stand, as records tell it: never what was found."""

from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from rules.exchange import HEAD, Exchange
from rules.redact import stand_in
from rules.scan import Finding
from rules.verdict import Fired, Found
from rules.views import Place

# How many findings of one verdict a record has; a rule's count is always exact. Each takes some
# 150 bytes of a record, which a webhook or a table never shows more of.
MAX_FOUND = 100
WITHHELD = "(withheld)"


class Elsewhere(NamedTuple):
    """A redacted value in a text in which no rule found it; `fired` has its finding."""

    fired: Fired
    finding: Finding
    text: int
    start: int
    end: int


def found(
    exchange: Exchange,
    fired: Sequence[Fired],
    elsewhere: Sequence[Elsewhere],
    placeholders: Collection[str],
    key: bytes,
) -> tuple[Found, ...]:
    """The first findings, rule by rule. `placeholders` are those that were put in."""
    touched = _touched(exchange, fired, elsewhere)

    def one(rule: str, number: int, start: int, end: int, text: str, why: str) -> Found:
        part = exchange.parts[number]
        tool = WITHHELD if part.tool in touched else part.tool
        shown = text if text in placeholders else ""
        return Found(rule, number, part.role, part.kind, tool, start, end - start, shown, why)  # fmt: skip

    def all_of_them() -> Iterator[Found]:
        places = set[Place]()
        for which in fired:
            rule = which.rule
            for finding in which.findings:
                text = _placeholder(which, finding, key)
                places.update(finding.places)
                for number, start, end in finding.places:
                    why = _why(which, finding, number, end, exchange)
                    yield one(rule.id, number, start, end, text, why)
        for place in elsewhere:
            if place[2:] in places:
                continue  # a finding by itself
            text = _placeholder(place.fired, place.finding, key)
            yield one(place.fired.rule.id, *place[2:], text, "elsewhere")

    return tuple(islice(all_of_them(), MAX_FOUND))


def _placeholder(fired: Fired, finding: Finding, key: bytes) -> str:
    value = finding.view.text[finding.start : finding.end]
    return stand_in(fired.rule.id, fired.rule.redact, value, key)


def _why(
    fired: Fired, finding: Finding, number: int, end: int, exchange: Exchange
) -> str:
    """What else than the rule decided what became of a finding; empty: nothing."""
    if fired.rule.monitor:
        return "monitor"
    part = exchange.parts[number]
    if part.kind in HEAD:
        return "head"
    if part.signature:
        return "signed"
    if exchange.is_old(number, end):
        return "history"
    return "decoded" if finding.view.depth else ""


def _touched(
    exchange: Exchange, fired: Sequence[Fired], elsewhere: Sequence[Elsewhere]
) -> set[str]:
    """Texts in which something was found: a tool may have such a name."""
    parts = exchange.parts
    touched = {parts[place.text].text for place in elsewhere}
    for which in fired:
        for finding in which.findings:
            touched.update(parts[place[0]].text for place in finding.places)
    return touched - {""}
