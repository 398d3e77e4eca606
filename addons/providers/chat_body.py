"""Bodies with `model`, `stream` and `messages`, which OpenAI's chat and Anthropic's messages share: leaves become parts."""

from collections.abc import Callable, Iterator
from typing import Any

from addons.providers.leaves import Leaf, leaves, parse
from addons.providers.provider import Call
from rules.exchange import Kind, Part, Role, Unreadable

Placed = tuple[Role, Kind]
# Tells a leaf's place in the conversation, or the reason why its text cannot be looked at (an image's bytes).
Classify = Callable[[dict[str, Any], Leaf], Placed | Unreadable]

ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
}


def read_chat_body(body: bytes, classify: Classify, vocabulary: frozenset[str]) -> Call | Unreadable:
    """The call in a body. Keys of the provider's own `vocabulary` are no parts; any other key is one, and is judged."""
    document = parse(body)
    if isinstance(document, Unreadable):
        return document
    if not isinstance(document, dict) or not isinstance(document.get("messages"), list):
        return Unreadable("opaque")
    found = leaves(document)
    if isinstance(found, Unreadable):
        return found
    parts: list[Part] = []
    unreadable: dict[str, None] = {}
    for leaf in found:
        if leaf.is_key:
            if leaf.text not in vocabulary:
                parts.append(Part(leaf.text, "other", "key", leaf.literal))
            continue
        placed = classify(document, leaf)
        if isinstance(placed, Unreadable):
            unreadable[placed.reason] = None
        else:
            parts.append(Part(leaf.text, *placed, leaf.literal))
    model = document.get("model")
    return Call(model if isinstance(model, str) else "", document.get("stream") is True, tuple(parts), tuple(unreadable))


def blocks(document: dict[str, Any], leaf: Leaf) -> Iterator[dict[str, Any]]:
    """The objects on the way from the root to a leaf, the innermost last."""
    value: Any = document
    for step in leaf.path:
        if isinstance(value, dict):
            yield value
        value = value[step]


def role_of(message: Any) -> Role:
    """Who speaks in a message; `other` where it does not say."""
    role = message.get("role") if isinstance(message, dict) else None
    return ROLES.get(role, "other") if isinstance(role, str) else "other"
