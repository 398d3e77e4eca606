"""A text that a provider signed is never edited: known by its place, its signature, and an answer in which it was seen."""

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addons.answers.answer import judge_whole
from addons.answers.streamed import StreamedAnswer
from addons.calls.signed_texts import Pair, hashes_of, hashes_of_parts, seen
from addons.framing import framing_of
from addons.framing.decode import NoEncoding
from addons.framing.frame import Frame
from addons.providers import anthropic, bedrock, gemini, openai
from addons.providers.provider import Call
from rules.evaluate import evaluate
from rules.exchange import Exchange
from rules.redact import splice
from rules.rulebook import Rulebook
from rules.sources import shipped
from rules.stream import Stream
from rules.verdict import Verdict
from tests.support.shared import library

FOUND = "AKIAQYLPMN5HHHFPZAM2"
THOUGHT = f"The file holds {FOUND}."
SIGN = "EqQBCgIYAhIkY2Fu"
KEY = b"a tenant's own key"
FORMATS = {
    format.name: format
    for module in (anthropic, bedrock, gemini, openai)
    for format in module.FORMATS
}
THINKING = {"type": "thinking", "thinking": THOUGHT, "signature": SIGN}
REASONING = {
    "reasoningContent": {"reasoningText": {"text": THOUGHT, "signature": SIGN}}
}
CALLED = {
    "functionCall": {"name": "f", "args": {"q": THOUGHT}},
    "thoughtSignature": SIGN,
}


@cache
def book(preset: str) -> Rulebook:
    return library(shipped()).rulebook(preset)


def turn(content: Any, role: str = "assistant", key: str = "content") -> list[Any]:
    """A conversation whose second message is `content`."""
    return [
        {"role": "user", key: [{"text": "hi"}]},
        {"role": role, key: content},
        {"role": "user", key: [{"text": "and now?"}]},
    ]


SIGNED: list[tuple[str, Any]] = [
    ("anthropic-messages", {"messages": turn([THINKING])}),
    ("anthropic-messages", {"messages": turn([{"type": "redacted_thinking", "data": THOUGHT}])}),
    ("anthropic-batches", {"requests": [{"custom_id": "1", "params": {"messages": turn([THINKING])}}]}),
    ("bedrock-converse", {"messages": turn([REASONING])}),
    ("bedrock-converse", {"messages": turn([{"reasoningContent": {"redactedContent": THOUGHT}}])}),
    ("bedrock-invoke", {"anthropic_version": "bedrock-2023-05-31", "messages": turn([THINKING])}),
    ("gemini", {"contents": turn([CALLED], "model", "parts")}),
    ("gemini", {"contents": turn([{"text": THOUGHT, "thought_signature": SIGN}], "model", "parts")}),
    ("gemini", {"request": {"contents": turn([CALLED], "model", "parts")}}),
    ("openai-responses", {"input": [{"type": "reasoning", "summary": [], "encrypted_content": THOUGHT}, {"role": "user", "content": "hi"}]}),
    ("openai-responses", {"input": [{"type": "compaction", "encrypted_content": THOUGHT}, {"role": "user", "content": "hi"}]}),
]  # fmt: skip
PLAIN: list[tuple[str, Any]] = [
    ("anthropic-messages", {"messages": turn([THINKING], "user")}),
    ("anthropic-messages", {"messages": turn([{**THINKING, "signature": ""}])}),
    ("anthropic-messages", {"messages": turn([{"type": "thinking", "thinking": THOUGHT}])}),
    ("anthropic-messages", {"messages": turn([{"type": "text", "text": THOUGHT, "signature": SIGN}])}),
    ("anthropic-messages", {"messages": turn([{"type": "tool_result", "content": [THINKING]}])}),
    ("anthropic-messages", {"messages": turn([{**THINKING, "signature": [SIGN]}])}),
    ("anthropic-messages", {"system": [THINKING], "messages": turn("hello")}),
    ("anthropic-messages", {"messages": turn([{"thinking": THINKING}])}),
    ("bedrock-converse", {"messages": turn([REASONING], "user")}),
    ("bedrock-converse", {"messages": turn([{"reasoningContent": {"reasoningText": {"text": THOUGHT}}}])}),
    ("gemini", {"contents": turn([CALLED], "user", "parts")}),
    ("gemini", {"contents": turn([{"text": THOUGHT}, {"thoughtSignature": SIGN}], "model", "parts")}),
    ("openai-responses", {"input": [{"type": "message", "role": "user", "encrypted_content": THOUGHT}]}),
    ("openai-responses", {"input": [{"type": "reasoning", "summary": [{"type": "summary_text", "text": THOUGHT}], "encrypted_content": "x"}]}),
    ("openai-chat", {"messages": turn([THINKING])}),
]  # fmt: skip


def exchange_of(format: str, call: Any) -> tuple[bytes, Exchange]:
    body = json.dumps(call).encode()
    read = FORMATS[format].read_call(body, "/model/x/converse", "m")
    assert isinstance(read, Call)
    return body, Exchange(parts=read.parts)


def judged(exchange: Exchange, preset: str = "default") -> Verdict:
    return evaluate(book(preset), exchange, key=KEY)


def with_known(exchange: Exchange, pairs: Sequence[Pair]) -> Exchange:
    """As `CallJudge` does it, where these pairs are remembered."""
    known = dict.fromkeys(hashes_of(pairs, KEY), b"")
    verdict = judged(exchange)
    return replace(
        exchange, signed=seen(hashes_of_parts(exchange, verdict.signed, KEY), known)
    )


@pytest.mark.parametrize(("format", "call"), SIGNED)
def test_a_signed_text_is_left_and_flagged(format: str, call: Any) -> None:
    _, exchange = exchange_of(format, call)
    verdict = judged(exchange)
    assert (verdict.action, verdict.edits) == ("FLAG", ())
    assert verdict.unreadable == ("signed_unseen",)
    assert verdict.would_strict == "BLOCK"
    assert judged(exchange, "strict").by.id == "signed.unseen"  # type: ignore[union-attr]
    genuine = [(part.signature, part.text) for part in exchange.parts if part.signature]
    exchange = with_known(exchange, genuine)
    for preset in ("default", "strict"):
        verdict = judged(exchange, preset)
        assert (verdict.action, verdict.edits, verdict.unreadable) == (
            "FLAG",
            (),
            ("signed",),
        )


@pytest.mark.parametrize(("format", "call"), SIGNED)
def test_a_genuine_signature_covers_no_other_text(format: str, call: Any) -> None:
    _, exchange = exchange_of(format, call)
    exchange = with_known(exchange, [(SIGN, "another text"), ("other", THOUGHT)])
    assert judged(exchange, "strict").action == "BLOCK"


@pytest.mark.parametrize(("format", "call"), PLAIN)
def test_elsewhere_it_is_a_text_like_any_other(format: str, call: Any) -> None:
    body, exchange = exchange_of(format, call)
    verdict = judged(exchange)
    assert verdict.action == "REDACT"
    assert FOUND.encode() not in splice(body, verdict.edits)


def test_a_value_that_is_redacted_elsewhere_stays_in_a_signed_text() -> None:
    call = {"messages": [*turn([THINKING]), {"role": "user", "content": FOUND}]}
    body, exchange = exchange_of("anthropic-messages", call)
    verdict = judged(exchange)
    left = json.loads(splice(body, verdict.edits))
    assert left["messages"][1] == call["messages"][1]
    assert FOUND not in left["messages"][3]["content"]


# -- in answers -------------------------------------------------------------------------


def sse(*events: dict[str, Any]) -> bytes:
    return b"".join(
        f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()
        for event in events
    )


def delta(index: int, **delta: str) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": delta}


def thought(*pieces: str, signature: str = SIGN) -> bytes:
    """Anthropic's stream of a thought and an answer."""
    begin = {"type": "thinking", "thinking": "", "signature": ""}
    return sse(
        {"type": "content_block_start", "index": 0, "content_block": begin},
        *(delta(0, type="thinking_delta", thinking=piece) for piece in pieces),
        delta(0, type="signature_delta", signature=signature),
        {"type": "content_block_stop", "index": 0},
        {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
        *(delta(1, type="text_delta", text=piece) for piece in pieces),
        {"type": "content_block_stop", "index": 1},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 5}},
        {"type": "message_stop"},
    )  # fmt: skip


def streamed(chunks: Sequence[bytes], content_type: str = "text/event-stream") -> tuple[bytes, StreamedAnswer, list[Pair]]:  # fmt: skip
    pairs: list[Pair] = []
    framing = framing_of(content_type, grows=False)
    assert framing is not None
    stream: Stream[Frame] = Stream(
        book("strict"), Exchange(direction="response"), key=KEY
    )
    answer = StreamedAnswer(
        framing, NoEncoding(), stream, lambda why, code: [], str, pairs.extend
    )
    out = b"".join(b"".join(answer.feed(chunk)) for chunk in chunks)
    return out + b"".join(answer.end()), answer, pairs


@given(st.lists(st.integers(1, len(THOUGHT) - 1), max_size=4), st.lists(st.integers(1, 2_000), max_size=4))  # fmt: skip
def test_a_streamed_thought_is_left_and_seen_wherever_it_is_cut(
    places: list[int], cuts: list[int]
) -> None:
    edges = [0, *sorted(set(places)), len(THOUGHT)]
    pieces = [THOUGHT[a:b] for a, b in pairwise(edges)]
    body = thought(*pieces)
    steps = [0, *sorted({cut for cut in cuts if cut < len(body)}), len(body)]
    chunks = [body[a:b] for a, b in pairwise(steps)]
    out, answer, pairs = streamed(chunks)
    before, *_ = body.partition(b'"text_delta"')
    assert out.startswith(before)
    assert FOUND.encode() not in out[len(before) :]
    assert (SIGN, THOUGHT) in pairs
    assert (SIGN, SIGN) in pairs
    assert answer.verdict.action == "REDACT"
    assert "signed_unseen" in answer.verdict.unreadable


def test_what_a_bedrock_stream_signed_is_seen() -> None:
    events = (
        {"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"reasoningContent": {"text": "The file "}}}},
        {"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"reasoningContent": {"text": f"holds {FOUND}."}}}},
        {"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"reasoningContent": {"signature": SIGN}}}},
    )  # fmt: skip
    body = b"".join(json.dumps(event).encode() + b"\n" for event in events)
    out, _, pairs = streamed([body], "application/x-ndjson")
    assert out == body
    assert (SIGN, THOUGHT) in pairs


WHOLE: list[tuple[Any, list[Pair]]] = [
    ({"content": [THINKING]}, [(SIGN, THOUGHT), (SIGN, SIGN)]),
    ({"content": [{"type": "redacted_thinking", "data": THOUGHT}]}, [(THOUGHT, THOUGHT)]),
    ({"output": {"message": {"content": [REASONING]}}}, [(SIGN, THOUGHT), (SIGN, SIGN)]),
    ({"candidates": [{"content": {"parts": [CALLED]}}]}, [(SIGN, THOUGHT), (SIGN, "f")]),
    ({"output": [{"type": "reasoning", "encrypted_content": THOUGHT}]}, [(THOUGHT, THOUGHT)]),
]  # fmt: skip


@pytest.mark.parametrize(("answer", "pairs"), WHOLE)
def test_a_whole_answers_signed_texts_are_left_and_seen(
    answer: Any, pairs: list[Pair]
) -> None:
    judged = judge_whole(
        book("strict"),
        Exchange(direction="response"),
        json.dumps(answer).encode(),
        "application/json",
        "",
        key=KEY,
    )
    assert judged.body is None
    assert set(pairs) <= {one[:2] for one in judged.bound}


def test_a_signed_call_of_a_tool_is_still_refused() -> None:
    """A refusal edits nothing, and a signature makes no command harmless."""
    wipe = {"functionCall": {"name": "Bash", "args": {"command": "rm -rf /"}}, "thoughtSignature": SIGN}  # fmt: skip
    body = json.dumps({"candidates": [{"content": {"parts": [wipe]}}]}).encode()
    judged = judge_whole(
        book("default"),
        Exchange(direction="response"),
        body,
        "application/json",
        "",
        key=KEY,
    )
    assert judged.verdict is not None
    assert judged.verdict.action == "BLOCK"
