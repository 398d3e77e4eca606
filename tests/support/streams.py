"""Streamed answers of pretend providers, in the shapes that the real ones send: text, then a tool call, then how much it took.

Each maker gives the frames of one answer; each reader, written apart from what the proxy does, gives the text and the tool's arguments
that a client would put together from such bytes.
"""

import base64
import binascii
import json
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

TOOL = "shell"  # the one that is called
Frames = list[bytes]
# of the pieces of a text, and of a tool call's arguments (none: no call)
Made = Callable[[Sequence[str], Sequence[str]], Frames]
Heard = Callable[[bytes], tuple[str, str]]


class Shape(NamedTuple):
    """How one format streams, where it is asked for, and with which call."""

    url: str
    call: dict[str, Any]
    content_type: str
    made: Made
    heard: Heard


def _sse(event: dict[str, Any], name: str = "") -> bytes:
    return (
        (f"event: {name}\n" if name else "").encode()
        + b"data: "
        + json.dumps(event, ensure_ascii=False).encode()
        + b"\n\n"
    )


def _events(body: bytes) -> Iterator[dict[str, Any]]:
    for line in body.decode().split("\n"):
        if line.startswith("data: {"):
            yield json.loads(line[6:])


def _chat(text: Sequence[str], call: Sequence[str]) -> Frames:
    def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return _sse(
            {
                "id": "chatcmpl-7",
                "object": "chat.completion.chunk",
                "created": 1,
                "model": "m",
                "choices": [choice],
                **more,
            }
        )

    def tool(**more: Any) -> dict[str, Any]:
        return {"tool_calls": [{"index": 0, **more}]}

    frames = [
        chunk({"role": "assistant", "content": "", "refusal": None}),
        *(chunk({"content": piece}) for piece in text),
    ]
    if call:
        frames.append(
            chunk(
                tool(
                    id="call_1",
                    type="function",
                    function={"name": TOOL, "arguments": ""},
                )
            )
        )
        frames += [chunk(tool(function={"arguments": piece})) for piece in call]
    usage = {"prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16}
    end = {
        "id": "chatcmpl-7",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": [],
        "usage": usage,
    }
    return [
        *frames,
        chunk({}, "tool_calls" if call else "stop"),
        _sse(end),
        b"data: [DONE]\n\n",
    ]


def _mistral(text: Sequence[str], call: Sequence[str]) -> Frames:
    """As OpenAI's, but a tool call comes whole."""

    def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return _sse(
            {
                "id": "c7",
                "object": "chat.completion.chunk",
                "created": 1,
                "model": "m",
                "choices": [choice],
                **more,
            }
        )

    frames = [
        chunk({"role": "assistant", "content": ""}),
        *(chunk({"content": piece}) for piece in text),
    ]
    if call:
        function = {"name": TOOL, "arguments": "".join(call)}
        frames.append(
            chunk(
                {
                    "content": "",
                    "tool_calls": [
                        {
                            "id": "abc123def",
                            "type": "function",
                            "function": function,
                            "index": 0,
                        }
                    ],
                }
            )
        )
    usage = {"prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16}
    return [
        *frames,
        chunk({"content": ""}, "tool_calls" if call else "stop", usage=usage),
        b"data: [DONE]\n\n",
    ]


def _heard_chat(body: bytes) -> tuple[str, str]:
    deltas = [
        choice["delta"]
        for event in _events(body)
        for choice in event.get("choices", ())
    ]
    calls = [
        call["function"].get("arguments", "")
        for delta in deltas
        for call in delta.get("tool_calls", ())
    ]
    return "".join(delta.get("content") or "" for delta in deltas), "".join(calls)


def _responses(text: Sequence[str], call: Sequence[str]) -> Frames:
    def response(status: str, output: list[Any]) -> dict[str, Any]:
        usage = (
            {"input_tokens": 11, "output_tokens": 5, "total_tokens": 16}
            if status == "completed"
            else None
        )
        base = {
            "id": "resp_1",
            "object": "response",
            "created_at": 1,
            "model": "m",
            "parallel_tool_calls": True,
            "tool_choice": "auto",
        }
        return {**base, "tools": [], "status": status, "output": output, "usage": usage}

    def message(status: str, said: list[Any]) -> dict[str, Any]:
        return {
            "id": "msg_1",
            "type": "message",
            "status": status,
            "role": "assistant",
            "content": said,
        }

    def called(status: str, arguments: str) -> dict[str, Any]:
        return {
            "id": "fc_1",
            "type": "function_call",
            "status": status,
            "call_id": "call_1",
            "name": TOOL,
            "arguments": arguments,
        }

    at = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    part = {"type": "output_text", "text": "".join(text), "annotations": []}
    output: list[Any] = [message("completed", [part])]
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": response("in_progress", [])},
        {
            "type": "response.output_item.added",
            "output_index": 0,
            "item": message("in_progress", []),
        },
        {"type": "response.content_part.added", **at, "part": {**part, "text": ""}},
        *(
            {"type": "response.output_text.delta", **at, "delta": piece, "logprobs": []}
            for piece in text
        ),
        {
            "type": "response.output_text.done",
            **at,
            "text": "".join(text),
            "logprobs": [],
        },
        {"type": "response.content_part.done", **at, "part": part},
        {"type": "response.output_item.done", "output_index": 0, "item": output[0]},
    ]
    if call:
        output.append(called("completed", "".join(call)))
        at = {"item_id": "fc_1", "output_index": 1}
        events += [
            {
                "type": "response.output_item.added",
                "output_index": 1,
                "item": called("in_progress", ""),
            },
            *(
                {"type": "response.function_call_arguments.delta", **at, "delta": piece}
                for piece in call
            ),
            {
                "type": "response.function_call_arguments.done",
                **at,
                "name": TOOL,
                "arguments": "".join(call),
            },
            {"type": "response.output_item.done", "output_index": 1, "item": output[1]},
        ]
    events.append(
        {"type": "response.completed", "response": response("completed", output)}
    )
    return [
        _sse({**event, "sequence_number": number}, event["type"])
        for number, event in enumerate(events)
    ]


def _heard_responses(body: bytes) -> tuple[str, str]:
    deltas = [
        (event["type"], event["delta"])
        for event in _events(body)
        if event["type"].endswith(".delta")
    ]
    text = "".join(delta for kind, delta in deltas if "output_text" in kind)
    return text, "".join(delta for kind, delta in deltas if "arguments" in kind)


def _messages(text: Sequence[str], call: Sequence[str]) -> Frames:
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
    }
    events: list[dict[str, Any]] = [
        {
            "type": "message_start",
            "message": {**message, "usage": {"input_tokens": 11, "output_tokens": 1}},
        },
        {
            "type": "content_block_start",
            "index": 0,
            "content_block": {"type": "text", "text": ""},
        },
        {"type": "ping"},
        *(
            {
                "type": "content_block_delta",
                "index": 0,
                "delta": {"type": "text_delta", "text": piece},
            }
            for piece in text
        ),
        {"type": "content_block_stop", "index": 0},
    ]
    if call:
        block = {"type": "tool_use", "id": "toolu_1", "name": TOOL, "input": {}}
        deltas = (
            {
                "type": "content_block_delta",
                "index": 1,
                "delta": {"type": "input_json_delta", "partial_json": piece},
            }
            for piece in call
        )
        events += [
            {"type": "content_block_start", "index": 1, "content_block": block},
            *deltas,
            {"type": "content_block_stop", "index": 1},
        ]
    stop = {"stop_reason": "tool_use" if call else "end_turn", "stop_sequence": None}
    events += [
        {"type": "message_delta", "delta": stop, "usage": {"output_tokens": 5}},
        {"type": "message_stop"},
    ]
    return [_sse(event, event["type"]) for event in events]


def _heard_messages(body: bytes) -> tuple[str, str]:
    deltas = [
        event["delta"]
        for event in _events(body)
        if event["type"] == "content_block_delta"
    ]
    return "".join(delta.get("text", "") for delta in deltas), "".join(
        delta.get("partial_json", "") for delta in deltas
    )


def _gemini_events(text: Sequence[str], call: Sequence[str]) -> list[dict[str, Any]]:
    def event(part: dict[str, Any], **more: Any) -> dict[str, Any]:
        content = {"parts": [part], "role": "model"}
        return {
            "candidates": [{"content": content, "index": 0, **more}],
            "modelVersion": "m",
            "responseId": "r1",
        }

    events = [event({"text": piece}) for piece in text]
    if call:
        events.append(
            event({"functionCall": {"name": TOOL, "args": json.loads("".join(call))}})
        )
    events.append(event({"text": ""}, finishReason="STOP"))
    events[-1]["usageMetadata"] = {
        "promptTokenCount": 11,
        "candidatesTokenCount": 5,
        "totalTokenCount": 16,
    }
    return events


def _gemini(text: Sequence[str], call: Sequence[str]) -> Frames:
    return [
        b"data: " + json.dumps(event).encode() + b"\r\n\r\n"
        for event in _gemini_events(text, call)
    ]


def _gemini_array(text: Sequence[str], call: Sequence[str]) -> Frames:
    events = [
        json.dumps(event, indent=2).encode() for event in _gemini_events(text, call)
    ]
    return [b"[" + events[0], *(b"\n,\r\n" + event for event in events[1:]), b"\n]\n"]


def _heard_gemini(body: bytes) -> tuple[str, str]:
    return _of_candidates(list(_events(body.replace(b"\r", b""))))


def _heard_gemini_array(body: bytes) -> tuple[str, str]:
    return _of_candidates(json.loads(body))


def _of_candidates(events: list[dict[str, Any]]) -> tuple[str, str]:
    parts = [
        part
        for event in events
        for one in event.get("candidates", ())
        for part in one["content"]["parts"]
    ]
    calls = [
        json.dumps(part["functionCall"]["args"])
        for part in parts
        if "functionCall" in part
    ]
    return "".join(part.get("text", "") for part in parts), "".join(calls)


def _message(kind: str, event: str, payload: bytes) -> bytes:
    headers = b"".join(
        bytes([len(name)]) + name + b"\x07" + struct.pack(">H", len(value)) + value
        for name, value in (
            (b":event-type", event.encode()),
            (b":content-type", b"application/json"),
            (b":message-type", kind.encode()),
        )
    )
    start = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    message = start + struct.pack(">I", binascii.crc32(start)) + headers + payload
    return message + struct.pack(">I", binascii.crc32(message))


def _unframed(body: bytes) -> Iterator[tuple[str, Any]]:
    while body:
        length, headers, _ = struct.unpack(">III", body[:12])
        assert struct.unpack(">I", body[length - 4 : length])[0] == binascii.crc32(
            body[: length - 4]
        )
        name = (
            body[12 : 12 + headers]
            .split(b":event-type\x07", 1)[-1][2:]
            .split(b"\x0d:content-type")[0]
            .decode("utf-8", "replace")
        )
        yield name, json.loads(body[12 + headers : length - 4])
        body = body[length:]


def _converse(text: Sequence[str], call: Sequence[str]) -> Frames:
    events: list[tuple[str, dict[str, Any]]] = [
        ("messageStart", {"role": "assistant", "p": "abcd"})
    ]
    events += [
        (
            "contentBlockDelta",
            {"contentBlockIndex": 0, "delta": {"text": piece}, "p": "abc"},
        )
        for piece in text
    ]
    events.append(("contentBlockStop", {"contentBlockIndex": 0}))
    if call:
        use = {"toolUse": {"toolUseId": "t1", "name": TOOL}}
        events.append(("contentBlockStart", {"contentBlockIndex": 1, "start": use}))
        events += [
            (
                "contentBlockDelta",
                {"contentBlockIndex": 1, "delta": {"toolUse": {"input": piece}}},
            )
            for piece in call
        ]
        events.append(("contentBlockStop", {"contentBlockIndex": 1}))
    usage = {"inputTokens": 11, "outputTokens": 5, "totalTokens": 16}
    events += [
        ("messageStop", {"stopReason": "end_turn"}),
        ("metadata", {"usage": usage, "metrics": {"latencyMs": 1}}),
    ]
    return [
        _message("event", name, json.dumps(event).encode()) for name, event in events
    ]


def _heard_converse(body: bytes) -> tuple[str, str]:
    deltas = [
        event["delta"] for name, event in _unframed(body) if name == "contentBlockDelta"
    ]
    return "".join(d.get("text", "") for d in deltas), "".join(
        d["toolUse"]["input"] for d in deltas if "toolUse" in d
    )


def _invoke(text: Sequence[str], call: Sequence[str]) -> Frames:
    inner = [frame.split(b"data: ", 1)[1].strip() for frame in _messages(text, call)]
    return [
        _message(
            "event",
            "chunk",
            json.dumps(
                {"bytes": base64.b64encode(one).decode(), "p": "abcdef"}
            ).encode(),
        )
        for one in inner
    ]


def _heard_invoke(body: bytes) -> tuple[str, str]:
    chunks = [
        base64.b64decode(event["bytes"])
        for name, event in _unframed(body)
        if name == "chunk"
    ]
    return _heard_messages(b"".join(b"data: " + chunk + b"\n\n" for chunk in chunks))


def _cohere(text: Sequence[str], call: Sequence[str]) -> Frames:
    events: list[dict[str, Any]] = [
        {
            "type": "message-start",
            "id": "c1",
            "delta": {
                "message": {
                    "role": "assistant",
                    "content": [],
                    "tool_plan": "",
                    "tool_calls": [],
                }
            },
        },
        {
            "type": "content-start",
            "index": 0,
            "delta": {"message": {"content": {"type": "text", "text": ""}}},
        },
        *(
            {
                "type": "content-delta",
                "index": 0,
                "delta": {"message": {"content": {"text": piece}}},
            }
            for piece in text
        ),
        {"type": "content-end", "index": 0},
    ]
    if call:
        begun = {
            "id": "t1",
            "type": "function",
            "function": {"name": TOOL, "arguments": ""},
        }
        events.append(
            {
                "type": "tool-call-start",
                "index": 0,
                "delta": {"message": {"tool_calls": begun}},
            }
        )
        deltas = [
            {"message": {"tool_calls": {"function": {"arguments": piece}}}}
            for piece in call
        ]
        events += [
            {"type": "tool-call-delta", "index": 0, "delta": delta} for delta in deltas
        ]
        events.append({"type": "tool-call-end", "index": 0})
    tokens = {"tokens": {"input_tokens": 11, "output_tokens": 5}}
    events.append(
        {"type": "message-end", "delta": {"finish_reason": "COMPLETE", "usage": tokens}}
    )
    return [_sse(event, event["type"]) for event in events]


def _heard_cohere(body: bytes) -> tuple[str, str]:
    messages = [
        (event["type"], event["delta"]["message"])
        for event in _events(body)
        if event["type"].endswith("-delta")
    ]
    calls = [
        message["tool_calls"]["function"]["arguments"]
        for kind, message in messages
        if kind == "tool-call-delta"
    ]
    return "".join(
        message["content"]["text"]
        for kind, message in messages
        if kind == "content-delta"
    ), "".join(calls)


def _ollama(text: Sequence[str], call: Sequence[str]) -> Frames:
    def line(message: dict[str, Any], *, done: bool = False, **more: Any) -> bytes:
        return (
            json.dumps(
                {
                    "model": "m",
                    "created_at": "2026-01-01T00:00:00Z",
                    "message": message,
                    "done": done,
                    **more,
                }
            ).encode()
            + b"\n"
        )

    frames = [line({"role": "assistant", "content": piece}) for piece in text]
    if call:
        called = {"function": {"name": TOOL, "arguments": json.loads("".join(call))}}
        frames.append(
            line({"role": "assistant", "content": "", "tool_calls": [called]})
        )
    counts = {"done_reason": "stop", "prompt_eval_count": 11, "eval_count": 5}
    return [*frames, line({"role": "assistant", "content": ""}, done=True, **counts)]


def _heard_ollama(body: bytes) -> tuple[str, str]:
    messages = [
        json.loads(line).get("message", {}) for line in body.splitlines() if line
    ]
    calls = [
        json.dumps(call["function"]["arguments"])
        for message in messages
        for call in message.get("tool_calls", ())
    ]
    return "".join(message.get("content", "") for message in messages), "".join(calls)


def _completions(text: Sequence[str], call: Sequence[str]) -> Frames:
    def chunk(piece: str, finish: str | None = None, **more: Any) -> bytes:
        choice = {"text": piece, "index": 0, "logprobs": None, "finish_reason": finish}
        return _sse(
            {
                "id": "cmpl-1",
                "object": "text_completion",
                "created": 1,
                "model": "m",
                "choices": [choice],
                **more,
            }
        )

    usage = {"prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16}
    return [*map(chunk, text), chunk("", "stop", usage=usage), b"data: [DONE]\n\n"]


def _heard_completions(body: bytes) -> tuple[str, str]:
    return "".join(
        choice["text"] for event in _events(body) for choice in event.get("choices", ())
    ), ""


def _cohere_v1(text: Sequence[str], call: Sequence[str]) -> Frames:
    events: list[dict[str, Any]] = [
        {"event_type": "stream-start", "generation_id": "g1"}
    ]
    events += [{"event_type": "text-generation", "text": piece} for piece in text]
    meta = {"tokens": {"input_tokens": 11, "output_tokens": 5}}
    events.append(
        {
            "event_type": "stream-end",
            "finish_reason": "COMPLETE",
            "response": {"text": "".join(text), "meta": meta},
        }
    )
    return [
        json.dumps(
            {"is_finished": event["event_type"] == "stream-end", **event}
        ).encode()
        + b"\n"
        for event in events
    ]


def _heard_cohere_v1(body: bytes) -> tuple[str, str]:
    events = [json.loads(line) for line in body.splitlines() if line]
    return "".join(
        event["text"]
        for event in events
        if event.get("event_type") == "text-generation"
    ), ""


def _huggingface(text: Sequence[str], call: Sequence[str]) -> Frames:
    def event(piece: str, generated: str | None = None) -> bytes:
        return _sse(
            {
                "index": 1,
                "token": {"id": 7, "text": piece, "logprob": -0.1, "special": False},
                "generated_text": generated,
                "details": None,
            }
        )

    return [*map(event, text), event("", "".join(text))]


def _heard_huggingface(body: bytes) -> tuple[str, str]:
    return "".join(
        event["token"]["text"] for event in _events(body) if "token" in event
    ), ""


def _mcp(text: Sequence[str], call: Sequence[str]) -> Frames:
    """A tool's result is one message; what comes before it tells how far it is."""
    told = [
        {
            "jsonrpc": "2.0",
            "method": "notifications/progress",
            "params": {"progressToken": 1, "progress": 1},
        }
    ]
    result = {
        "jsonrpc": "2.0",
        "id": 7,
        "result": {
            "content": [{"type": "text", "text": "".join(text)}],
            "isError": False,
        },
    }
    return [_sse(event, "message") for event in (*told, result)]


def _heard_mcp(body: bytes) -> tuple[str, str]:
    results = [event["result"] for event in _events(body) if "result" in event]
    return "".join(
        block["text"] for result in results for block in result["content"]
    ), ""


ASK = [{"role": "user", "content": "please"}]
SHAPES = {
    "openai-chat": Shape(
        "https://api.openai.com/v1/chat/completions", {"model": "m", "stream": True, "messages": ASK}, "text/event-stream", _chat, _heard_chat
    ),
    "mistral-chat": Shape(
        "https://api.mistral.ai/v1/chat/completions", {"model": "m", "stream": True, "messages": ASK}, "text/event-stream", _mistral, _heard_chat
    ),
    "openai-responses": Shape(
        "https://api.openai.com/v1/responses", {"model": "m", "stream": True, "input": "please"}, "text/event-stream", _responses, _heard_responses
    ),
    "anthropic-messages": Shape(
        "https://api.anthropic.com/v1/messages",
        {"model": "m", "stream": True, "max_tokens": 9, "messages": ASK},
        "text/event-stream; charset=utf-8",
        _messages,
        _heard_messages,
    ),
    "gemini-sse": Shape(
        "https://generativelanguage.googleapis.com/v1beta/models/g:streamGenerateContent?alt=sse",
        {"contents": [{"role": "user", "parts": [{"text": "please"}]}]},
        "text/event-stream",
        _gemini,
        _heard_gemini,
    ),
    "gemini-array": Shape(
        "https://generativelanguage.googleapis.com/v1beta/models/g:streamGenerateContent",
        {"contents": [{"role": "user", "parts": [{"text": "please"}]}]},
        "application/json; charset=UTF-8",
        _gemini_array,
        _heard_gemini_array,
    ),
    "bedrock-converse": Shape(
        "https://bedrock-runtime.eu-west-3.amazonaws.com/model/anthropic.claude-v5/converse-stream",
        {"messages": [{"role": "user", "content": [{"text": "please"}]}]},
        "application/vnd.amazon.eventstream",
        _converse,
        _heard_converse,
    ),
    "bedrock-invoke": Shape(
        "https://bedrock-runtime.eu-west-3.amazonaws.com/model/anthropic.claude-v5/invoke-with-response-stream",
        {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 9, "messages": ASK},
        "application/vnd.amazon.eventstream",
        _invoke,
        _heard_invoke,
    ),
    "cohere-chat": Shape("https://api.cohere.com/v2/chat", {"model": "m", "stream": True, "messages": ASK}, "text/event-stream", _cohere, _heard_cohere),
    "ollama": Shape("https://ollama.com/api/chat", {"model": "m", "messages": ASK}, "application/x-ndjson", _ollama, _heard_ollama),
}  # fmt: skip
# Formats in which a model calls no tool, or the call is not told apart from its text.
TEXTS = {
    "completions": Shape(
        "https://api.openai.com/v1/completions", {"model": "m", "stream": True, "prompt": "please"}, "text/event-stream", _completions, _heard_completions
    ),
    "cohere-v1-chat": Shape(
        "https://api.cohere.com/v1/chat", {"model": "m", "stream": True, "message": "please"}, "application/stream+json", _cohere_v1, _heard_cohere_v1
    ),
    "huggingface": Shape(
        "https://api-inference.huggingface.co/models/m", {"inputs": "please", "stream": True}, "text/event-stream", _huggingface, _heard_huggingface
    ),
    "mcp": Shape(
        "https://api.openai.com/tools",
        {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"name": "look", "arguments": {}}},
        "text/event-stream",
        _mcp,
        _heard_mcp,
    ),
}  # fmt: skip
