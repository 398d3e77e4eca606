"""A recorded body, or a prompt, as an exchange, for the author's tools.

Reads any JSON that looks like a chat; the proxy does not use it.
"""

from datetime import datetime
from typing import Any

from rules.exchange import Exchange, Kind, Part, Role, Unreadable
from rules.leaves import Leaf, leaves, parse

ROLES: dict[object, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "model": "assistant",
}
ROLES |= {"tool": "tool", "function": "tool"}


def exchange_from(
    text: str, now: datetime, *, answer: bool = False, **context: Any
) -> Exchange:
    """A JSON object or array as a call (`answer`: as an answer); any other text as a
    user's, or a model's.
    """
    if answer:
        context["direction"] = "response"
    body = text.encode("utf-8", "replace")
    document = parse(body) if text.lstrip()[:1] in ("{", "[") else Unreadable("opaque")
    if not isinstance(document, dict | list):
        return Exchange(
            parts=(Part(text, "assistant" if answer else "user", "text", 0),),
            size=len(text),
            time=now,
            **context,
        )
    found = leaves(body, document)
    if isinstance(found, Unreadable):
        return Exchange(unreadable=(found.reason,), size=len(body), time=now, **context)
    parts = tuple(
        _part(leaf, answer=answer)
        for leaf in found
        if not leaf.is_key or leaf.path[:1] not in (("messages",), ("model",))
    )
    top = document if isinstance(document, dict) else {}
    said = {"model": str(top.get("model", "")), "stream": top.get("stream") is True}
    return Exchange(parts=parts, size=len(body), time=now, **{**said, **context})


def _part(leaf: Leaf, *, answer: bool) -> Part:
    if leaf.is_key:
        return Part(leaf.text, "other", "key", leaf.literal)
    message = (
        leaf.around[2]
        if len(leaf.around) > 2 and leaf.path[:1] == ("messages",)
        else {}
    )
    role = (
        ROLES.get(message.get("role"), "other")
        if isinstance(message, dict)
        else "other"
    )
    role = "assistant" if answer else role
    types = {
        block.get("type")
        for block in leaf.around
        if isinstance(block, dict) and isinstance(block.get("type"), str)
    }
    if leaf.path[:1] == ("system",):
        return Part(leaf.text, "system", "text", leaf.literal)
    if leaf.path[:1] in (("tools",), ("functions",)):
        return Part(leaf.text, "system", "tool_definition", leaf.literal)
    kind: Kind = "field"
    if "tool_calls" in leaf.path or "tool_use" in types:
        kind = "tool_call"
    elif role == "tool" or "tool_result" in types:
        role, kind = "tool", "tool_result"
    elif (answer or "content" in leaf.path) and leaf.path[-1] not in ("type", "role"):
        kind = "text"
    return Part(leaf.text, role, kind, leaf.literal)
