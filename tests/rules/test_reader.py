"""A bad rule file is answered with its line, its column, and the likely fix; the golden text is the contract."""

import pytest

from rules.complaint import BadRules
from rules.load import build
from rules.source.rule_file import read
from rules.sources import shipped, version_of

RULE = "earthflow: 1\nrules:\n  - id: a.b\n    action: block\n    match: {regex: x}\n"

BROKEN = {
    "empty": ("", "f.yaml:1:1: error: the file is empty"),
    "not yaml": ("a: [", "f.yaml:2:1: error: not YAML"),
    "tab": ("earthflow: 1\n\trules: []", "f.yaml:2:1: error: not YAML"),
    "a list": ("- 1", "f.yaml:1:1: error: a rule file must be a mapping"),
    "no schema": (
        "rules: []",
        "f.yaml:1:1: error: a rule file needs the key `earthflow`",
    ),
    "other schema": (
        "earthflow: 2",
        "f.yaml:1:12: error: this version reads schema 1 only",
    ),
    "unknown key": (
        RULE + "rulez: []",
        "f.yaml:6:1: error: unknown key `rulez` in a rule file\n",
    ),
    "key twice": (
        RULE.replace("    action: block", "    action: block\n    action: flag"),
        "f.yaml:5:5: error: key `action` stands twice",
    ),
    "id twice": (
        RULE + "  - id: a.b\n    action: flag\n    match: {regex: y}\n",
        "f.yaml:6:5: error: rule id `a.b` is already used on line 3",
    ),
    "bad action": (
        RULE.replace("block", "blok"),
        "f.yaml:4:13: error: `blok` is not a valid action",
    ),
    "bad id": (RULE.replace("a.b", "A B"), "f.yaml:3:9: error: `A B` is not a rule id"),
    "bad mode": (RULE + "    mode: on", "f.yaml:6:11: error: `on` is not a valid mode"),
    "bad priority": (
        RULE + "    priority: 9999",
        "f.yaml:6:15: error: `9999` is not a valid priority",
    ),
    "no action": (
        RULE.replace("    action: block\n", ""),
        "f.yaml:3:5: error: rule `a.b` has neither `action` nor `score`",
    ),
    "neither when nor match": (
        "earthflow: 1\nrules:\n  - {id: a, action: block}",
        "f.yaml:3:5: error: rule `a` says neither",
    ),
    "redact without match": (
        "earthflow: 1\nrules:\n  - {id: a, action: redact, when: {model: x}}",
        "redacts but has no `match`",
    ),
    "allow without allows": (
        "earthflow: 1\nrules:\n  - {id: a, action: allow, when: {model: x}}",
        "belong together",
    ),
    "two kinds of match": (
        RULE.replace("{regex: x}", "{regex: x, keywords: y}"),
        "f.yaml:5:12: error: a match is one of",
    ),
    "unknown when": (
        RULE + "    when: {rol: user}",
        "f.yaml:6:12: error: unknown field `rol` in `when`",
    ),
    "bad role": (
        RULE + "    when: {role: usr}",
        "f.yaml:6:18: error: `usr` is not a valid role",
    ),
    "answers": (
        RULE + "    when: {direction: answer}",
        "f.yaml:6:23: error: `answer` is not a valid direction",
    ),
    "bad size": (
        RULE + '    when: {size: "big"}',
        "f.yaml:6:18: error: `size` takes one comparison",
    ),
    "bad placeholder": (
        RULE + "    redact: {with: 'a\"b'}",
        "a placeholder is plain text",
    ),
    "alias": (
        "earthflow: 1\nname: &a x\nrules: []",
        "f.yaml:2:7: error: anchors and aliases are not supported",
    ),
    "deep": (
        "earthflow: 1\nrules: " + "[" * 50 + "]" * 50,
        "nested deeper than 20 levels",
    ),
    "huge": ("#" * 1_000_001, "larger than 1,000,000 bytes"),
    "a test of nothing": (
        RULE + "    tests: [{redacted: x}]",
        "f.yaml:6:13: error: a test says either `match`",
    ),
    "control character": ("earthflow: 1\nname: \x07", "not YAML"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_file_gets_its_complaint(case: str) -> None:
    text, complaint = BROKEN[case]
    with pytest.raises(BadRules) as caught:
        read("f.yaml", text)
    assert complaint in str(caught.value)


def test_a_complaint_shows_the_line_a_caret_and_the_likely_word() -> None:
    with pytest.raises(BadRules) as caught:
        read("team.yaml", RULE.replace("block", "blok"))
    assert str(caught.value) == (
        "team.yaml:4:13: error: `blok` is not a valid action\n"
        " 4 |     action: blok\n"
        "   |             ^^^^\n"
        "   = help: did you mean `block`?"
    )


def test_all_faults_of_a_file_are_told_at_once() -> None:
    with pytest.raises(BadRules) as caught:
        read("f.yaml", RULE.replace("block", "blok") + "    mode: loud\nnome: x\n")
    assert len(caught.value.complaints) == 3


def test_words_that_yaml_takes_for_booleans_stay_words() -> None:
    file = read(
        "f.yaml",
        "earthflow: 1\nrules:\n  - id: a\n    action: block\n    match: {keywords: [on, no, 1_0, null]}\n",
    )
    assert file.rules[0].match is not None
    assert file.rules[0].match.members[0].keywords == ("on", "no", "1_0", "null")


BAD_PATTERNS = {
    "look-behind": ("(?<!a)b", "not linear-time (RE2)"),
    "back-reference": (r"(a)\1", "not linear-time (RE2)"),
    "empty": ("a*", "matches the empty text"),
    "text anchor": (r"\Aabc", "not supported"),
    "flag off": ("(?-m)^abc", "cannot be switched off"),
    "unbalanced": ("a(", "not linear-time (RE2)"),
    "too big": ("(?:[a-z]{1000}){1000}", "not linear-time (RE2)"),
}


@pytest.mark.parametrize("case", BAD_PATTERNS)
def test_a_pattern_that_cannot_be_used_is_refused_with_its_place(case: str) -> None:
    pattern, complaint = BAD_PATTERNS[case]
    text = f"earthflow: 1\nrules:\n  - id: a\n    action: block\n    match: {{regex: '{pattern}'}}\n"
    with pytest.raises(BadRules) as caught:
        build("default", {**shipped(), "team.yaml": text})
    assert str(caught.value).startswith("team.yaml:5:20: error: ")
    assert complaint in str(caught.value)


def test_a_redacting_rule_must_not_find_its_own_placeholder() -> None:
    text = "earthflow: 1\nrules:\n  - {id: a, action: redact, match: {regex: '[A-Z]{8}'}}\n"
    with pytest.raises(BadRules, match="its own placeholder"):
        build("default", {**shipped(), "team.yaml": text})


def test_what_extends_or_overrides_nothing_is_a_complaint() -> None:
    for line in (
        "extends: [earthflow/credentails]",
        "overrides: {'credentails.*': {mode: off}}",
    ):
        with pytest.raises(BadRules) as caught:
            build("default", {**shipped(), "team.yaml": f"earthflow: 1\n{line}\n"})
        assert "team.yaml:2:" in str(caught.value)


def test_the_version_changes_with_any_source_and_only_then() -> None:
    sources = shipped()
    assert version_of("default", sources) == version_of(
        "default", dict(reversed(sources.items()))
    )
    assert version_of("default", sources) != version_of(
        "default", {**sources, "team.yaml": "earthflow: 1\n"}
    )
    assert version_of("default", sources) != version_of("monitor", sources)


def test_a_preset_that_is_not_there_is_a_complaint() -> None:
    with pytest.raises(BadRules, match="there is no preset `stricter`"):
        build("stricter", shipped())
