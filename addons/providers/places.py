"""Where a leaf of a JSON call stands: helpers of all formats' classifiers."""

import base64
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rules.exchange import Kind, Role, Unreadable
from rules.leaves import Leaf, Path

BASE64 = re.compile(
    r"(?:data:[\w.+-]{1,40}/[\w.+-]{1,80}(?:;[\w.+=-]{1,80}){0,4};base64,)?[A-Za-z0-9+/_\r\n-]*+={0,2}[\r\n]*",
    re.ASCII,
)

# Characters of base64 from which on it may be bytes without a known beginning, such as raw
# sound. A shorter one is a token, or nothing.
LEAST = 512
# Of a piece of sound that is spoken right now: 20 ms at the lowest rate.
LEAST_OF_PIECE = 160
BEGIN = 64
# Of PNG, JPEG, GIF, WebP and WAV, PDF, zip and Office, its older form, TIFF, MP3, Ogg, FLAC,
# Matroska, BMP, RTF.
BEGINNINGS = (
    b"\x89PNG\r\n", b"\xff\xd8\xff", b"GIF8", b"RIFF", b"%PDF-", b"PK\x03\x04", b"\xd0\xcf\x11\xe0", b"II*\0", b"MM\0*",
    b"ID3", b"\xff\xfb", b"OggS", b"fLaC", b"\x1aE\xdf\xa3", b"{\\rtf",
)  # fmt: skip
_STANDARD = str.maketrans("-_", "+/")

# the third is a tool's name, or of a result the id of its call
Placed = tuple[Role, Kind] | tuple[Role, Kind, str]
# Gives a leaf's place in the conversation, or the reason why it cannot be read (an
# image's bytes).
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
# roles whose text is no tool's result
PLAIN_ROLES = {name: role for name, role in ROLES.items() if role != "tool"}


def role_of(message: Any, default: Role = "other") -> Role:
    """The role of a message; the default where it names none."""
    role = message.get("role") if isinstance(message, dict) else None
    return ROLES.get(role.lower(), default) if isinstance(role, str) else default


def tool_name(around: Sequence[Any]) -> str:
    """The tool's name in the innermost of these containers that has one."""
    names = (
        container.get("name")
        for container in reversed(around)
        if isinstance(container, dict)
    )
    return next((name for name in names if isinstance(name, str)), "")


# Keys of the arguments of a call, an object or a text.
ARGUMENTS = frozenset(("input", "args", "arguments", "parameters"))


def arguments_at(path: Path, around: Sequence[Any]) -> int | None:
    """The depth of the key under which a call's arguments stand, the outermost one; None where
    the leaf is none of them.
    """
    for depth, key in enumerate(path):
        if key in ARGUMENTS and not (
            len(around) > depth + 1 and type(around[depth + 1]) is list
        ):
            return depth
    return None


def called_tool(path: Path, around: Sequence[Any]) -> str:
    """The tool's name, as it stands outside of its arguments, which may have any `name`."""
    depth = arguments_at(path, around)
    return tool_name(around if depth is None else around[: depth + 1])


def text_of(container: Any, key: str) -> str:
    """A text member of a container, or an empty text."""
    value = container.get(key) if isinstance(container, dict) else None
    return value if isinstance(value, str) else ""


def is_base64(text: str) -> bool:
    """Whether a text is base64 and nothing else, as the bytes of an image or a document
    are.
    """
    return BASE64.fullmatch(text) is not None


def media_in(text: str, reason: str, least: int = LEAST) -> Unreadable | None:
    """Why the bytes that a text has in base64 cannot be read; None where it is none of an
    image's, a sound's or a document's: it has neither their beginning nor their length, or it
    encodes text. Then it is read like any other.
    """
    if not is_base64(text):
        return None
    begin = _begin(text)
    if begin.startswith(BEGINNINGS) or begin[4:8] == b"ftyp":
        return Unreadable(reason)
    is_text = reason != "document" and begin.isascii() and begin.decode().isprintable()
    return None if is_text or len(text) < least else Unreadable(reason)


def reason_of(mime: str) -> str:
    """Why bytes of a media type cannot be read."""
    kind = mime.partition("/")[0]
    if kind in ("image", "video"):
        return "image"
    return "audio" if kind == "audio" else "document"


def _begin(text: str) -> bytes:
    """The first bytes."""
    start = text.find(",") + 1 if text.startswith("data:") else 0
    digits = "".join(text[start : start + BEGIN].split()).rstrip("=")
    return base64.b64decode(digits[: len(digits) // 4 * 4].translate(_STANDARD))
