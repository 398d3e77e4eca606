"""The error formats of providers: how a call is refused, and a stream ended, so that
SDKs show the message.

What a rule refuses, they do not try again. What failed (`Why.failed`) has the form of the
provider's own failures, and they may.
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


BLOCKED = "earthflow_blocked"  # a rule, or a limit, refuses it
UNREACHABLE = "earthflow_unreachable"  # no connection to the provider came about
TORN = "earthflow_torn"  # the provider broke off, or broke its protocol
SLOW = "earthflow_slow"  # the provider said nothing for too long, or took too long
UNREADABLE = "earthflow_unreadable"  # the provider's answer could not be judged
FAILED = "earthflow_failed"  # Earthflow itself failed
FAILURES = frozenset((UNREACHABLE, TORN, SLOW, UNREADABLE, FAILED))


class Why(NamedTuple):
    """What a caller reads.

    `status` is the reply's. `code` says who is to blame, and for what: BLOCKED, or one of
    FAILURES.
    """

    message: str
    decision: str
    status: int = 400
    code: str = BLOCKED

    @property
    def failed(self) -> bool:
        """Whether something failed that may work next time."""
        return self.code in FAILURES


# The last events of a stream: (name, data), the name empty where events have none.
Ending = Sequence[tuple[str, bytes]]


class Family(NamedTuple):
    """An error format.

    `refuse` answers a call, `end` ends a stream. `about` gives the format for one call, by
    its body, where an answer must name what it answers.
    """

    refuse: Callable[[Why], ErrorBody]
    end: Callable[[Why], Ending]
    about: "Callable[[bytes], Family] | None" = None


def _openai(why: Why) -> ErrorBody:
    return _error_body({"error": _openai_error(why)})


def _openai_error(why: Why) -> dict[str, object]:
    return {
        "message": why.message,
        "type": "server_error" if why.failed else "invalid_request_error",
        "param": None,
        "code": why.code,
    }


def _openai_end(why: Why) -> Ending:
    return [("", _json({"error": _openai_error(why)})), ("", b"[DONE]")]


def _responses_end(why: Why) -> Ending:
    """Codex does not retry `invalid_prompt`, and does `server_error`; the SDKs raise the outer `error`."""
    response = {
        "id": f"resp_ef_{why.decision}",
        "object": "response",
        "status": "failed",
        "error": {
            "code": "server_error" if why.failed else "invalid_prompt",
            "message": why.message,
        },
        "output": [],
    }
    failed = {
        "type": "response.failed",
        "sequence_number": 2**31,
        "response": response,
        "error": _openai_error(why),
    }
    return [("response.failed", _json(failed))]


def _anthropic(why: Why) -> ErrorBody:
    return _error_body(
        {**_anthropic_error(why), "request_id": f"req_ef_{why.decision}"}
    )


def _anthropic_error(why: Why) -> dict[str, object]:
    return {
        "type": "error",
        "error": {
            "type": "api_error" if why.failed else "invalid_request_error",
            "message": why.message,
        },
    }


def _anthropic_end(why: Why) -> Ending:
    return [("error", _json(_anthropic_error(why)))]


def _gemini(why: Why) -> ErrorBody:
    return _error_body({"error": _gemini_error(why, why.status)})


def _gemini_error(why: Why, code: int) -> dict[str, object]:
    status = "UNAVAILABLE" if why.failed else "FAILED_PRECONDITION"
    return {"code": code, "message": why.message, "status": status}


def _gemini_end(why: Why) -> Ending:
    """Its SDKs raise what begins with an error.

    Its CLI knows no error here, and would retry without a last text: as it may after a
    failure.
    """
    if why.failed:
        return [("", _json({"error": _gemini_error(why, 503)}))]
    error = _gemini_error(why, 400)
    candidate = {
        "index": 0,
        "content": {"role": "model", "parts": [{"text": f"\n{why.message}"}]},
        "finishReason": "STOP",
    }
    return [
        (
            "",
            _json(
                {
                    "error": error,
                    "candidates": [candidate],
                    "responseId": f"ef-{why.decision}",
                }
            ),
        )
    ]


def _bedrock(why: Why) -> ErrorBody:
    name = "ServiceUnavailableException" if why.failed else "ValidationException"
    return _error_body({"message": why.message}, {"x-amzn-errortype": name})


def _bedrock_end(why: Why) -> Ending:
    name = "internalServerException" if why.failed else "validationException"
    return [(name, _json({"message": why.message}))]


def _mistral(why: Why) -> ErrorBody:
    return _error_body({"object": "error", **_openai_error(why)})


def _mistral_end(why: Why) -> Ending:
    """Its SDK has no error event, and ignores unknown ones; but a chunk may finish with
    an error.
    """
    choice = {
        "index": 0,
        "delta": {"role": "assistant", "content": f"\n{why.message}"},
        "finish_reason": "error",
    }
    chunk = {
        "id": f"ef-{why.decision}",
        "object": "chat.completion.chunk",
        "created": 0,
        "model": "earthflow",
        "choices": [choice],
    }
    return [("", _json(chunk)), ("", b"[DONE]")]


def _cohere(why: Why) -> ErrorBody:
    return _error_body({"id": why.decision, "message": why.message})


def _cohere_end(why: Why) -> Ending:
    """Version 2's last event has a field for an error; version 1's is a line of its
    own.
    """
    response = {"text": why.message, "generation_id": why.decision}
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
                    "delta": {"finish_reason": "ERROR", "error": why.message},
                }
            ),
        )
    ]


def _ollama(why: Why) -> ErrorBody:
    return _error_body({"error": why.message})


def _ollama_end(why: Why) -> Ending:
    return [("", _json({"error": why.message}))]


def _realtime_end(why: Why) -> Ending:
    """An event, before the WebSocket is closed."""
    return [
        (
            "",
            _json(
                {
                    "type": "error",
                    "event_id": f"event_ef_{why.decision}",
                    "error": {**_openai_error(why), "event_id": None},
                }
            ),
        )
    ]


def _nothing_end(why: Why) -> Ending:
    """There is no event for it; the reason of the close frame tells why."""
    return []


def _mcp(why: Why) -> ErrorBody:
    return _mcp_about(b"").refuse(why)


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
        lambda why: ErrorBody(
            _json(said(why.message)), {}, 200 if "id" in call else why.status
        ),
        lambda why: [("message", _json(said(why.message)))],
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
        lambda why: _mcp_about(b"").end(why),
        _mcp_about,
    ),
}
