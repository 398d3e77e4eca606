"""Anthropic's formats (docs.anthropic.com/en/api/messages): messages, and batches of them."""

from collections.abc import Mapping, Sequence
from typing import Any

from addons.providers.error_formats import FAMILIES
from addons.providers.json_call import JsonFormat
from addons.providers.places import FIELD, Placed, media_in, role_of, tool_name
from addons.providers.signed import in_batches, in_messages
from rules.exchange import Unreadable
from rules.leaves import Leaf

VOCABULARY = frozenset(
    """
    model messages role content type text system stream max_tokens temperature top_p top_k stop_sequences tools name description
    input_schema input tool_use_id tool_choice id is_error source media_type data url file_id cache_control ttl title context
    citations enabled thinking budget_tokens signature metadata user_id properties required additionalProperties items enum
    service_tier container mcp_servers disable_parallel_tool_use requests params custom_id anthropic_version anthropic_beta
    """.split()  # noqa: SIM905
)


def _messages(document: Mapping[str, Any], leaf: Leaf) -> Placed | Unreadable:
    return _placed(leaf, 0)


def _batches(document: Mapping[str, Any], leaf: Leaf) -> Placed | Unreadable:
    path = leaf.path
    return (
        _placed(leaf, 3)
        if path[0] == "requests" and len(path) > 3 and path[2] == "params"
        else FIELD
    )


def _placed(leaf: Leaf, start: int) -> Placed | Unreadable:
    """The place of a leaf, in the call that begins at this depth."""
    path, around = leaf.path[start:], leaf.around[start:]
    if path[0] == "system":
        return "system", "field" if path[-1] == "type" else "text"
    if path[0] == "tools":
        return "system", "tool_definition", tool_name(around)
    if path[0] != "messages" or len(path) < 3:
        return FIELD
    role = role_of(around[2])
    types = [
        block["type"]
        for block in around[1:]
        if isinstance(block, dict) and isinstance(block.get("type"), str)
    ]
    if (
        path[-2:] == ("source", "data")
        and types[-1:] == ["base64"]
        and (found := media_in(leaf.text, _reason(types)))
    ):
        return found
    if "tool_use" in types or "server_tool_use" in types:
        return role, "tool_call", tool_name(around[2:])
    if path[-1] == "type":
        return role, "field"
    if any(name.endswith("tool_result") for name in types):
        ids = (block.get("tool_use_id") for block in around if isinstance(block, dict))
        return (
            "tool",
            "tool_result",
            next((name for name in ids if isinstance(name, str)), ""),
        )
    return role, "text" if path[2] == "content" else "field"


def _reason(types: Sequence[str]) -> str:
    return "document" if "document" in types else "image"


FORMATS = (
    JsonFormat(
        "anthropic-messages",
        VOCABULARY,
        _messages,
        needs=("messages",),
        plain="messages",
        family=FAMILIES["anthropic"],
        signed=in_messages,
    ),
    JsonFormat(
        "anthropic-batches",
        VOCABULARY,
        _batches,
        needs=("requests",),
        family=FAMILIES["anthropic"],
        signed=in_batches,
    ),
)
