"""An answer in pieces: however it is cut, the same is released, and nothing of what is found."""

import json
import re
from functools import cache
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.channels import Piece
from rules.evaluate import evaluate
from rules.exchange import Exchange, Kind, Part
from rules.redact import splice
from rules.rulebook import Rulebook
from rules.sources import shipped
from rules.stream import PATIENCE, Stream
from rules.transcript import MAX_KEPT
from rules.verdict import Verdict
from tests.support.shared import build

RULES = """
earthflow: 1
name: answers
rules:
  - {id: a.key, action: redact, when: {direction: response}, match: {regex: 'AKIA[A-Z0-9]{16}'}}
  - {id: a.word, action: redact, when: {direction: response}, match: {regex: '\\bsecret(?: plan)?\\b'}}
  - {id: a.mail, action: redact, when: {direction: response}, match: {regex: '[a-z]{1,20}@[a-z]{1,20}\\.[a-z]{2,6}'}}
  - {id: a.near, action: redact, when: {direction: response}, match: {regex: '\\b[0-9]{6}\\b', near: [pin, code], within: 8}}
  - id: a.number
    action: redact
    when: {direction: response}
    match: {regex: '\\b[0-9]{9,12}\\b'}
    except: {keywords: [invoice], near: 12}
  - {id: a.stop, action: block, when: {direction: response}, match: {regex: 'rm -rf (?:/|~)(?:\\s|$)'}}
  - {id: a.note, action: flag, when: {direction: response}, match: {regex: 'hello'}}
"""
KEY = "AKIAQYLPMN5HHHFPZAM2"
WORDS = st.sampled_from(
    [KEY, KEY[:9], "secret", "secret plan", "secret planet", "ann@example.org", "ann@", "pin 123456", "123456 is the code", "123456", "hello",
     "123456789", "123456789012", "123456789 is an invoice", "AK\u200bIAQYLPMN5HHHFPZAM2", "\uff21KIA", "é", "\\u0041KIAQYLPMN5HHHFPZAM2", "%41KIA",
     "rm -rf /tmp", "and", "a", "."]
)  # fmt: skip
TEXTS = st.lists(
    st.tuples(WORDS, st.sampled_from(["", " ", "\n", "-"])), max_size=12
).map(lambda words: "".join(a + b for a, b in words))


@cache
def book() -> Rulebook:
    return build(
        "monitor",
        {
            **shipped(),
            "earthflow/monitor": "earthflow: 1\nname: monitor\n",
            "answers.yaml": RULES,
        },
    )


def streamed(pieces: list[str], kind: Kind = "text") -> tuple[str, Verdict, list[str]]:
    """What came out of the pieces, the verdict, and what was out after each piece."""
    stream: Stream[str] = Stream(book(), Exchange(direction="response"), key=b"k")
    out, steps = "", []
    for piece in pieces:
        for text, edits in stream.feed(
            piece, [Piece(piece, (("c",),), "assistant", kind, 0)]
        ):
            out += json.loads(splice(json.dumps(text).encode(), edits))
        steps.append(out)
    for text, edits in stream.end():
        out += json.loads(splice(json.dumps(text).encode(), edits))
    return out, stream.verdict(), [*steps, out]


def whole(text: str) -> tuple[str, Verdict]:
    verdict = evaluate(
        book(),
        Exchange(direction="response", parts=(Part(text, "assistant", "text", 0),)),
        key=b"k",
    )
    return json.loads(
        splice(json.dumps(text).encode(), verdict.edits)
    ) if verdict.edits else text, verdict


def cut(text: str, places: list[int]) -> list[str]:
    edges = sorted({0, len(text), *(place % (len(text) + 1) for place in places)})
    return [text[a:b] for a, b in pairwise(edges)]


@given(TEXTS, st.lists(st.integers(0, 1000), max_size=30))
def test_however_an_answer_is_cut_what_is_released_is_what_a_whole_one_becomes(
    text: str, places: list[int]
) -> None:
    expected, verdict = whole(text)
    released, ended, _ = streamed(cut(text, places))
    assert (released, ended.action) == (expected, verdict.action)


@given(TEXTS)
def test_one_character_at_a_time_is_as_good_as_any_other_cut(text: str) -> None:
    expected, verdict = whole(text)
    released, ended, steps = streamed(list(text))
    assert (released, ended.action) == (expected, verdict.action)
    assert all(released.startswith(step) for step in steps)


@given(TEXTS, TEXTS, st.lists(st.integers(0, 1000), max_size=30))
def test_a_block_ends_the_answer_before_the_first_character_of_what_was_found(
    before: str, after: str, places: list[int]
) -> None:
    found = "rm -rf / "
    released, ended, _ = streamed(cut(before + " " + found + after, places))
    expected, _ = whole(before + " ")
    assert ended.action == "BLOCK"
    assert ended.by is not None and ended.by.id == "a.stop"
    assert expected.startswith(released) or not re.search("rm -rf", released)
    assert "rm -rf / " not in released


def test_text_that_no_rule_can_still_mean_is_not_held() -> None:
    stream: Stream[str] = Stream(book(), Exchange(direction="response"), key=b"k")
    for word in ("Yes, ", "you ", "are ", "right. "):
        assert [
            text
            for text, _ in stream.feed(
                word, [Piece(word, (("c",),), "assistant", "text", 0)]
            )
        ] == [word]


def test_an_event_of_another_text_waits_its_turn() -> None:
    stream: Stream[str] = Stream(book(), Exchange(direction="response"), key=b"k")
    assert stream.feed("1", [Piece("AKIA", (("a",),), "assistant", "text", 0)]) == []
    assert stream.feed("2", [Piece("fine. ", (("b",),), "assistant", "text", 0)]) == []
    assert [text for text, _ in stream.end()] == ["1", "2"]


def test_a_text_is_waited_for_while_others_go_on_but_once_only() -> None:
    stream: Stream[str] = Stream(book(), Exchange(direction="response"), key=b"k")

    def feed(text: str, channel: str) -> list[str]:
        return [
            one
            for one, _ in stream.feed(
                text, [Piece(text, ((channel,),), "assistant", "text", 0)]
            )
        ]

    assert feed("AKIAQYLPM", "a") == []
    released = [
        one for number in range(PATIENCE + 1) for one in feed(f"{number}. ", "b")
    ]
    assert released[:2] == ["AKIAQYLPM", "0. "]
    assert "endless" not in stream.unreadable
    assert feed("N5HHH", "a") == []
    assert "endless" in stream.unreadable
    assert [
        one for number in range(2 * PATIENCE) for one in feed(f"{number}. ", "b")
    ] == []
    assert feed("HFPZAM2 ", "a")[0] == "N5HHH"
    assert stream.redacted


def test_a_piece_goes_when_it_may_in_every_text_that_it_may_be_part_of() -> None:
    stream: Stream[str] = Stream(book(), Exchange(direction="response"), key=b"k")
    out = ""
    for number, text in enumerate((KEY[:7], KEY[7:12], KEY[12:], " and on")):
        for event, edits in stream.feed(
            text, [Piece(text, ((number,), ("all",)), "assistant", "text", 0)]
        ):
            out += json.loads(splice(json.dumps(event).encode(), edits))
    assert out == ""  # it waits in its own text, too
    for event, edits in stream.end():
        out += json.loads(splice(json.dumps(event).encode(), edits))
    assert re.fullmatch(r"\[REDACTED:a_key_[b-t]{8}\] and on", out)
    assert stream.verdict().action == "REDACT"


def test_an_answer_that_makes_too_much_wait_says_so() -> None:
    stream: Stream[str] = Stream(book(), Exchange(direction="response"), key=b"k")
    stream.feed("1", [Piece("AKIA", (("a",),), "assistant", "text", 0)])
    for number in range(60):
        stream.feed(
            "2",
            [
                Piece(f"{number} " * 10_000, (("b",),), "assistant", "text", 0),
                Piece("Q", (("a",),), "assistant", "text", 0),
            ],
        )
    assert stream.overfull


def test_a_text_that_might_go_on_for_ever_is_let_go_and_said_so() -> None:
    rule = "earthflow: 1\nname: monitor\nrules:\n  - {id: a.all, action: redact, when: {direction: response}, match: {regex: 'BEGIN[^!]*END'}}\n"
    endless = build("monitor", {**shipped(), "earthflow/monitor": rule})
    stream: Stream[str] = Stream(endless, Exchange(direction="response"), key=b"k")
    released = [
        text
        for _ in range(100)
        for text, _ in stream.feed(
            "BEGIN" * 50, [Piece("BEGIN" * 50, (("c",),), "assistant", "text", 0)]
        )
    ]
    assert len(released) >= 60
    assert "endless" in stream.verdict().unreadable


@pytest.mark.parametrize(
    "match",
    [
        "{regex: 'quince|harvest', count: 2}",
        "{all: [{regex: quince}, {regex: harvest}]}",
    ],
)
def test_a_rule_that_speaks_of_the_whole_answer_ends_it_before_its_last_event(
    match: str,
) -> None:
    rule = f"  - {{id: a.whole, action: block, when: {{direction: response}}, match: {match}}}\n"
    rules = build(
        "monitor",
        {
            **shipped(),
            "earthflow/monitor": f"earthflow: 1\nname: monitor\nrules:\n{rule}",
        },
    )
    stream: Stream[str] = Stream(rules, Exchange(direction="response"), key=b"k")
    pieces = ["the quince is ripe. ", "a harvest of one more quince. "]
    said = [
        [
            text
            for text, _ in stream.feed(
                one, [Piece(one, (("c",),), "assistant", "text", 0)]
            )
        ]
        for one in pieces
    ]
    assert said == [[one] for one in pieces]
    assert stream.blocked is None
    assert stream.feed("end", [], last=True) == []
    assert stream.blocked is not None and stream.blocked.by is not None
    assert stream.blocked.by.id == "a.whole"


@pytest.mark.parametrize("first", [MAX_KEPT + 1, MAX_KEPT - 1])
def test_text_beyond_what_is_kept_is_sent_and_the_verdict_says_so(first: int) -> None:
    """Whether it is the channel's first piece that is too much, or a later one."""
    stream: Stream[str] = Stream(book(), Exchange(direction="response"), key=b"k")
    name = ("c",)
    begun = stream.feed("first", [Piece("." * first, (name,), "assistant", "text", 0)])
    assert [payload for payload, _ in begun] == ["first"]
    assert stream.release_at_once((name,), " .")
    assert "too_large" in stream.verdict().unreadable
