"""A conversation goes on: what was judged is not judged again, and one bad turn does not poison it."""

import pytest

from addons.calls.clean_texts import CleanTexts
from rules.evaluate import evaluate
from rules.exchange import Exchange, Part
from rules.load import Library
from rules.rulebook import Rulebook
from rules.verdict import Verdict

BARE = {
    f"earthflow/{name}": "earthflow: 1\n" for name in ("default", "strict", "monitor")
}
RULES = """earthflow: 1
history: {history}
thresholds: {{odd: {{block: 4}}}}
rules:
  - {{id: mark, action: block, match: {{keywords: topsecret}}}}
  - {{id: key, action: redact, match: {{regex: 'KEY[0-9]{{4}}'}}}}
  - {{id: odd.a, score: {{odd: 2}}, match: {{keywords: strange}}}}
  - {{id: odd.b, score: {{odd: 2}}, match: {{keywords: weird}}}}
"""


def book(history: str = "redact") -> Rulebook:
    return Library(
        {**BARE, "own.yaml": RULES.format(history=history)}, portable=True
    ).rulebook("default")


def said(*texts: str) -> Exchange:
    """A conversation that the user begins, turn by turn."""
    roles = ("user", "assistant")
    return Exchange(
        parts=tuple(
            Part(text, roles[number % 2], "text", number)
            for number, text in enumerate(texts)
        )
    )  # type: ignore[arg-type]


def judge(*texts: str, history: str = "redact") -> Verdict:
    return evaluate(book(history), said(*texts))


def test_what_is_new_is_blocked() -> None:
    assert judge("hello", "hi", "this is topsecret").action == "BLOCK"


def test_what_is_old_is_taken_out_whole_and_the_conversation_goes_on() -> None:
    verdict = judge(
        "this is topsecret, and more", "I cannot see that", "never mind, hello"
    )
    assert verdict.action == "REDACT"
    (edit,) = verdict.edits
    assert (edit.literal, edit.start, edit.end) == (
        0,
        0,
        len("this is topsecret, and more"),
    )


def test_the_same_turn_sent_again_is_still_new() -> None:
    assert (
        judge("this is topsecret").action
        == judge("hello", "hi", "this is topsecret").action
        == "BLOCK"
    )


def test_an_assistants_prefill_does_not_make_the_question_old() -> None:
    assert judge("this is topsecret", "Sure,").action == "BLOCK"


@pytest.mark.parametrize(
    ("history", "action"),
    [("redact", "REDACT"), ("block", "BLOCK"), ("ignore", "ALLOW")],
)
def test_each_way_to_treat_history(history: str, action: str) -> None:
    assert judge("this is topsecret", "no", "hello", history=history).action == action


def test_redactions_are_made_in_history_as_ever() -> None:
    verdict = judge("KEY1234", "thanks", "and KEY5678")
    assert [(edit.literal, edit.start) for edit in verdict.edits] == [(0, 0), (2, 4)]


def test_old_signs_alone_do_not_block_and_are_taken_out() -> None:
    assert judge("strange and weird").action == "BLOCK"
    verdict = judge("strange and weird", "no", "hello")
    assert (verdict.action, [edit.literal for edit in verdict.edits]) == ("REDACT", [0])


def test_system_and_tool_definitions_are_never_old() -> None:
    parts = (
        Part("topsecret", "system", "text", 0),
        Part("a", "user", "text", 1),
        Part("b", "assistant", "text", 2),
        Part("c", "user", "text", 3),
    )
    assert evaluate(book(), Exchange(parts=parts)).action == "BLOCK"


def test_a_clean_text_is_scanned_once_per_tenant_and_rulebook() -> None:
    memory, rulebook = CleanTexts(), book()
    long = "a long and harmless text " * 10
    clean = memory.of("t1", rulebook.version)
    assert long not in clean
    evaluate(rulebook, said(long), clean=clean)
    assert long in memory.of("t1", rulebook.version)
    assert long not in memory.of("t2", rulebook.version)
    assert long not in memory.of("t1", "another version")


def test_a_text_with_a_finding_is_found_again() -> None:
    memory, rulebook = CleanTexts(), book()
    text = "KEY1234 " * 20
    for _ in range(2):
        assert (
            evaluate(
                rulebook, said(text), clean=memory.of("t1", rulebook.version)
            ).action
            == "REDACT"
        )


def test_a_two_hundred_turn_conversation_is_not_blocked_for_what_was_redacted_before() -> (
    None
):
    texts = [f"turn {number}: KEY{number:04d}" for number in range(199)] + ["and now?"]
    verdict = judge(*texts, "next")
    assert verdict.action == "REDACT"
    assert len(verdict.edits) == 199
