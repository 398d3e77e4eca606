"""Every shipped rule brings its proof, and the proof holds."""

import pytest

from rules.load import PRESETS, shipped
from rules.testing import run, unproven


@pytest.mark.parametrize("preset", PRESETS)
def test_every_test_of_every_shipped_rule_passes(preset: str) -> None:
    results = run(preset, shipped())
    assert len(results) > 50
    assert [(result.rule, result.test.text, result.why) for result in results if result.why] == []


def test_every_shipped_rule_has_at_least_three_of_both_kinds_of_test() -> None:
    assert unproven("default", shipped()) == []
    by_rule: dict[str, list[bool]] = {}
    for result in run("default", shipped()):
        by_rule.setdefault(result.rule, []).append(result.test.must_match)
    assert {rule: kinds for rule, kinds in by_rule.items() if min(kinds.count(True), kinds.count(False)) < 3} == {}


def test_a_failing_test_is_told_as_such() -> None:
    wrong = "earthflow: 1\nrules:\n  - {id: a, action: block, match: {regex: xyz}, tests: [{match: abc}, {ok: xyz}]}\n"
    results = [result for result in run("default", {**shipped(), "t.yaml": wrong}) if result.rule == "a"]
    assert [result.why for result in results] == ["did not fire", "fired"]
