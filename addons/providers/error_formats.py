"""The error formats of providers: how a call is refused, and a stream ended, so that
SDKs show the message and do not retry.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import msgspec


class ErrorBody(NamedTuple):
    """The JSON body of a refusal and its headers.

    `status` is set where the format fixes it.
    """

    body: bytes
    headers: Mapping[str, str]
    status: int | None = None


# The last events of a stream: (name, data), the name empty where events have none.
Ending = Sequence[tuple[str, bytes]]


class Family(NamedTuple):
    """An error format.

    `refuse` answers a call: (message, decision's id, status) → body. `end` ends a
    stream: (message, decision's id) → events. `about` gives the format for one call, by
    its body, where an answer must name what it answers.
    """

    refuse: Callable[[str, str, int], ErrorBody]
    end: Callable[[str, str], Ending]
    about: "Callable[[bytes], Family] | None" = None


BLOCKED = "earthflow_blocked"


def _openai(message: str, decision: str, status: int) -> ErrorBody:
    return _error_body({"error": _openai_error(message)})


def _openai_error(message: str) -> dict[str, object]:
    return {
        "message": message,
        "type": "invalid_request_error",
        "param": None,
        "code": BLOCKED,
    }


def _openai_end(message: str, decision: str) -> Ending:
    return [("", _json({"error": _openai_error(message)})), ("", b"[DONE]")]


def _responses_end(message: str, decision: str) -> Ending:
    """Codex does not retry `invalid_prompt`; the SDKs raise the outer `error`."""
    response = {
        "id": f"resp_ef_{decision}",
        "object": "response",
        "status": "failed",
        "error": {"code": "invalid_prompt", "message": message},
        "output": [],
    }
    failed = {
        "type": "response.failed",
        "sequence_number": 2**31,
        "response": response,
        "error": _openai_error(message),
    }
    return [("response.failed", _json(failed))]


def _anthropic(message: str, decision: str, status: int) -> ErrorBody:
    return _error_body(
        {**_anthropic_error(message), "request_id": f"req_ef_{decision}"}
    )


def _anthropic_error(message: str) -> dict[str, object]:
    return {
        "type": "error",
        "error": {"type": "invalid_request_error", "message": message},
    }


def _anthropic_end(message: str, decision: str) -> Ending:
    return [("error", _json(_anthropic_error(message)))]


def _gemini(message: str, decision: str, status: int) -> ErrorBody:
    return _error_body(
        {"error": {"code": status, "message": message, "status": "FAILED_PRECONDITION"}}
    )


def _gemini_end(message: str, decision: str) -> Ending:
    """Its SDKs raise what begins with an error.

    Its CLI knows no error here, and would retry without a last text.
    """
    error = {"code": 400, "message": message, "status": "FAILED_PRECONDITION"}
    candidate = {
        "index": 0,
        "content": {"role": "model", "parts": [{"text": f"\n{message}"}]},
        "finishReason": "STOP",
    }
    return [
        (
            "",
            _json(
                {
                    "error": error,
                    "candidates": [candidate],
                    "responseId": f"ef-{decision}",
                }
            ),
        )
    ]


def _bedrock(message: str, decision: str, status: int) -> ErrorBody:
    return _error_body(
        {"message": message}, {"x-amzn-errortype": "ValidationException"}
    )


def _bedrock_end(message: str, decision: str) -> Ending:
    return [("validationException", _json({"message": message}))]


def _mistral(message: str, decision: str, status: int) -> ErrorBody:
    return _error_body({"object": "error", **_openai_error(message)})


def _mistral_end(message: str, decision: str) -> Ending:
    """Its SDK has no error event, and ignores unknown ones; but a chunk may finish with
    an error.
    """
    choice = {
        "index": 0,
        "delta": {"role": "assistant", "content": f"\n{message}"},
        "finish_reason": "error",
    }
    chunk = {
        "id": f"ef-{decision}",
        "object": "chat.completion.chunk",
        "created": 0,
        "model": "earthflow",
        "choices": [choice],
    }
    return [("", _json(chunk)), ("", b"[DONE]")]


def _cohere(message: str, decision: str, status: int) -> ErrorBody:
    return _error_body({"id": decision, "message": message})


def _cohere_end(message: str, decision: str) -> Ending:
    """Version 2's last event has a field for an error; version 1's is a line of its
    own.
    """
    response = {"text": message, "generation_id": decision}
    first = {
        "event_type": "stream-end",
        "is_finished": True,
        "finish_reason": "ERROR",
        "response": response,
    }
    return [
        (
            "message-end",
            _json(
                {
                    **first,
                    "type": "message-end",
                    "delta": {"finish_reason": "ERROR", "error": message},
                }
            ),
        )
    ]


def _ollama(message: str, decision: str, status: int) -> ErrorBody:
    return _error_body({"error": message})


def _ollama_end(message: str, decision: str) -> Ending:
    return [("", _json({"error": message}))]


def _realtime_end(message: str, decision: str) -> Ending:
    """An event, before the WebSocket is closed."""
    return [
        (
            "",
            _json(
                {
                    "type": "error",
                    "event_id": f"event_ef_{decision}",
                    "error": {**_openai_error(message), "event_id": None},
                }
            ),
        )
    ]


def _nothing_end(message: str, decision: str) -> Ending:
    """There is no event for it; the reason of the close frame tells why."""
    return []


def _mcp(message: str, decision: str, status: int) -> ErrorBody:
    return _mcp_about(b"").refuse(message, decision, status)


def _mcp_about(body: bytes) -> Family:
    """A JSON-RPC answer has the id of its call.

    A refused tool has failed, so that the model reads why.
    """
    try:
        call = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        call = None
    call = call if isinstance(call, dict) else {}

    def said(message: str) -> dict[str, object]:
        base = {"jsonrpc": "2.0", "id": call.get("id")}
        if call.get("method") == "tools/call":
            return {
                **base,
                "result": {
                    "isError": True,
                    "content": [{"type": "text", "text": message}],
                },
            }
        return {**base, "error": {"code": -32001, "message": message}}

    return Family(
        lambda message, decision, status: ErrorBody(
            _json(said(message)), {}, 200 if "id" in call else status
        ),
        lambda message, decision: [("message", _json(said(message)))],
    )


def _json(said: object) -> bytes:
    return msgspec.json.encode(said)


def _error_body(said: object, headers: Mapping[str, str] | None = None) -> ErrorBody:
    return ErrorBody(_json(said), headers or {})


# By their names in providers.yaml.
FAMILIES: dict[str, Family] = {
    "openai": Family(_openai, _openai_end),
    "openai-responses": Family(_openai, _responses_end),
    "anthropic": Family(_anthropic, _anthropic_end),
    "gemini": Family(_gemini, _gemini_end),
    "bedrock": Family(_bedrock, _bedrock_end),
    "mistral": Family(_mistral, _mistral_end),
    "cohere": Family(_cohere, _cohere_end),
    "ollama": Family(_ollama, _ollama_end),
    "realtime": Family(_openai, _realtime_end),
    "gemini-live": Family(_gemini, _nothing_end),
    "mcp": Family(
        _mcp,
        lambda message, decision: _mcp_about(b"").end(message, decision),
        _mcp_about,
    ),
}
