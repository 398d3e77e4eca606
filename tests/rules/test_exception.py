"""Exceptions that are made from a hit: for each shipped rule there is one whose tests pass, and that takes nothing else away."""

import pytest

from rules.complaint import BadRules
from rules.evaluate import evaluate
from rules.exception import By, Cannot, Place, added, for_place, for_values, removed
from rules.exchange import Exchange, Part
from rules.layers import source_of
from rules.load import Library
from rules.model import Rule
from rules.rulebook import Rulebook
from rules.sources import shipped
from rules.testing import run
from tests.support.shared import library, thorough

LAYER = source_of("exceptions", "t")
KEY = b"the tenant's"
RESULT = Place("tool", "tool_result", "Read", "/v1/chat/completions")
# Of many alike rules some are enough, but in the long run.
EACH = 12


def rules_with_content() -> tuple[Rulebook, list[Rule]]:
    known = library(dict(shipped()), portable=True)
    rules = known.written.assemble("strict", "t").rules.values()
    wanted = [one for one in rules if one.match is not None and one.mode != "off"]
    return known.rulebook("strict", "t"), wanted[:: 1 if thorough() else EACH]


def with_layer(text: str) -> Library:
    return Library({**shipped(), LAYER: text}, portable=True)


@pytest.mark.parametrize("by", ["value", "anywhere", "tool", "path", "role"])
def test_each_shipped_rule_has_an_exception_that_its_tests_prove(by: By) -> None:
    book, rules = rules_with_content()
    text, none = "", []
    for rule in rules:
        try:
            if by in ("value", "anywhere"):
                place = RESULT if by == "value" else None
                made = for_values(book, rule, {"a value of the client's"}, KEY, place)
            else:
                made = for_place(book, rule, by, RESULT)
        except Cannot:
            none.append(rule.id)
            continue
        text = added(text, rule.id, {**made, "from": "an exchange"})
    if by in ("path", "anywhere"):
        assert set(none) <= {
            "tools.placeholder-to-file",
            "tools.placeholder-in-command",
        }
    assert len(none) < len(rules) / 4
    changed = with_layer(text)
    results = list(run(changed, "strict", "t", files={LAYER}))
    assert len(results) >= 2 * (len(rules) - len(none))
    assert [(one.rule.id, one.why) for one in results if one.why] == []
    if by != "anywhere":  # whose made-up values are of these tests
        ids = {rule.id for rule in rules}
        lost = [
            (one.rule.id, one.why) for one in run(changed, "strict", "t") if one.why
        ]
        assert [one for one in lost if one[0] in ids] == []
    assert removed(text, "an exchange") == ("", len(rules) - len(none))
    assert removed(text, "another") == (text, 0)


def card_rule(book: Library) -> tuple[Rulebook, Rule]:
    return book.rulebook("default", "t"), book.written.assemble("default", "t").rules["personal.card"]  # fmt: skip


def status(book: Rulebook, text: str, place: Place, key: bytes = KEY) -> str:
    part = Part(text, place.role, place.kind, 0, place.tool)  # type: ignore[arg-type]
    return evaluate(book, Exchange(parts=(part,)), key=key).action


def test_a_value_is_known_by_its_hash_under_the_tenants_key_and_where_it_stood() -> (
    None
):
    book, rule = card_rule(library(dict(shipped()), portable=True))
    user = Place("user", "text")
    text = "my card is 4539 1488 0343 6467"
    made = for_values(book, rule, {"4539 1488 0343 6467"}, KEY, RESULT)
    layered = with_layer(added("", rule.id, {**made, "from": "x"})).rulebook("default", "t")  # fmt: skip
    assert status(layered, text, RESULT) == "ALLOW"
    assert status(layered, text, user) == "REDACT"
    assert status(layered, text, RESULT._replace(tool="Bash")) == "REDACT"
    assert status(layered, text, RESULT, b"another tenant's") == "REDACT"
    assert status(layered, "my card is 4716 4615 8332 2103", RESULT) == "REDACT"


def test_a_value_in_other_letters_is_another_value() -> None:
    known = library(dict(shipped()), portable=True)
    rule = known.written.assemble("default", "t").rules["credentials.github-token"]
    token = "ghp_aB3dE5fG7hI9jK1lM3nO5pQ7rS9tU1vW3xY5"
    made = for_values(known.rulebook("default", "t"), rule, {token}, KEY, None)
    layered = with_layer(added("", rule.id, {**made, "from": "x"})).rulebook("default", "t")  # fmt: skip
    user = Place("user", "text")
    assert status(layered, f"use {token} here", user) == "ALLOW"
    assert status(layered, f"use ghp_{token[4:].swapcase()} here", user) == "REDACT"


def test_what_a_rule_is_for_is_no_exception() -> None:
    book, rules = rules_with_content()
    known = library(dict(shipped()), portable=True).written.assemble("strict", "t").rules  # fmt: skip
    with pytest.raises(Cannot, match="what the rule is for"):
        for_values(book, known["injection.cancel.en"], {"Ignore all previous instructions"}, KEY, None)  # fmt: skip
    with pytest.raises(Cannot, match="let all pass"):
        for_place(book, rules[0], "role", Place("user", "text"))
    with pytest.raises(Cannot, match="no call and no result of a tool"):
        for_place(book, rules[0], "tool", Place("user", "text"))
    with pytest.raises(Cannot, match="path"):
        for_place(book, rules[0], "path", Place("user", "text"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("overrides: {personal.card: {except: {hashes: [abc]}}}", "64 hexadecimal digits"),
        ("overrides: {personal.card: {except: {from: x}}}", "or says `when`"),
        ("overrides: {coverage.unknown-path: {except: {when: {role: user}}}}", "has no `match` to make exceptions from"),
        ("overrides: {personal.card: {except: []}}", "takes nothing away"),
    ],
)  # fmt: skip
def test_an_exception_that_cannot_be_is_refused_by_line(text: str, said: str) -> None:
    with pytest.raises(BadRules, match=said):
        with_layer(f"earthflow: 1\n{text}\n").rulebook("default", "t")
