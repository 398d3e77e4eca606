"""The algorithm of a verdict: actions, priorities, scoped allows, monitor mode, coverage."""

import pytest

from addons.calls.clean_texts import CleanTexts
from rules.evaluate import evaluate
from rules.exchange import NOWHERE, Exchange, Part
from rules.load import build
from rules.verdict import Verdict

BARE = {"earthflow/default": "earthflow: 1\n", "earthflow/monitor": "earthflow: 1\n"}


def judge(rules: str, *texts: str, **context: object) -> Verdict:
    """The verdict on a user's texts under these rules (lines of a `rules:` list)."""
    lines = "".join(f"  - {line}\n" for line in rules.strip().splitlines())
    book = build("default", {**BARE, "team.yaml": f"earthflow: 1\nrules:\n{lines}"})
    parts = tuple(
        Part(text, "user", "text", number) for number, text in enumerate(texts)
    )
    return evaluate(book, Exchange(parts=parts, **context))  # type: ignore[arg-type]


def test_without_a_finding_a_call_is_allowed() -> None:
    assert (
        judge("{id: a, action: block, match: {regex: secret}}", "hello").action
        == "ALLOW"
    )


@pytest.mark.parametrize(
    ("action", "outcome"), [("flag", "FLAG"), ("redact", "REDACT"), ("block", "BLOCK")]
)
def test_each_action_has_its_outcome(action: str, outcome: str) -> None:
    assert (
        judge(
            f"{{id: a, action: {action}, match: {{regex: secret}}}}", "a secret"
        ).action
        == outcome
    )


def test_block_outweighs_redact_outweighs_flag() -> None:
    rules = "{id: a, action: flag, match: {regex: x}}\n{id: b, action: redact, match: {regex: y}}\n{id: c, action: block, match: {regex: z}}"
    assert [judge(rules, text).action for text in ("x", "x y", "x y z")] == [
        "FLAG",
        "REDACT",
        "BLOCK",
    ]


def test_a_block_is_named_by_the_rule_of_highest_priority() -> None:
    verdict = judge(
        "{id: low, action: block, severity: low, match: {regex: x}}\n{id: high, action: block, severity: high, match: {regex: x}}",
        "x",
    )
    assert verdict.by is not None
    assert verdict.by.id == "high"


def test_an_allow_takes_away_only_what_it_names_of_its_own_priority_or_below() -> None:
    block = "{id: team.x, action: block, severity: medium, match: {regex: x}}\n"
    allow = "{{id: ok, action: allow, priority: {priority}, allows: ['{glob}'], when: {{model: m}}}}"
    assert (
        judge(block + allow.format(priority=400, glob="team.*"), "x", model="m").action
        == "ALLOW"
    )
    assert (
        judge(block + allow.format(priority=399, glob="team.*"), "x", model="m").action
        == "BLOCK"
    )
    assert (
        judge(block + allow.format(priority=999, glob="other.*"), "x", model="m").action
        == "BLOCK"
    )
    assert (
        judge(
            block + allow.format(priority=999, glob="team.*"), "x", model="other"
        ).action
        == "BLOCK"
    )


def test_a_monitored_rule_acts_on_nothing_and_tells_what_it_would_do() -> None:
    verdict = judge(
        "{id: a, action: block, mode: monitor, match: {regex: x}}\n{id: b, action: flag, match: {regex: x}}",
        "x",
    )
    assert (verdict.action, verdict.would) == ("FLAG", "BLOCK")
    assert {one.rule.id for one in verdict.fired} == {"a", "b"}


def test_overlapping_redactions_become_one_under_the_weightier_rule() -> None:
    rules = "{id: word, action: redact, severity: low, match: {regex: 'bc+d'}, redact: {with: '[WORD]'}}\n{id: key, action: redact, severity: high, match: {regex: 'a?bcc'}, redact: {with: '[KEY]'}}"
    (edit,) = judge(rules, "xx abccd yy").edits
    assert (edit.start, edit.end, edit.text) == (3, 8, "[KEY]")


def test_nothing_is_found_across_the_joint_of_two_parts() -> None:
    rule = r"{id: a, action: block, match: {regex: 'foo\s+bar'}}"
    assert judge(rule, "foo", "bar").action == "ALLOW"
    assert judge(rule, "foo \n bar").action == "BLOCK"


def test_anchors_mean_the_edges_of_a_part() -> None:
    rule = "{id: a, action: block, match: {regex: '^foo$'}}"
    assert [
        judge(rule, *texts).action
        for texts in (["x", "foo", "y"], ["x foo"], ["foo\nbar"])
    ] == [
        "BLOCK",
        "ALLOW",
        "ALLOW",
    ]


@pytest.mark.parametrize(
    ("text", "action"),
    [
        ("IGNORE  previous\nInstructions", "BLOCK"),
        ("ignore previous instruction", "ALLOW"),
        ("تجاهل التعليمات", "BLOCK"),
        ("signore previous instructions", "ALLOW"),
    ],
)
def test_keywords_fold_case_and_space_and_keep_to_whole_words(
    text: str, action: str
) -> None:
    assert (
        judge(
            "{id: a, action: block, match: {keywords: [ignore previous instructions, تجاهل التعليمات]}}",
            text,
        ).action
        == action
    )


def test_conditions_on_parts_choose_among_findings() -> None:
    book = build(
        "default",
        {
            **BARE,
            "t.yaml": "earthflow: 1\nrules:\n  - {id: a, action: redact, when: {role: [user]}, match: {regex: x}}\n",
        },
    )
    parts = (Part("x", "system", "text", 0), Part("x", "user", "text", 1))
    assert [edit.literal for edit in evaluate(book, Exchange(parts=parts)).edits] == [1]


@pytest.mark.parametrize(
    ("when", "fires"),
    [
        ("{model: ['gpt-*', claude]}", True),
        ("{model: 'GPT-5'}", True),
        ("{not: {model: 'gpt-*'}}", False),
        ("{any: [{model: x}, {host: '*.openai.com'}]}", True),
        ("{all: [{model: gpt-5}, {tenant: other}]}", False),
        ("{size: '> 1KiB'}", True),
        ("{size: '<= 1KiB'}", False),
        ("{stream: 'true'}", True),
        ("{coverage: partial}", True),
        ("{unreadable: [image, audio]}", True),
        ("{role: user}", True),
        ("{role: tool}", False),
    ],
)
def test_each_field_of_when(when: str, fires: bool) -> None:
    verdict = judge(
        f"{{id: a, action: block, when: {when}}}",
        "x",
        model="gpt-5",
        host="api.openai.com",
        tenant="t",
        size=2000,
        stream=True,
        unreadable=("image",),
    )
    assert (verdict.action == "BLOCK") is fires


def test_what_cannot_be_read_at_all_is_never_a_plain_allow() -> None:
    assert (
        judge(
            "{id: a, action: block, match: {regex: x}}", unreadable=("bad_json",)
        ).action
        == "FLAG"
    )
    assert (
        judge(
            "{id: a, action: block, match: {regex: x}}", "seen", unreadable=("image",)
        ).action
        == "ALLOW"
    )


def test_what_would_be_redacted_where_nothing_can_be_put_is_blocked() -> None:
    book = build(
        "default",
        {
            **BARE,
            "t.yaml": "earthflow: 1\nrules:\n  - {id: a, action: redact, match: {regex: x}}\n",
        },
    )
    for part in (Part("x", "other", "key", 3), Part("x", "other", "field", NOWHERE)):
        verdict = evaluate(book, Exchange(parts=(part,)))
        assert (verdict.action, verdict.edits, verdict.by and verdict.by.id) == (
            "BLOCK",
            (),
            "a",
        )


def test_exceptions_that_quote_what_follows_stay_apart() -> None:
    rule = "{id: a, action: block, match: {regex: 'foo|bar|baz'}, except: [{regex: '\\Qfoo'}, {regex: bar}]}"
    assert [judge(rule, text).action for text in ("foo", "bar", "baz")] == [
        "ALLOW",
        "ALLOW",
        "BLOCK",
    ]


def test_what_stood_beside_a_text_is_not_remembered_of_it() -> None:
    rule = "{id: a, action: block, match: {all: [{regex: alpha}, {regex: beta}]}}"
    book = build(
        "default", {**BARE, "team.yaml": f"earthflow: 1\nrules:\n  - {rule}\n"}
    )
    memory, first = CleanTexts(), "alpha " + "and so on " * 10 + "be"
    for texts, action in (((first,), "ALLOW"), ((first, "ta"), "BLOCK")):
        parts = tuple(
            Part(text, "user", "text", number) for number, text in enumerate(texts)
        )
        assert (
            evaluate(
                book, Exchange(parts=parts), clean=memory.of("t", book.version)
            ).action
            == action
        )
