"""What replay says of a record is right: what an exchange would have become under other rules lies in the range it gives."""

import json
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from addons.record.recorder import _fired
from control.replay.outcomes import ORDER, Range, Recorded, differences, outcome
from rules.complaint import BadRules
from rules.evaluate import evaluate
from rules.exchange import HEAD, Direction, Exchange, Part
from rules.layers import ALL, source_of
from rules.load import Library
from tests.properties.test_evaluate import TEXT
from tests.properties.test_tightening import FILE, OVERRIDES, SAYS, SHIPPED
from tests.support.shared import examples

PART = st.tuples(
    TEXT,
    st.sampled_from(["user", "assistant", "tool"]),
    st.sampled_from(["text", "text", "document", "head", "tool_result", "key", "credential"]),
    st.sampled_from(["", "", "", "signed"]),
)  # fmt: skip
PLACED = st.lists(PART, max_size=5)
EXCEPTING = st.dictionaries(
    st.sampled_from(["r.a", "r.b"]),
    st.fixed_dictionaries({"except": st.sampled_from([[{"values": ["alpha"]}], [{"when": {"role": "user"}}]])}),
)  # fmt: skip
CHANGE = st.fixed_dictionaries({"earthflow": st.just(1)}, optional={**SAYS, "overrides": OVERRIDES | EXCEPTING})  # fmt: skip
PRESETS = st.sampled_from(["default", "monitor"])


def exchange_of(parts: list[tuple[str, str, str, str]], direction: Direction, coverage: str) -> Exchange:  # fmt: skip
    return Exchange(
        parts=tuple(
            Part(text, "other" if kind in HEAD else role, kind, -1 if kind in ("document", "head", "credential") else number, signature="" if kind in HEAD else signature)  # type: ignore[arg-type]
            for number, (text, role, kind, signature) in enumerate(parts)
        ),
        unreadable=("image",) if coverage == "none" else (),
        direction=direction,
    )  # fmt: skip


def replayed(before: dict[str, str], after: dict[str, str], preset: str, exchange: Exchange) -> tuple[Range, Any, Any]:  # fmt: skip
    """What replay says; what it was; what it truly becomes."""
    old, new = Library(before, portable=True), Library(after, portable=True)
    assume(
        old.rulebook(preset, "t").of(exchange.direction) is not None
    )  # else there is no record
    was = evaluate(old.rulebook(preset, "t"), exchange)
    truth = evaluate(new.rulebook(preset, "t"), exchange)
    direction = exchange.direction
    books = old.written.assemble(preset, "t"), new.written.assemble(preset, "t")
    record = Recorded(was.action, was.would, exchange.coverage, False, _fired(was))
    told = outcome(record, *books, differences(*books, direction), direction)
    return told, was, truth


@examples(600)
@given(FILE, FILE | CHANGE, PLACED, PRESETS, st.sampled_from(["request", "response"]), st.sampled_from(["full", "none"]))  # fmt: skip
def test_the_truth_lies_in_the_range(before: dict[str, Any], after: dict[str, Any], parts: list[tuple[str, str, str, str]], preset: str, direction: Direction, coverage: str) -> None:  # fmt: skip
    old = {**SHIPPED, ALL: json.dumps(before)}
    exchange = exchange_of(parts, direction, coverage)
    try:
        told, was, truth = replayed(old, {**SHIPPED, ALL: json.dumps(after)}, preset, exchange)  # fmt: skip
    except BadRules:
        assume(False)
    low, high = ORDER.index(told.low), ORDER.index(told.high)
    assert low <= ORDER.index(truth.action) <= high, (told, was.action, truth.action)
    assert bool(told.why) == (low != high)


@examples(600)
@given(FILE, CHANGE, PLACED, PRESETS, st.sampled_from(["request", "response"]))
def test_a_change_on_top_of_the_same_rules(before: dict[str, Any], change: dict[str, Any], parts: list[tuple[str, str, str, str]], preset: str, direction: Direction) -> None:  # fmt: skip
    old = {**SHIPPED, ALL: json.dumps(before)}
    exchange = exchange_of(parts, direction, "full")
    try:
        told, was, truth = replayed(old, {**old, source_of("tenant", "t"): json.dumps(change)}, preset, exchange)  # fmt: skip
    except BadRules:
        assume(False)
    low, high = ORDER.index(told.low), ORDER.index(told.high)
    assert low <= ORDER.index(truth.action) <= high, (told, was.action, truth.action)
