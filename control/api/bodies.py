"""Bodies of requests: JSON whatever the content type says, since curl's -d says it is a form; typed, and refused in sentences."""

import msgspec
from aiohttp import web

from control.errors import ApiError


class Deleted(msgspec.Struct):
    """What is there no longer."""

    deleted: str


async def body_of[Body: msgspec.Struct](request: web.Request, kind: type[Body], example: str) -> Body:
    """The body as a `kind`. Raises ApiError 400, with an example as its hint."""
    try:
        return msgspec.json.decode(await request.read(), type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ApiError(400, "bad_request", f"The body is not what is expected: {error}", f"Send {example}.") from None
