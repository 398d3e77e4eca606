"""Every shipped rule brings its proof, and the proof holds."""

import json
from dataclasses import replace

import pytest

from rules.evaluate import evaluate
from rules.redact import splice
from rules.sources import PRESETS, shipped
from rules.testing import exchange_of, proven, run, unproven
from tests.support.shared import library


@pytest.mark.parametrize("preset", PRESETS)
def test_every_test_of_every_shipped_rule_passes(preset: str) -> None:
    results = list(run(library(shipped()), preset))
    assert len(results) > 4_000
    assert [
        (result.rule.id, result.test.text or result.test.context, result.why)
        for result in results
        if result.why
    ] == []


def test_there_are_three_hundred_rules_and_each_has_three_tests_of_both_kinds() -> None:
    rules = library(shipped()).written.assemble("default").rules
    assert len(rules) >= 300
    assert unproven(rules.values()) == []


def test_every_shipped_rule_says_why() -> None:
    assert [
        rule.id
        for rule in library(shipped()).written.assemble("default").rules.values()
        if not rule.message
    ] == []


def test_hyperscan_takes_every_shipped_pattern_and_misses_none_of_the_tests() -> None:
    kept = library(shipped())
    assert kept.rulebook("default").scanner.refused == ()
    assert proven(kept, PRESETS) is kept


def test_both_engines_find_the_same_in_every_test_of_every_shipped_rule() -> None:
    books = [
        library(shipped(), portable=portable).rulebook("default")
        for portable in (True, False)
    ]
    assert [book.scanner.engine for book in books] == ["portable", "hyperscan"]
    for rule in library(shipped()).written.assemble("default").rules.values():
        for test in rule.tests:
            slow, fast = (evaluate(book, exchange_of(test, rule)) for book in books)
            assert (slow.action, slow.edits) == (fast.action, fast.edits), (
                rule.id,
                test.text,
            )
            assert [
                (one.rule.id, {f.places for f in one.findings}) for one in slow.fired
            ] == [(one.rule.id, {f.places for f in one.findings}) for one in fast.fired]


def test_a_failing_test_is_told_as_such() -> None:
    wrong = "earthflow: 1\nrules:\n  - {id: a, action: block, match: {regex: xyz}, tests: [{match: abc}, {ok: xyz}]}\n"
    broken = library({**shipped(), "t.yaml": wrong}, portable=True)
    assert [result.why for result in run(broken, "default", files={"t.yaml"})] == [
        "did not fire",
        "fired",
    ]


def test_what_was_redacted_once_is_not_redacted_again() -> None:
    kept = library(shipped())
    book = kept.rulebook("default")
    redacted = 0
    for rule in kept.written.assemble("default").rules.values():
        for test in rule.tests:
            exchange = exchange_of(test, rule)
            verdict = evaluate(book, exchange)
            if verdict.action == "REDACT":
                redacted += 1
                body = json.dumps([part.text for part in exchange.parts]).encode()
                left = json.loads(splice(body, verdict.edits))
                parts = tuple(
                    part._replace(text=text)
                    for part, text in zip(exchange.parts, left, strict=True)
                )
                assert evaluate(book, replace(exchange, parts=parts)).edits == (), (
                    rule.id,
                    test.text,
                )
    assert redacted > 1_500
