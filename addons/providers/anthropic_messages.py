"""Anthropic's messages (docs.anthropic.com/en/api/messages), whole and streamed."""

from collections.abc import Mapping
from typing import Any

import msgspec

from addons.providers.chat_body import Placed, is_base64, read_chat_body, role_of, tool_name
from addons.providers.provider import UNSENT, Call, Usage
from contract.hosts import ANTHROPIC
from rules.exchange import Unreadable
from rules.leaves import Leaf

# Keys of the API itself; any other key is text that somebody chose, and is judged.
VOCABULARY = frozenset(
    """
    model messages role content type text system stream max_tokens temperature top_p top_k stop_sequences tools name description
    input_schema input tool_use_id tool_choice id is_error source media_type data url file_id cache_control ttl title context
    citations enabled thinking budget_tokens signature metadata user_id properties required additionalProperties items enum
    service_tier container mcp_servers disable_parallel_tool_use
    """.split()  # noqa: SIM905
)


class AnthropicMessages:
    """Anthropic."""

    name = "anthropic"
    hosts = frozenset(ANTHROPIC)

    def knows(self, method: str, path: str) -> bool:
        return method not in UNSENT and path == "/v1/messages"

    def read_call(self, body: bytes) -> Call | Unreadable:
        return read_chat_body(body, _classify, VOCABULARY)

    def read_usage(self, message: Mapping[str, Any], usage: Usage) -> None:
        started = message.get("message")  # a stream's first event wraps the message with its counts so far
        for holder in (started if isinstance(started, Mapping) else {}, message):
            usage.take(holder.get("usage"), "input_tokens", "output_tokens")

    def refusal(self, message: str, decision: str) -> bytes:
        error = {"type": "invalid_request_error", "message": message}
        return msgspec.json.encode({"type": "error", "error": error, "request_id": f"req_ef_{decision}"})


def _classify(document: dict[str, Any], leaf: Leaf) -> Placed | Unreadable:
    path = leaf.path
    if path[0] == "system":
        return "system", "field" if path[-1] == "type" else "text"
    if path[0] == "tools":
        return "system", "tool_definition", tool_name(leaf.around)
    if path[0] != "messages" or len(path) < 3:
        return "other", "field"
    role = role_of(document["messages"][path[1]])
    types = [block["type"] for block in leaf.around[1:] if isinstance(block, dict) and isinstance(block.get("type"), str)]
    if path[-2:] == ("source", "data") and types[-1:] == ["base64"] and is_base64(leaf.text):
        return Unreadable("document" if "document" in types else "image")
    if "tool_use" in types or "server_tool_use" in types:
        return role, "tool_call", tool_name(leaf.around[2:])
    if path[-1] == "type":
        return role, "field"
    if any(name.endswith("tool_result") for name in types):
        ids = (block.get("tool_use_id") for block in leaf.around if isinstance(block, dict))
        return "tool", "tool_result", next((name for name in ids if isinstance(name, str)), "")
    return role, "text" if path[2] == "content" else "field"
