"""How each family says no, in the shape that its own SDKs show to their users and do not try again."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import msgspec


class Refusal(NamedTuple):
    """The JSON body of a refusal, and the headers that belong to it."""

    body: bytes
    headers: Mapping[str, str]


Refuse = Callable[[str, str, int], Refusal]  # of a message, a decision's id and a status


def _openai(message: str, decision: str, status: int) -> Refusal:
    return _refusal({"error": {"message": message, "type": "invalid_request_error", "param": None, "code": "earthflow_blocked"}})


def _anthropic(message: str, decision: str, status: int) -> Refusal:
    error = {"type": "invalid_request_error", "message": message}
    return _refusal({"type": "error", "error": error, "request_id": f"req_ef_{decision}"})


def _gemini(message: str, decision: str, status: int) -> Refusal:
    return _refusal({"error": {"code": status, "message": message, "status": "FAILED_PRECONDITION"}})


def _bedrock(message: str, decision: str, status: int) -> Refusal:
    return _refusal({"message": message}, {"x-amzn-errortype": "ValidationException"})


def _mistral(message: str, decision: str, status: int) -> Refusal:
    said = {"object": "error", "message": message, "type": "invalid_request_error", "param": None, "code": "earthflow_blocked"}
    return _refusal(said)


def _cohere(message: str, decision: str, status: int) -> Refusal:
    return _refusal({"id": decision, "message": message})


def _ollama(message: str, decision: str, status: int) -> Refusal:
    return _refusal({"error": message})


def _refusal(said: object, headers: Mapping[str, str] | None = None) -> Refusal:
    return Refusal(msgspec.json.encode(said), headers or {})


# By the names that providers.yaml uses.
REFUSALS: dict[str, Refuse] = {
    "openai": _openai,
    "anthropic": _anthropic,
    "gemini": _gemini,
    "bedrock": _bedrock,
    "mistral": _mistral,
    "cohere": _cohere,
    "ollama": _ollama,
}
