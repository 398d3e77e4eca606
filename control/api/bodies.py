"""Bodies of requests: read as JSON whatever the content type says, since curl's -d
declares a form; typed; errors are sentences.
"""

import re
from typing import Any, get_args, get_type_hints

import msgspec
from aiohttp import web

from control.errors import ApiError
from rules.complaint import likely

NOT_OFFERED = re.compile(r"Invalid enum value '(.*)' - at `\$\.(\w+)")


class Deleted(msgspec.Struct):
    """The id of what was deleted."""

    deleted: str


async def body_of[Body: msgspec.Struct](
    request: web.Request, kind: type[Body], example: str
) -> Body:
    """The body as a `kind`. Raises ApiError 400, with an example as its hint."""
    try:
        return msgspec.json.decode(await request.read(), type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        hint = _nearest(kind, str(error)) or f"Send {example}."
        raise ApiError(
            400, "bad_request", f"The body is not what is expected: {error}", hint
        ) from None


def _nearest(kind: type[msgspec.Struct], message: str) -> str:
    """The word that was probably meant, where a field has one that it may not have."""
    found = NOT_OFFERED.search(message)
    hint = get_type_hints(kind).get(found[2]) if found else None
    words = [word for word in _words(hint) if word]
    return likely(found[1], words) if found and words else ""


def _words(hint: Any) -> list[str]:
    """All words that the type of a field allows."""
    if isinstance(hint, str):
        return [hint]
    return [word for inner in get_args(hint) for word in _words(inner)]
