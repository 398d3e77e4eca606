"""StreamedAnswer answers of every format: cut at any byte the same comes out, and nothing of what a rule finds."""

import base64
import gzip
import json
import time
import zlib
from functools import cache
from itertools import pairwise

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from addons.answers import answer as answer_module
from addons.answers.answer import (
    MAX_PARSED,
    MAX_READ,
    PassedAnswer,
    judge_whole,
    unreadable_by_head,
)
from addons.answers.streamed import StreamedAnswer
from addons.framing import framing_of
from addons.framing.decode import decoder_for
from addons.framing.eventstream import EventStream, _header, _message
from addons.framing.frame import Frame
from addons.providers.error_formats import FAMILIES, Why
from addons.providers.provider import Usage
from addons.record.recorder import blocked_message
from rules.exchange import Exchange
from rules.rulebook import Rulebook
from rules.sources import shipped
from rules.stream import Stream
from tests.support.shared import build, examples, thorough
from tests.support.streams import SHAPES, TEXTS, Shape

KEY = "AKIAQYLPMN5HHHFPZAM2"
TEXT = [
    "It",
    " is AK",
    "IAQYL",
    "PMN5",
    "HHHFPZAM2, c'est noté: ",
    "é中 ",
    "mail ann@exam",
    "ple.org",
    " and",
    " that",
    " is all.",
]
CALL = ['{"comma', 'nd": "ls -la /t', "mp && echo AKIAQYLPM", 'N5HHHFPZAM2"}']
WIPE = ['{"comma', 'nd": "rm -', "rf", " /", '"}']
RULES = """
earthflow: 1
rules:
  - {id: a.mail, action: redact, when: {direction: response}, match: {regex: '[a-z]{1,20}@[a-z]{1,20}\\.[a-z]{2,6}'}}
  - {id: a.late, action: block, when: {direction: response}, match: {regex: 'zebra', count: 1}, mode: monitor}
"""
# What the cuts of most shapes are tried with: cheap, and of every kind that may hold a text back.
TEN_RULES = """
earthflow: 1
rules:
  - {id: t.key, action: redact, when: {direction: any}, match: {regex: '\\bAKIA[A-Z0-9]{16}\\b'}}
  - {id: t.mail, action: redact, when: {direction: response}, match: {regex: '[a-z]{1,20}@[a-z]{1,20}\\.[a-z]{2,6}'}}
  - {id: t.wipe, action: block, when: {direction: response, part: tool_call}, match: {regex: 'rm\\s+-rf\\s+/(?:[\\s"]|$)'}}
  - {id: t.near, action: redact, when: {direction: any}, match: {regex: '\\b[0-9]{6}\\b', near: [pin, code], within: 8}}
  - {id: t.number, action: redact, when: {direction: any}, match: {regex: '\\b[0-9]{9,12}\\b'}, except: {keywords: [invoice], near: 12}}
  - {id: t.words, action: flag, when: {direction: response}, match: {keywords: [c'est noté, that is all]}}
  - {id: t.pem, action: redact, when: {direction: any}, match: {regex: '-----BEGIN [A-Z ]{0,20}KEY-----'}}
  - {id: t.image, action: block, when: {direction: response}, match: {regex: '!\\[[^\\]]{0,40}\\]\\(https?://evil'}}
  - {id: t.path, action: flag, when: {direction: any}, match: {regex: '/(?:tmp|etc)/[a-z]{1,12}'}}
  - {id: t.late, action: block, when: {direction: response}, match: {regex: zebra, count: 1}, mode: monitor}
"""
LONG_BODY = 2_000  # bytes
# shapes whose cuts are tried with all shipped rules; under the profile `long` all are
ALL_RULES = (
    "openai-chat",
    "anthropic-messages",
)
FAMILY = {"openai-chat": "openai", "mistral-chat": "mistral", "openai-responses": "openai-responses", "anthropic-messages": "anthropic", "gemini-sse": "gemini",
          "gemini-array": "gemini", "bedrock-converse": "bedrock", "bedrock-invoke": "bedrock", "cohere-chat": "cohere", "ollama": "ollama",
          "completions": "openai", "cohere-v1-chat": "cohere", "huggingface": "openai", "mcp": "mcp"}  # fmt: skip


@cache
def book() -> Rulebook:
    return build("default", {**shipped(), "answers.yaml": RULES})


@cache
def ten() -> Rulebook:
    return build(
        "default", {"earthflow/default": "earthflow: 1\n", "ten.yaml": TEN_RULES}
    )


def places(body: bytes) -> list[int]:
    """Where a body is cut in two: anywhere, but in a long one, outside of the profile `long`, anywhere near the end of a line, and at
    every seventh byte elsewhere.
    """
    if len(body) <= LONG_BODY or thorough():
        return list(range(1, len(body)))
    edges = [place for place, byte in enumerate(body) if byte in b"\r\n"]
    near = {place + step for place in edges for step in range(-3, 5)} | set(
        range(1, len(body), 7)
    )
    return sorted(place for place in near if 0 < place < len(body))


def book_of_cuts(name: str) -> Rulebook:
    return book() if name in ALL_RULES or thorough() else ten()


def streamed(
    name: str, encoding: str = "", rules: Rulebook | None = None
) -> StreamedAnswer:
    shape = {**SHAPES, **TEXTS}[name]
    stream: Stream[Frame] = Stream(
        rules or book(), Exchange(direction="response"), key=b"k"
    )
    framing, decoder = (
        framing_of(shape.content_type, grows=name == "gemini-array"),
        decoder_for(encoding),
    )
    assert framing is not None
    assert decoder is not None
    return StreamedAnswer(
        framing,
        decoder,
        stream,
        lambda why, code: FAMILIES[FAMILY[name]].end(Why(why, "d1", code=code)),
        lambda verdict: blocked_message(verdict, "d1"),
    )


def passed(
    name: str, chunks: list[bytes], encoding: str = "", rules: Rulebook | None = None
) -> tuple[bytes, StreamedAnswer]:
    answer = streamed(name, encoding, rules)
    out = b""
    for chunk in chunks:
        out += b"".join(answer.feed(chunk))
        if answer.ended:
            return out, answer
    return out + b"".join(answer.end()), answer


@pytest.mark.parametrize("name", SHAPES)
def test_an_answer_in_which_nothing_is_found_passes_byte_for_byte(name: str) -> None:
    body = b"".join(
        SHAPES[name].made(
            ["Hello", " you,", " é", "\n", "good day."], ['{"path": "/tmp', '/x"}']
        )
    )
    out, answer = passed(name, [body])
    assert out == body
    assert (answer.verdict.action, answer.coverage) == ("ALLOW", "full")
    assert answer.usage == Usage(11, 5)


@pytest.mark.parametrize("name", SHAPES)
def test_what_is_found_is_redacted_wherever_it_was_cut(name: str) -> None:
    frames = SHAPES[name].made(TEXT, CALL)
    out, answer = passed(name, frames)
    text, call = SHAPES[name].heard(out)
    assert text.startswith("It is [REDACTED:credentials_aws_access_key_")
    assert text.endswith(
        "], c'est noté: é中 mail [REDACTED:a_mail_" + text[text.rindex("_") + 1 :]
    )
    assert json.loads(call)["command"].startswith(
        "ls -la /tmp && echo [REDACTED:credentials_aws_access_key_"
    )
    assert b"AKIA" not in out
    assert b"ann@" not in out
    assert answer.verdict.action == "REDACT"
    assert [one.rule.id for one in answer.verdict.fired] == [
        "a.mail",
        "credentials.aws-access-key",
    ]


@pytest.mark.parametrize("name", SHAPES)
def test_a_forbidden_tool_call_ends_the_stream_in_the_providers_own_words(
    name: str,
) -> None:
    frames = SHAPES[name].made(["Let", " me", " clean", " up. "], WIPE)
    out, answer = passed(name, frames)
    assert answer.ended
    assert answer.verdict.action == "BLOCK"
    assert answer.verdict.by is not None
    assert answer.verdict.by.id == "tools.root-wipe"
    assert b"Blocked by Earthflow policy tools.root-wipe (decision d1)" in out
    _, arguments = SHAPES[name].heard(out)
    assert not arguments.rstrip().endswith("}")  # no client has the whole call
    assert b"".join(answer.feed(b"more")) == b""


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("call", [CALL, WIPE], ids=["redacted", "blocked"])
def test_every_single_cut_gives_the_same(name: str, call: list[str]) -> None:
    body, rules = b"".join(SHAPES[name].made(TEXT[1:3], call)), book_of_cuts(name)
    expected, whole = passed(name, [body], rules=rules)
    assert whole.verdict.action == ("BLOCK" if call is WIPE else "REDACT")
    for place in places(body):
        out, answer = passed(name, [body[:place], body[place:]], rules=rules)
        assert (out, answer.verdict.action) == (expected, whole.verdict.action), place


@pytest.mark.parametrize("name", TEXTS)
def test_every_single_cut_of_a_format_without_tools_gives_the_same(name: str) -> None:
    body, rules = b"".join(TEXTS[name].made(TEXT, [])), book_of_cuts(name)
    expected, _ = passed(name, [body], rules=rules)
    assert KEY not in TEXTS[name].heard(expected)[0]
    for place in places(body):
        assert passed(name, [body[:place], body[place:]], rules=rules)[0] == expected, (
            place
        )


@pytest.mark.parametrize("name", SHAPES)
@examples(25)
@given(
    text=st.lists(
        st.sampled_from([*TEXT, f" {KEY} ", f" {KEY[:7]}", "ann@", " ", "x"]),
        max_size=8,
    ),
    places=st.lists(st.integers(0, 10**6), max_size=40),
    wipe=st.booleans(),
)
def test_any_cut_gives_the_same_and_nothing_of_what_is_found(
    name: str, text: list[str], places: list[int], wipe: bool
) -> None:
    body = b"".join(SHAPES[name].made(text, WIPE if wipe else CALL))
    expected, whole = passed(name, [body])
    edges = sorted({0, len(body), *(place % len(body) for place in places)})
    out, answer = passed(name, [body[a:b] for a, b in pairwise(edges)])
    assert (out, answer.verdict.action) == (expected, whole.verdict.action)
    assert KEY.encode() not in out
    if not wipe:
        heard = SHAPES[name].heard(out)
        assert KEY not in "".join(heard)


ENCODERS = {
    "gzip": lambda data: gzip.compress(data),
    "deflate": lambda data: zlib.compress(data),
    "br": lambda data: brotli.compress(data),
    "zstd": lambda data: zstandard.ZstdCompressor().compress(data),
}


@pytest.mark.parametrize("encoding", ENCODERS)
@pytest.mark.parametrize("name", SHAPES)
def test_an_encoded_stream_is_judged_decoded(name: str, encoding: str) -> None:
    body = b"".join(SHAPES[name].made(TEXT, CALL))
    expected, _ = passed(name, [body])
    sent = ENCODERS[encoding](body)
    for size in (1, 7, len(sent)):
        out, _ = passed(
            name, [sent[at : at + size] for at in range(0, len(sent), size)], encoding
        )
        assert out == expected


@pytest.mark.parametrize("name", SHAPES)
@given(st.lists(st.binary(max_size=80), max_size=6))
def test_any_bytes_are_passed_or_said_to_be_unreadable(
    name: str, chunks: list[bytes]
) -> None:
    out, answer = passed(name, chunks)
    assert answer.ended or out == b"".join(chunks)
    assert answer.verdict.action in ("ALLOW", "FLAG", "BLOCK")


def test_text_that_is_no_json_is_judged_and_since_nothing_can_be_put_there_blocked() -> (
    None
):
    out, answer = passed("openai-chat", [f"data: my key is {KEY}\n\n".encode()])
    assert (answer.verdict.action, answer.ended) == ("BLOCK", True)
    assert KEY.encode() not in out


def test_what_stands_beside_the_data_is_judged_too() -> None:
    out, answer = passed("openai-chat", [f": {KEY}\ndata: {{}}\n\n".encode()])
    assert (answer.verdict.action, KEY.encode() in out) == ("BLOCK", False)


def test_two_values_under_one_key_are_both_judged() -> None:
    body = f'data: {{"choices":[{{"delta":{{"content":"{KEY}","content":"hi"}}}}]}}\n\n'.encode()
    out, answer = passed("openai-chat", [body])
    assert KEY.encode() not in out
    assert "duplicate_key" in answer.verdict.unreadable


def test_a_stream_that_does_not_decode_ends_with_an_error() -> None:
    answer = streamed("openai-chat", "gzip")
    assert b"could not be decoded" in b"".join(answer.feed(b"no gzip at all"))
    assert answer.ended


def test_keeping_a_client_waiting_says_something_only_while_text_is_held() -> None:
    answer = streamed("openai-chat")
    frames = SHAPES["openai-chat"].made(["AKIAQ"], [])
    assert b"".join(answer.feed(frames[0])) == frames[0]
    assert answer.keepalive == b""
    assert b"".join(answer.feed(frames[1])) == b""
    assert answer.keepalive == b":\n\n"
    assert b"".join(answer.feed(frames[2])) == b""
    assert b"".join(answer.end()) == frames[1] + frames[2]


def whole(
    body: bytes,
    content_type: str = "application/json",
    encoding: str = "",
):  # type: ignore[no-untyped-def]
    return judge_whole(
        book(),
        Exchange(direction="response"),
        body,
        content_type,
        encoding,
        key=b"k",
    )


def test_a_whole_answer_is_judged_and_every_other_byte_kept() -> None:
    body = f'{{ "choices": [{{"message": {{"content":"caf\\u00e9 {KEY}"}}}}],\n "usage":{{"prompt_tokens":3,"completion_tokens":4}} }}'
    judged = whole(body.encode())
    assert judged.verdict.action == "REDACT"
    before, _, after = body.partition(KEY)
    assert judged.body.startswith(before.encode())
    assert judged.body.endswith(after.encode())
    assert judged.usage == Usage(3, 4)
    assert whole(gzip.compress(body.encode()), encoding="gzip").body == judged.body
    assert whole(b'{"choices":[]}').body is None


def test_a_tool_call_in_a_whole_answer_is_judged_as_one() -> None:
    called = {
        "choices": [
            {
                "message": {
                    "tool_calls": [
                        {
                            "function": {
                                "name": "sh",
                                "arguments": json.dumps({"c": "rm -rf /"}),
                            }
                        }
                    ]
                }
            }
        ]
    }
    assert whole(json.dumps(called).encode()).verdict.action == "BLOCK"
    used = {
        "content": [
            {"type": "tool_use", "name": "sh", "input": {"command": "rm -rf / "}}
        ]
    }
    assert whole(json.dumps(used).encode()).verdict.action == "BLOCK"
    assert (
        whole(
            json.dumps(
                {"content": [{"type": "text", "text": "never run rm -rf / "}]}
            ).encode()
        ).verdict.action
        == "ALLOW"
    )


def test_an_answer_of_which_nothing_can_be_read_says_why() -> None:
    assert [
        unreadable_by_head(kind)
        for kind in (
            "application/json",
            "text/plain",
            "",
            "text/event-stream",
            "application/problem+json",
        )
    ] == [""] * 5
    assert unreadable_by_head("application/octet-stream", streams=True) == ""
    assert unreadable_by_head("audio/mpeg") == "audio"
    assert unreadable_by_head("image/png") == "image"
    assert unreadable_by_head("application/octet-stream") == "opaque"
    strange = whole(b'{"a": "b"}', encoding="compress").verdict
    assert strange.unreadable == ("unknown_encoding",)
    assert whole(b"\xff\xff", encoding="gzip").verdict.unreadable == ("bad_encoding",)
    assert whole(b"<html>").verdict.unreadable == ("bad_json",)
    assert whole(f"a text with {KEY}".encode(), "text/plain").verdict.action == "BLOCK"


@given(
    st.binary(max_size=200),
    st.sampled_from(["application/json", "text/plain", ""]),
    st.sampled_from(["", "gzip", "br", "zstd", "x"]),
)
def test_any_whole_answer_is_judged(body: bytes, kind: str, encoding: str) -> None:
    assert whole(body, kind, encoding).verdict.action in ("ALLOW", "FLAG", "BLOCK")


WHOLE = json.dumps({"usage": {"prompt_tokens": 3, "completion_tokens": 4}}).encode()


def counts(reader: PassedAnswer, *chunks: bytes) -> tuple[int | None, int | None]:
    for chunk in chunks:
        reader.feed(chunk)
    reader.finish()
    return reader.usage.input_tokens, reader.usage.output_tokens


def test_the_tokens_of_an_answer_that_is_not_judged_are_counted() -> None:
    assert counts(PassedAnswer("application/json", ""), WHOLE[:7], WHOLE[7:]) == (3, 4)
    assert counts(PassedAnswer("application/json", "gzip"), gzip.compress(WHOLE)) == (
        3,
        4,
    )
    for name in ("openai-chat", "anthropic-messages", "bedrock-converse", "ollama"):
        assert counts(
            PassedAnswer(SHAPES[name].content_type, ""), *SHAPES[name].made(["a"], [])
        ) == (11, 5), name


def test_an_answer_over_the_bound_is_not_kept_for_its_tokens() -> None:
    reader = PassedAnswer("application/json", "")
    for _ in range(MAX_READ // 65536 + 1):
        reader.feed(b" " * 65536)
    assert counts(reader, WHOLE) == (None, None)
    assert reader.size > MAX_READ


COUNTED = {"prompt_tokens": 8, "completion_tokens": 2, "details": {"cached": 3}}


def test_of_a_long_document_only_the_last_counts_are_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    decoded: list[bytes] = []
    decode = answer_module.msgspec.json.decode

    def watched(data: bytes) -> object:
        decoded.append(data)
        return decode(data)

    monkeypatch.setattr(answer_module.msgspec.json, "decode", watched)
    vector = {"data": [0.5] * MAX_PARSED, "usage": COUNTED}
    told = json.dumps(vector).encode()
    assert counts(PassedAnswer("application/json", ""), told) == (8, 2)
    assert max(map(len, decoded)) < 200
    many = b'{"usage":[' + b"[]," * MAX_PARSED + b"1]}"
    assert counts(PassedAnswer("application/json", ""), many) == (None, None)
    assert max(map(len, decoded)) < 200


@given(
    st.binary(max_size=200),
    st.sampled_from(["text/event-stream", "application/json", ""]),
    st.sampled_from(["", "gzip", "br", "zstd", "x"]),
)
def test_any_bytes_are_taken_for_their_tokens(
    data: bytes, kind: str, encoding: str
) -> None:
    counts(PassedAnswer(kind, encoding), data, data)


def test_every_shape_says_what_it_was_made_of() -> None:
    """The readers of the tests read their makers."""
    for name, shape in SHAPES.items():
        assert isinstance(shape, Shape)
        text, call = shape.heard(b"".join(shape.made(TEXT, CALL)))
        assert (text, json.loads(call)) == ("".join(TEXT), json.loads("".join(CALL))), (
            name
        )


def data(*events: object) -> bytes:
    return b"".join(
        b"data: " + json.dumps(event).encode() + b"\n\n" for event in events
    )


def choice(text: str, **more: object) -> dict[str, object]:
    return {"choices": [{"index": 0, "delta": {"content": text}, **more}]}


HALVES = KEY[:9], KEY[9:]
SMUGGLED = {
    "the start of a block, then its deltas": data(
        {
            "type": "content_block_start",
            "index": 0,
            "content_block": {"type": "text", "text": HALVES[0]},
        },
        {
            "type": "content_block_delta",
            "index": 0,
            "delta": {"type": "text_delta", "text": HALVES[1]},
        },
    ),
    "another type each time": data(
        *({**choice(text), "type": f"t{number}"} for number, text in enumerate(HALVES))
    ),
    "an index that nobody reads": data(
        *(
            {**choice(text), "output_index": number}
            for number, text in enumerate(HALVES)
        )
    ),
    "an index written otherwise": data(
        choice(HALVES[0]),
        {"choices": [{"index": "0", "delta": {"content": HALVES[1]}}]},
    ),
    "another type, and junk beside": data(
        *(
            {
                "choices": [
                    {"index": 0, "delta": {"content": text, "junk": "zz"}},
                    {"index": 0, "delta": {"content": "x"}},
                ],
                "type": f"t{n}",
            }
            for n, text in enumerate(HALVES)
        )
    ),
    "an end in between": data(
        choice(HALVES[0], finish_reason="stop"),
        {"type": "x.done", "choices": []},
        choice(HALVES[1]),
    ),
    "an empty piece in between": data(choice(HALVES[0]), choice(""), choice(HALVES[1])),
    "a thought in between": data(
        *(
            {
                "candidates": [
                    {
                        "content": {
                            "parts": [{"text": text}, {"text": " hm ", "thought": True}]
                        }
                    }
                ]
            }
            for text in HALVES
        )
    ),
    "what no JSON is": data(choice(HALVES[0])).replace(b"}\n", b', "x": NaN}\n')
    + data(choice(HALVES[1])),
    "a byte order mark": b"\xef\xbb\xbf" + data(choice(KEY)),
    "hidden characters": data(
        *(choice(piece) for piece in (HALVES[0], "\x01", HALVES[1]))
    ),
    "several lines": b'data: {"choices":\ndata: [{"delta": {"content": "'
    + KEY.encode()
    + b'"}}]}\n\n',
    "another event's name": b"".join(
        b"event: e%d\n" % number + data(choice(text))
        for number, text in enumerate(HALVES)
    ),
}


@pytest.mark.parametrize("how", SMUGGLED)
def test_a_value_does_not_get_through_in_pieces(how: str) -> None:
    body = SMUGGLED[how]
    for chunks in ([body], [body[at : at + 1] for at in range(len(body))]):
        out, answer = passed("openai-chat", chunks)
        assert answer.verdict.action in ("REDACT", "BLOCK"), how
        assert HALVES[0].encode() not in out
        assert HALVES[1].encode() not in out


CALLED = {
    "under a key that is technical elsewhere": {
        "candidates": [
            {"content": {"parts": [{"functionCall": {"args": {"code": "rm -rf / "}}}]}}
        ]
    },
    "in a shell call": {
        "type": "response.output_item.done",
        "item": {"type": "local_shell_call", "action": {"command": ["rm -rf / "]}},
    },
    "in a custom call": {
        "output": [{"type": "custom_tool_call", "input": "rm -rf / "}]
    },
}


@pytest.mark.parametrize("how", CALLED)
def test_a_tool_call_is_known_as_one(how: str) -> None:
    assert passed("openai-chat", [data(CALLED[how])])[1].verdict.action == "BLOCK"
    assert whole(json.dumps(CALLED[how]).encode()).verdict.action == "BLOCK"


def test_numbers_do_not_go_on_one_another() -> None:
    body = data(*({"created": 1700000000123, **choice("word ")} for _ in range(20)))
    answer = streamed("openai-chat")
    assert b"".join(answer.feed(body)) == body


def test_a_binary_message_is_read_however_it_is_wrapped() -> None:
    inner = base64.b64encode(
        json.dumps({"delta": {"text": f"the key {KEY} is"}}).encode()
    ).decode()
    for payload in (
        json.dumps({"p": inner, "bytes": inner}),
        json.dumps({"bytes": inner, "more": 1}),
        '{"bytes":"' + inner.replace(inner[0], f"\\u{ord(inner[0]):04x}", 1) + '"}',
    ):
        out, answer = passed(
            "bedrock-invoke",
            [_message(_header(":event-type", "chunk"), payload.encode())],
        )
        assert answer.verdict.action in ("REDACT", "BLOCK")
        (frame,) = EventStream().feed(out) or [None]
        assert KEY.encode() not in (frame.data or b"") if frame else True
    out, answer = passed(
        "bedrock-converse", [_message(_header(":error-message", KEY), b"{}")]
    )
    assert (answer.verdict.action, KEY.encode() in out) == ("BLOCK", False)


def test_an_array_that_is_ended_is_an_array() -> None:
    out, _ = passed(
        "gemini-array",
        [
            b'[{"candidates":[{"content":{"parts":[{"functionCall":{"args":{"c":"rm -rf / "}}}]}}]}'
        ],
    )
    assert json.loads(out)[0]["error"]["message"].startswith("Blocked")


def test_many_choices_that_end_at_once_take_no_long_time() -> None:
    body = data(
        {
            "choices": [
                {"index": n, "delta": {"content": f"word{n} "}, "finish_reason": "stop"}
                for n in range(3000)
            ]
        }
    )
    began = time.process_time()
    passed("openai-chat", [body])
    assert time.process_time() - began < 5.0  # it was minutes


def test_failing_open_passes_all_that_came() -> None:
    answer = streamed("openai-chat")
    frames = SHAPES["openai-chat"].made(["one ", "AKIAQ", "two"], [])
    out = b"".join(answer.feed(frames[0] + frames[1] + frames[2]))
    assert out + b"".join(answer.stop_judging()) + b"".join(
        answer.feed(frames[3])
    ) == b"".join(frames[:4])
