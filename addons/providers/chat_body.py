"""Bodies with `model`, `stream` and `messages`, which OpenAI's chat and Anthropic's messages share: leaves become parts."""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from addons.providers.provider import Call
from rules.exchange import Kind, Part, Role, Unreadable
from rules.leaves import Leaf, Number, Unread, Walk, parse

BASE64 = re.compile(r"(?:data:[\w.+-]{1,40}/[\w.+-]{1,80}(?:;[\w.+=-]{1,80}){0,4};base64,)?[A-Za-z0-9+/_\r\n-]*={0,2}[\r\n]*", re.ASCII)

Placed = tuple[Role, Kind] | tuple[Role, Kind, str]  # the last is a tool's name; of a result, the id of its call
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


PLAIN_ROLES = {name: role for name, role in ROLES.items() if role != "tool"}  # whose text is text and no tool's result


NAMES = (str, Number, int)  # of a model or a user; some number them


def read_chat_body(body: bytes, classify: Classify, vocabulary: frozenset[str]) -> Call | Unreadable:
    """The call in a body. Keys of the provider's own `vocabulary` are no parts; any other key is one, and is judged."""
    document = parse(body)
    if isinstance(document, Unreadable):
        return document
    if not isinstance(document, dict) or not isinstance(document.get("messages"), list):
        return Unreadable("opaque")
    parts: list[Part] = []
    unreadable: dict[str, None] = {}
    walk = Walk(vocabulary)
    try:
        _read(document, walk, classify, parts, unreadable)
        walk.end(body)
    except Unread as error:
        return Unreadable(error.why)
    if any(part.kind == "tool_result" and part.tool for part in parts):
        names = _tool_names(document)
        parts = [part._replace(tool=names.get(part.tool, "")) if part.kind == "tool_result" else part for part in parts]
    model, user = (str(name) if type(name) in NAMES else "" for name in (document.get("model"), user_of(document)))
    return Call(model, document.get("stream") is True, tuple(parts), tuple(unreadable), user)


def _read(document: dict[str, Any], walk: Walk, classify: Classify, parts: list[Part], unreadable: dict[str, None]) -> None:
    """Add every part of a body, and what in it cannot be looked at. Raises Unread."""

    def read(leaves: Iterator[Leaf]) -> None:
        for leaf in leaves:
            if leaf.is_key:
                parts.append(Part(leaf.text, "other", "key", leaf.literal))
            elif leaf.path[-1] != "role" or leaf.text not in ROLES:  # a role that has no other meaning
                placed = classify(document, leaf)
                if isinstance(placed, Unreadable):
                    unreadable[placed.reason] = None
                else:
                    parts.append(Part(leaf.text, placed[0], placed[1], leaf.literal, placed[2] if len(placed) > 2 else ""))

    around = (document, messages := document["messages"])
    for key, value in document.items():
        if value is not messages:
            read(walk.leaves({key: value}))
            continue
        walk.passed(1)
        number = 0
        while (number := _read_plain(messages, number, walk, parts)) < len(messages):
            read(walk.leaves(messages[number], ("messages", number), around))
            number += 1


def _read_plain(messages: list[Any], first: int, walk: Walk, parts: list[Part]) -> int:
    """Read messages that are a role and a text, as most are, from the `first` on. The number of the next that is not."""
    literal, quotes, count = walk.literal, 0, 0
    for message in map(messages.__getitem__, range(first, len(messages))):
        if type(message) is not dict or len(message) != 2:
            break
        (name, role), (other, content) = message.items()
        place = 3
        if name == "content":
            name, role, other, content, place = other, content, name, role, 1
        if name != "role" or other != "content" or type(content) is not str or type(role) is not str or role not in PLAIN_ROLES:
            break
        parts.append(Part(content, PLAIN_ROLES[role], "text", literal + place))
        literal += 4
        quotes += content.count('"')
        count += 1
    walk.passed(4 * count, quotes)
    return first + count


def user_of(document: dict[str, Any]) -> object:
    """Whom the client says it calls for: OpenAI's `user` or `safety_identifier`, Anthropic's `metadata.user_id`."""
    metadata = document.get("metadata")
    return document.get("user") or document.get("safety_identifier") or (metadata.get("user_id") if isinstance(metadata, dict) else None)


def _tool_names(document: dict[str, Any]) -> dict[str, str]:
    """Ids of the tool calls in a conversation, and the tools they are of."""
    messages = [message for message in document["messages"] if isinstance(message, dict)]
    lists = [message.get(key) for message in messages for key in ("tool_calls", "content")]
    calls = [call for calls in lists if isinstance(calls, list) for call in calls if isinstance(call, dict)]
    return {call["id"]: tool_name((call, call.get("function"))) for call in calls if isinstance(call.get("id"), str)}


def tool_name(around: Sequence[Any]) -> str:
    """The name that the innermost of these containers gives to a tool."""
    names = (container.get("name") for container in reversed(around) if isinstance(container, dict))
    return next((name for name in names if isinstance(name, str)), "")


def is_base64(text: str) -> bool:
    """Whether a text is base64 and nothing else, as an image's or a document's bytes are; words in its place are read as words."""
    return BASE64.fullmatch(text) is not None


def role_of(message: Any) -> Role:
    """Who speaks in a message; `other` where it does not say."""
    role = message.get("role") if isinstance(message, dict) else None
    return ROLES.get(role, "other") if isinstance(role, str) else "other"
