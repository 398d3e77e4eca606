"""A tenant's own layer only tightens: with it, no call gets through that would not without it, and no more comes back in an answer."""

import json
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from rules.complaint import BadRules
from rules.evaluate import evaluate
from rules.exchange import Direction, Exchange, Part
from rules.layers import ALL, source_of
from rules.load import Library
from tests.properties.test_evaluate import STRENGTH, TEXT, WORDS
from tests.support.shared import examples

SHIPPED = {
    "earthflow/default": "earthflow: 1\n",
    "earthflow/strict": "earthflow: 1\n",
    "earthflow/monitor": 'earthflow: 1\noverrides: {"*": {mode: monitor}}\n',
}
MODES = st.sampled_from(["enforce", "monitor", "off"])
ACTIONS = st.sampled_from(["flag", "redact", "block"])
RESTORES = st.sampled_from(["none", "text", "files", "all"])
RULE = st.fixed_dictionaries(
    {
        "id": st.sampled_from(["r.a", "r.b", "r.c"]),
        "match": st.sampled_from(WORDS).map(lambda word: {"keywords": word}),
        "priority": st.integers(0, 1000),
    },
    optional={
        "mode": MODES,
        "score": st.just({"odd": 3}),
        "head": st.sampled_from(["flag", "refuse", "always"]),
        "when": st.sampled_from(
            [{"part": "text"}, {"role": "user"}, {"part": "document"}]
        ),
    },
)
JUDGING = st.builds(lambda rule, action: {**rule, "action": action}, RULE, ACTIONS)
REDACTING = st.builds(
    lambda rule, restore: {**rule, "action": "redact", "redact": {"restore": restore}},
    RULE,
    RESTORES,
)
PLACED = st.lists(
    st.tuples(
        TEXT,
        st.sampled_from(["user", "assistant", "tool"]),
        st.sampled_from(["text", "text", "document", "head", "tool_result"]),
    ),
    max_size=5,
)
ALLOWING = st.builds(
    lambda rule: {**rule, "action": "allow", "allows": ["r.*", "score.odd"]}, RULE
)
OVERRIDES = st.dictionaries(
    st.sampled_from(["r.*", "r.a", "r.b", "*"]),
    st.fixed_dictionaries(
        {},
        optional={
            "action": ACTIONS,
            "mode": MODES,
            "direction": st.sampled_from(["request", "response", "any"]),
            "head": st.sampled_from(["flag", "refuse", "always"]),
            "priority": st.integers(0, 1000),
            "restore": RESTORES,
        },
    ).filter(bool),
)
THRESHOLD: st.SearchStrategy[dict[str, int]] = st.fixed_dictionaries(
    {}, optional={"flag": st.integers(1, 5), "block": st.integers(5, 9)}
)
SAYS: dict[str, st.SearchStrategy[Any]] = {
    "rules": st.lists(JUDGING | REDACTING | ALLOWING, unique_by=lambda one: one["id"]),
    "overrides": OVERRIDES,
    "history": st.sampled_from(["redact", "block", "ignore"]),
    "restore": RESTORES,
    "thresholds": THRESHOLD.filter(bool).map(lambda one: {"odd": one}),
}
FILE = st.fixed_dictionaries({"earthflow": st.just(1)}, optional=SAYS)


@examples(300)
@given(FILE, FILE, FILE, PLACED, st.sampled_from(["default", "monitor"]), st.sampled_from(["request", "response"]))  # fmt: skip
def test_an_own_layer_never_lets_more_through(
    files: dict[str, object],
    operators: dict[str, object],
    own: dict[str, object],
    parts: list[tuple[str, str, str]],
    preset: str,
    direction: Direction,
) -> None:
    sources = {
        **SHIPPED,
        ALL: json.dumps(files),
        source_of("tenant", "t"): json.dumps(operators),
    }
    exchange = Exchange(
        parts=tuple(
            Part(text, role, kind, -1 if kind in ("document", "head") else number)  # type: ignore[arg-type]
            for number, (text, role, kind) in enumerate(parts)
        ),
        direction=direction,
    )
    try:
        without = Library(sources, portable=True).rulebook(preset, "t")
        with_own = Library(
            {**sources, source_of("own", "t"): json.dumps(own)}, portable=True
        ).rulebook(preset, "t")
    except BadRules:  # an override that hits no rule, or makes one redact nothing
        assume(False)
    before, after = evaluate(without, exchange), evaluate(with_own, exchange)
    assert STRENGTH[after.action] >= STRENGTH[before.action]
    if after.action == "REDACT":
        covered = {(edit.literal, at) for edit in after.edits for at in range(edit.start, edit.end)}  # fmt: skip
        assert {(edit.literal, at) for edit in before.edits for at in range(edit.start, edit.end)} <= covered  # fmt: skip
        kept = {text[edit.start : edit.end] for text, *_ in parts for edit in before.edits} - {one.value for one in before.restore}  # fmt: skip
        assert not kept & {one.value for one in after.restore}
