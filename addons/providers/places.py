"""Where a leaf of a JSON call stands: what the classifiers of all formats ask."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rules.exchange import Kind, Role, Unreadable
from rules.leaves import Leaf

BASE64 = re.compile(
    r"(?:data:[\w.+-]{1,40}/[\w.+-]{1,80}(?:;[\w.+=-]{1,80}){0,4};base64,)?[A-Za-z0-9+/_\r\n-]*={0,2}[\r\n]*",
    re.ASCII,
)

Placed = (
    tuple[Role, Kind] | tuple[Role, Kind, str]
)  # the last is a tool's name; of a result, the id of its call
# Tells a leaf's place in the conversation, or the reason why its text cannot be looked at (an image's bytes).
Classify = Callable[[Mapping[str, Any], Leaf], Placed | Unreadable]

FIELD: Placed = ("other", "field")
ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "model": "assistant",
    "tool": "tool",
    "function": "tool",
}
PLAIN_ROLES = {
    name: role for name, role in ROLES.items() if role != "tool"
}  # whose text is text and no tool's result


def role_of(message: Any, default: Role = "other") -> Role:
    """Who speaks in a message; the default where it does not say."""
    role = message.get("role") if isinstance(message, dict) else None
    return ROLES.get(role.lower(), default) if isinstance(role, str) else default


def tool_name(around: Sequence[Any]) -> str:
    """The name that the innermost of these containers gives to a tool."""
    names = (container.get("name") for container in reversed(around) if isinstance(container, dict))
    return next((name for name in names if isinstance(name, str)), "")


def text_of(container: Any, key: str) -> str:
    """A text member of a container, or nothing."""
    value = container.get(key) if isinstance(container, dict) else None
    return value if isinstance(value, str) else ""


def is_base64(text: str) -> bool:
    """Whether a text is base64 and nothing else, as an image's or a document's bytes are; words in its place are read as words."""
    return BASE64.fullmatch(text) is not None


def media(mime: str) -> Unreadable:
    """Why bytes of a media type cannot be looked at."""
    kind = mime.partition("/")[0]
    return Unreadable("image" if kind in ("image", "video") else "audio" if kind == "audio" else "document")
