"""Bodies of requests: read as JSON whatever the content type says, since curl's -d
declares a form; typed; errors are sentences.
"""

import json
import re
from typing import Any, get_args, get_type_hints

import msgspec
from aiohttp import web

from control.errors import ApiError
from rules.complaint import likely

# A text of one line, for people: no control characters, and none that change the direction of what is shown.
SHOWN = r"[^\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]"
NOT_OFFERED = re.compile(r"Invalid enum value '(.*)' - at `\$\S*?\.(\w+)`")


class Deleted(msgspec.Struct):
    """The id of what was deleted."""

    deleted: str


async def body_of[Body: msgspec.Struct](
    request: web.Request, kind: type[Body], example: str, *, empty: bool = False
) -> Body:
    """The body as a `kind`; where it may be `empty`, that is `{}`. Raises ApiError 400, with an example as its hint."""
    content = await request.read()
    try:
        read = msgspec.json.decode(content or b"{}" if empty else content, type=kind)
        json.loads(content or b"{}", object_pairs_hook=_once)
        return read
    except _Twice as twice:
        raise ApiError(
            400, "given_twice", f"The field {twice} is given twice.", "Give it once."
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        hint = _nearest(kind, str(error)) or f"Send {example}."
        raise ApiError(
            400,
            "bad_request",
            f"The body is not what is expected: {_short(error)}",
            hint,
        ) from None


def _short(error: Exception) -> str:
    """What is wrong, without the middle of a value that is quoted whole."""
    text = str(error)
    return text if len(text) <= 400 else f"{text[:200]} … {text[-200:]}"


class _Twice(Exception):
    """An object has this field twice."""


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen:
            raise _Twice(name[:50])
        seen.add(name)
    return {}


def _nearest(kind: type[msgspec.Struct], message: str) -> str:
    """The word that was probably meant, where a field has one that it may not have."""
    found = NOT_OFFERED.search(message)
    words = [word for word in _offered(kind, found[2]) if word] if found else []
    return likely(found[1], words) if found and words else ""


def _offered(kind: Any, field: str) -> list[str]:
    """The words that a field of this name may have, in a type or in those within it."""
    if not (isinstance(kind, type) and issubclass(kind, msgspec.Struct)):
        return [word for inner in get_args(kind) for word in _offered(inner, field)]
    hints = get_type_hints(kind)
    if field in hints:
        return _words(hints[field])
    return [word for hint in hints.values() for word in _offered(hint, field)]


def _words(hint: Any) -> list[str]:
    """All words that the type of a field allows."""
    if isinstance(hint, str):
        return [hint]
    return [word for inner in get_args(hint) for word in _words(inner)]
