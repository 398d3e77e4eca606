"""Bodies with `model`, `stream` and `messages`, which OpenAI's chat and Anthropic's messages share: leaves become parts."""

import re
from collections.abc import Callable
from typing import Any

from addons.providers.leaves import Leaf, TooDeep, leaves, parse
from addons.providers.provider import Call
from rules.exchange import Kind, Part, Role, Unreadable

BASE64 = re.compile(r"(?:data:[\w.+-]{1,40}/[\w.+-]{1,80}(?:;[\w.+=-]{1,80}){0,4};base64,)?[A-Za-z0-9+/_\r\n-]*={0,2}[\r\n]*", re.ASCII)

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
    parts: list[Part] = []
    unreadable: dict[str, None] = {}
    try:
        for leaf in leaves(document):
            if leaf.is_key:
                if leaf.text not in vocabulary:
                    parts.append(Part(leaf.text, "other", "key", leaf.literal))
                continue
            placed = classify(document, leaf)
            if isinstance(placed, Unreadable):
                unreadable[placed.reason] = None
            else:
                parts.append(Part(leaf.text, *placed, leaf.literal))
    except TooDeep:
        return Unreadable("too_deep")
    model = document.get("model")
    return Call(model if isinstance(model, str) else "", document.get("stream") is True, tuple(parts), tuple(unreadable))


def is_base64(text: str) -> bool:
    """Whether a text is base64 and nothing else, as an image's or a document's bytes are; words in its place are read as words."""
    return BASE64.fullmatch(text) is not None


def role_of(message: Any) -> Role:
    """Who speaks in a message; `other` where it does not say."""
    role = message.get("role") if isinstance(message, dict) else None
    return ROLES.get(role, "other") if isinstance(role, str) else "other"
