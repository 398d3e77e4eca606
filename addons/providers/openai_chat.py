"""OpenAI's chat completions (platform.openai.com/docs/api-reference/chat), whole and streamed."""

from collections.abc import Mapping
from typing import Any

import msgspec

from addons.providers.chat_body import Placed, is_base64, read_chat_body, role_of, tool_name
from addons.providers.provider import UNSENT, Call, Usage
from contract.hosts import OPENAI
from rules.exchange import Unreadable
from rules.leaves import Leaf

# Keys of the API itself; any other key is text that somebody chose, and is judged.
VOCABULARY = frozenset(
    """
    model messages role content type text name stream tool_calls tool_call_id id function arguments tools tool_choice description
    parameters image_url url detail input_audio data format file file_id file_data filename refusal temperature top_p n stop
    max_tokens max_completion_tokens presence_penalty frequency_penalty logit_bias logprobs top_logprobs user seed response_format
    json_schema schema strict stream_options include_usage parallel_tool_calls service_tier store metadata reasoning_effort
    modalities audio prediction function_call functions properties required additionalProperties items enum
    """.split()  # noqa: SIM905
)

# Where bytes stand in base64, and what they are.
BYTES: dict[tuple[str | int, ...], str] = {
    ("image_url", "url"): "image",
    ("input_audio", "data"): "audio",
    ("file", "file_data"): "document",
}


class OpenAIChat:
    """OpenAI."""

    name = "openai"
    hosts = frozenset(OPENAI)

    def knows(self, method: str, path: str) -> bool:
        return method not in UNSENT and path == "/v1/chat/completions"

    def read_call(self, body: bytes) -> Call | Unreadable:
        return read_chat_body(body, _classify, VOCABULARY)

    def read_usage(self, message: Mapping[str, Any], usage: Usage) -> None:
        usage.take(message.get("usage"), "prompt_tokens", "completion_tokens")

    def refusal(self, message: str, decision: str) -> bytes:
        error = {"message": message, "type": "invalid_request_error", "param": None, "code": "earthflow_blocked"}
        return msgspec.json.encode({"error": error})


def _classify(document: dict[str, Any], leaf: Leaf) -> Placed | Unreadable:
    path = leaf.path
    if path[0] in ("tools", "functions"):
        return "system", "tool_definition", tool_name(leaf.around)
    if path[0] != "messages" or len(path) < 3:
        return "other", "field"
    if (reason := BYTES.get(path[-2:])) and is_base64(leaf.text):
        return Unreadable(reason)
    role = role_of(document["messages"][path[1]])
    if path[2] in ("tool_calls", "function_call"):
        return role, "tool_call", tool_name(leaf.around[3:])
    if path[2] != "content" or (len(path) > 3 and path[-1] == "type" and leaf.around[-1].get("type") == leaf.text):
        return role, "field"
    return (role, "tool_result", _id_of_call(leaf.around[2])) if role == "tool" else (role, "text")


def _id_of_call(message: dict[str, Any]) -> str:
    call = message.get("tool_call_id")
    return call if isinstance(call, str) else ""
