"""What a stream holds back, and what it never does: a message that stands by itself, an answer that said its last word."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from addons.answers.streamed import StreamedAnswer
from tests.addons.test_answer import KEY, passed, streamed
from tests.support.streams import SHAPES

TEXT = ["It is", " a passw", "ord AKIA"]  # ends in what may begin a key
FINAL = {  # the event of each format after which its clients wait for nothing
    "openai-chat": b"[DONE]",
    "mistral-chat": b"[DONE]",
    "openai-responses": b"response.completed",
    "anthropic-messages": b"message_stop",
    "cohere-chat": b"message-end",
    "bedrock-converse": b"messageStop",
}


def sse(event: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(event).encode() + b"\n\n"


def fed(answer: StreamedAnswer, *events: bytes) -> bytes:
    return b"".join(b"".join(answer.feed(event)) for event in events)


@pytest.mark.parametrize(
    "message",
    [
        {"jsonrpc": "2.0", "id": 1, "method": "sampling/createMessage", "params": {"messages": [{"role": "user", "content": {"type": "text", "text": "say AKIA"}}], "maxTokens": 9}},
        {"jsonrpc": "2.0", "id": 2, "method": "elicitation/create", "params": {"message": "Your password", "requestedSchema": {"type": "object", "properties": {"name": {"type": "string"}}}}},
        {"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": "token: sk-"}},
        {"jsonrpc": "2.0", "id": 3, "result": {"content": [{"type": "text", "text": "AKIA"}]}},
        {"jsonrpc": "2.0", "id": 4, "error": {"code": -1, "message": "AKIA"}},
        {"jsonrpc": "2.0", "id": 5, "method": "tasks/get", "params": {"taskId": "AKIA"}},
        {"jsonrpc": "2.0", "id": 6, "result": {"task": {"taskId": "786", "status": "working", "statusMessage": "AKIA", "createdAt": "2026-11-25T10:30:00Z", "ttl": 60000}}},
        {"jsonrpc": "2.0", "id": 7, "result": {"taskId": "786", "status": "failed", "statusMessage": "AKIA", "createdAt": "2026-11-25T10:30:00Z", "lastUpdatedAt": "2026-11-25T10:40:00Z", "ttl": 60000, "pollInterval": 5000}},
    ],
)  # fmt: skip
def test_a_message_whose_sender_waits_for_an_answer_is_sent_at_once(
    message: dict[str, Any],
) -> None:
    answer = streamed("mcp")
    event = sse(message)
    assert fed(answer, event, event) == event + event
    with_key = sse(json.loads(json.dumps(message).replace("AKIA", KEY)))
    out = fed(answer, with_key)
    assert out
    assert KEY.encode() not in out
    assert (answer.verdict.action == "REDACT") == (KEY.encode() in with_key)


def test_a_mark_of_such_messages_takes_nothing_apart_that_a_client_joins() -> None:
    out, answer = passed(
        "openai-chat",
        [
            sse({"jsonrpc": "2.0", "choices": [{"index": 0, "delta": {"content": half}}]})
            for half in (KEY[:9], KEY[9:])
        ],
    )  # fmt: skip
    assert answer.verdict.action == "REDACT"
    assert KEY[:9].encode() not in out


@pytest.mark.parametrize(
    "document",
    [
        lambda half: {"jsonrpc": "2.0", "id": 1, "result": {"kind": "artifact-update", "artifact": {"parts": [{"text": half}]}, "append": True}},
        lambda half: {"jsonrpc": "2.0", "id": 1, "result": {"task" if half == KEY[:9] else "artifactUpdate": {"id": "t", "artifacts": [{"parts": [{"text": half}]}]}}},
        lambda half: {"jsonrpc": "2.0", "id": 1, "result": {"taskId": "t", "status": {"message": {"parts": [{"text": half}]}}}},
        lambda half: {"jsonrpc": "2.0", "method": "session/update", "params": {"update": {"content": {"text": half}}}},
        lambda half: {"type": "chunk", "response": {"text": half}},
    ],
)  # fmt: skip
def test_what_other_protocols_stream_in_messages_is_joined(
    document: Callable[[str], dict[str, Any]],
) -> None:
    """A2A and ACP say in messages of JSON-RPC what others say in deltas."""
    out, answer = passed("mcp", [sse(document(KEY[:9])), sse(document(KEY[9:]))])
    assert KEY[:9].encode() not in out
    assert KEY[9:].encode() not in out
    assert answer.verdict.action == "REDACT"


@pytest.mark.parametrize("name", FINAL)
def test_after_its_last_word_nothing_of_an_answer_is_held(name: str) -> None:
    answer, held = streamed(name), []
    events = SHAPES[name].made(TEXT, [])
    out = b""
    for event in events:
        out += fed(answer, event)
        held.append(FINAL[name] not in event and out[-len(event) :] != event)
        if FINAL[name] in event:
            break
    else:
        raise AssertionError("no such event")
    assert any(held)  # the words that may begin a key waited
    assert SHAPES[name].heard(out)[0] == "".join(TEXT)


def test_what_follows_the_last_word_completes_no_value() -> None:
    events = SHAPES["openai-chat"].made([KEY[:9]], [])
    assert events[-1] == b"data: [DONE]\n\n"
    again = SHAPES["openai-chat"].made([KEY[9:]], [])
    out, answer = passed("openai-chat", [*events, *again])
    assert KEY not in SHAPES["openai-chat"].heard(out)[0]
    assert answer.coverage == "partial"


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_events_keep_their_order_and_their_fields_however_they_come(end: bytes) -> None:
    """The form of the third event is that of the first two, but a line of it came before."""
    writes = [
        *(b'data: {"choices":[{"index":0,"delta":{"content":"%s."}}]}' % one + end * 2
          for one in (b"A", b"B", b"C")),
        b"id: 3" + end,
        b'data: {"choices":[{"index":0,"delta":{"content":"D."}}]}' + end * 2,
        b'data: {"choices":[{"index":0,"delta":{"content":"E."}}]}' + end * 2,
    ]  # fmt: skip
    answer = streamed("openai-chat")
    sent = [fed(answer, write) for write in writes]
    assert b"".join(sent) == b"".join(writes)
    # Each event is sent when it is whole, and none before.
    assert sent[3] == b""
    assert all(sent[:3])
    assert all(sent[4:])


def test_a_response_that_repeats_its_tools_stays_readable() -> None:
    """Codex with its connectors has 130 tools; three events repeat all of them."""
    tools = [
        {
            "type": "function",
            "name": f"tool_{number}",
            "description": f"Does number {number}.",
            "parameters": {
                "type": "object",
                "properties": {
                    f"field_{number}_{field}": {"type": "string", "description": f"{number} {field}"}
                    for field in range(6)
                },
            },
        }
        for number in range(130)
    ]  # fmt: skip
    response = {
        "id": "resp_1",
        "object": "response",
        "status": "in_progress",
        "tools": tools,
    }
    events = [
        sse({"type": f"response.{kind}", "sequence_number": number, "response": response})
        for number, kind in enumerate(("created", "in_progress"))
    ]  # fmt: skip
    events += SHAPES["openai-responses"].made(["Hello."], [])[1:]
    out, answer = passed("openai-responses", events)
    assert out == b"".join(events)
    assert (answer.coverage, answer.verdict.action) == ("full", "ALLOW")


def test_comments_of_an_event_are_read_together() -> None:
    _, answer = passed("openai-chat", [b": %s\n: %s\n\n" % (KEY[:9].encode(), KEY[9:].encode())])  # fmt: skip
    assert answer.verdict.action == "BLOCK"  # what stands there cannot be edited
