"""Where the findings of a verdict stand, as records tell it: never what was found."""

from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from rules.exchange import HEAD, Exchange
from rules.redact import StandIns
from rules.scan import Finding
from rules.verdict import Fired, Found

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


def found_in(
    exchange: Exchange,
    fired: Sequence[Fired],
    elsewhere: Sequence[Elsewhere],
    placeholders: Collection[str],
    names: StandIns,
) -> tuple[Found, ...]:
    """The first findings, rule by rule. `placeholders` are those that were put in."""
    has_tools = any(part.tool for part in exchange.parts)
    touched = _touched(exchange, fired, elsewhere) if has_tools else set()

    def one(rule: str, number: int, start: int, end: int, text: str, why: str) -> Found:
        part = exchange.parts[number]
        tool = WITHHELD if part.tool in touched else part.tool
        shown = text if text in placeholders else ""
        return Found(rule, number, part.role, part.kind, tool, start, end - start, shown, why)  # fmt: skip

    def all_of_them() -> Iterator[Found]:
        for which in fired:
            rule = which.rule
            for finding in which.findings:
                text = _placeholder(which, finding, names)
                for number, start, end in finding.places:
                    why = _why(which, finding, number, end, exchange)
                    yield one(rule.id, number, start, end, text, why)
        for place in elsewhere:
            text = _placeholder(place.fired, place.finding, names)
            yield one(place.fired.rule.id, *place[2:], text, "elsewhere")

    return tuple(islice(all_of_them(), MAX_FOUND))


def _placeholder(fired: Fired, finding: Finding, names: StandIns) -> str:
    value = finding.view.text[finding.start : finding.end]
    return names.of(fired.rule.id, fired.rule.redact, value)


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
