"""Cases: every line is judged as the proxy would, or said to be no case."""

import contextlib
import json
from datetime import UTC, datetime
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addons.cases.__main__ import outcome_of
from addons.cases.case import BadCase, read_case
from addons.cases.judge import CaseJudge
from addons.cases.outcome import outcome
from addons.providers import Directory
from rules.sources import shipped
from tests.support.house import AWS_KEY
from tests.support.shared import library
from tests.support.streams import SHAPES

CHAT = "https://api.openai.com/v1/chat/completions"
RESTRICTED = "TLP:RED the plan"


@cache
def judge() -> CaseJudge:
    book = library(shipped(), portable=True).rulebook("default")
    return CaseJudge(book, "", datetime(2026, 11, 28, tzinfo=UTC), Directory())


def tried(**case: Any) -> dict[str, Any]:
    read = read_case(json.dumps(case).encode())
    return outcome(read, judge().judge(read))


def said(text: str, **more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": text}], **more}


@pytest.mark.parametrize(
    ("case", "result"),
    [
        ({"text": f"my key is {AWS_KEY}", "gone": [AWS_KEY]}, "ok"),
        ({"text": f"my key is {AWS_KEY[:9]}", "gone": [AWS_KEY[:9]]}, "MISS"),
        ({"text": "a b c", "gone": ["a", "c", "x"]}, "MISS (2 of 3 left)"),
        ({"text": "hello", "min": "FLAG"}, "MISS"),
        ({"text": f"my key is {AWS_KEY}", "keep": ["my key"]}, "ok"),
        (
            {"text": f"my key is {AWS_KEY}", "keep": [AWS_KEY]},
            f"BAD ACTION (lost: {AWS_KEY})",
        ),
        ({"text": RESTRICTED, "max": "REDACT"}, "BAD ACTION"),
        ({"text": RESTRICTED, "max": "ALLOW", "expect": "quiet"}, "FALSE POSITIVE"),
        (
            {
                "text": "STRICTLY CONFIDENTIAL",
                "way": "tool_result",
                "max": "ALLOW",
                "expect": "quiet",
            },
            "NOISE",
        ),
        ({"text": "rm -rf /", "way": "tool_call", "min": "BLOCK"}, "ok"),
        (
            {
                "text": "rm -rf /",
                "role": "assistant",
                "kind": "tool_call",
                "tool": "Bash",
                "min": "BLOCK",
            },
            "ok",
        ),
        ({"text": "rm -rf /", "way": "answer_text", "max": "ALLOW"}, "ok"),
        (
            {
                "url": CHAT,
                "body": said(f"my key is {AWS_KEY}"),
                "gone": [AWS_KEY],
                "keep": ["my key is"],
            },
            "ok",
        ),
        (
            {"url": CHAT, "body": "{", "max": "BLOCK"},
            "DEFECT: coverage none ('bad_json',)",
        ),
        ({"url": CHAT, "body": "{", "imageok": True, "min": "BLOCK"}, "ok"),
    ],
)
def test_a_case_is_right_or_says_how_it_is_wrong(
    case: dict[str, Any], result: str
) -> None:
    assert tried(**case)["result"] == result


def test_a_call_is_read_by_the_format_of_its_address() -> None:
    found = tried(id="c", url=CHAT, body=said(f"é {AWS_KEY}"), ascii=True)
    assert (found["id"], found["action"], found["coverage"], found["unreadable"]) == (
        "c",
        "REDACT",
        "full",
        [],
    )
    assert found["rules"] == [{"id": "credentials.aws-access-key", "action": "redact"}]
    assert found["leaves"].startswith(
        '{"model": "m", "messages": [{"role": "user", "content": "\\u00e9 [REDACTED:'
    )


def test_nothing_leaves_of_what_is_blocked() -> None:
    found = tried(url=CHAT, body=said(RESTRICTED), gone=[RESTRICTED])
    assert (found["action"], found["by"], found["leaves"], found["left"]) == (
        "BLOCK",
        "confidential.tlp-red",
        None,
        [],
    )


@pytest.mark.parametrize("name", ["openai-chat", "anthropic-messages", "gemini-array"])
def test_an_answer_is_judged_whole_or_as_the_stream_that_it_is(name: str) -> None:
    shape = SHAPES[name]
    stream = b"".join(
        shape.made(["my key is AKIAQYL", "PMN5HHHFPZAM2", "."], [])
    ).decode()
    found = tried(
        url=shape.url, answer=stream, headers={"Content-Type": shape.content_type}
    )
    assert (found["action"], found["coverage"]) == ("REDACT", "full")
    assert shape.heard(found["leaves"].encode())[0].startswith("my key is [REDACTED:")
    wipe = {
        "content": [
            {
                "type": "tool_use",
                "id": "t",
                "name": "Bash",
                "input": {"command": "rm -rf /"},
            }
        ]
    }
    assert tried(url=shape.url, answer=wipe)["action"] == "BLOCK"
    sound = tried(url=shape.url, answer="RIFF", headers={"content-type": "audio/wav"})
    assert (sound["coverage"], sound["unreadable"]) == ("none", ["audio"])


def test_a_value_is_found_however_what_leaves_is_written() -> None:
    body = said("a café and a quince")
    assert tried(url=CHAT, body=body, ascii=True, gone=["café"])["left"] == ["café"]
    assert tried(
        url=CHAT, body=json.dumps(body).replace("q", "\\u0071"), gone=["quince"]
    )["left"] == ["quince"]
    shape = SHAPES["openai-chat"]
    stream = b"".join(shape.made(["a quin", "ce"], [])).decode()
    told = {
        "url": CHAT,
        "answer": stream,
        "headers": {"content-type": shape.content_type},
    }
    assert tried(**told, gone=["quince"])["left"] == ["quince"]
    assert tried(**told, keep=["a quince"])["result"] == "ok"


def test_a_role_changes_that_of_a_way_and_nothing_else() -> None:
    assert (
        tried(text="rm -rf /", way="tool_call", tool="Bash", role="assistant")["action"]
        == "BLOCK"
    )
    assert tried(text="rm -rf /", role="assistant")["action"] == "ALLOW"


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("{", "Input data was truncated"),
        ("[]", "Expected `object`, got `array`"),
        ('{"text": 1}', "Expected `str | null`, got `int` - at `$.text`"),
        ('{"text": "a", "way": "letter"}', "Invalid enum value 'letter' - at `$.way`"),
        ("{}", "needs one of `text`, `body` and `answer`"),
        (
            '{"text": "a", "body": {}}',
            "needs one of `text`, `body` and `answer`, not text and body",
        ),
        ('{"body": {}}', "has a `body` and no `url`"),
        (
            '{"url": "https://example.org/", "body": {}}',
            "is not a URL of an AI provider",
        ),
        (
            '{"url": "http://api.openai.com/", "body": {}}',
            "is not a URL of an AI provider",
        ),
        ('{"url": "https://[", "body": {}}', "is no URL"),
        ('{"url": "x", "body": ' + "[" * 100_000, "is nested too deep"),
        (
            '{"url": "https://api.openai.com/v1/chat/completions", "body": '
            + "[" * 1_100
            + "]" * 1_100
            + "}",
            "is nested too deep",
        ),
    ],
)
def test_what_is_no_case_is_said_to_be_none(line: str, sentence: str) -> None:
    with pytest.raises(BadCase) as caught:
        outcome_of(line.encode(), 1, judge())
    assert sentence in str(caught.value)


VALUES = st.recursive(
    st.none() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner)
    ),
)
CASES = st.fixed_dictionaries(
    {},
    optional={
        "text": st.text(max_size=20),
        "url": st.sampled_from(
            [CHAT, "https://api.anthropic.com/v1/unknown", "https://", "x"]
        ),
        "body": VALUES,
        "answer": VALUES,
        "method": st.text(max_size=5),
        "headers": st.dictionaries(
            st.sampled_from(["content-type", "Content-Encoding"]), st.text(max_size=12)
        ),
        "gone": st.lists(st.text(max_size=3), max_size=2),
    },
)


@given(CASES | VALUES)
def test_any_line_is_a_case_or_none(value: Any) -> None:
    with contextlib.suppress(BadCase):
        assert outcome_of(json.dumps(value).encode(), 1, judge())["id"]
