"""`Idempotency-Key`: a POST that is repeated with the same key is done once, and gets
the same answer for a day.
"""

import asyncio
import hashlib
import re

from aiohttp import web

from control import auth, openapi
from control.errors import NOTHING_DONE, ApiError, Handler
from control.state import STATE, State
from control.store import idempotency as stored_answers
from control.store.idempotency import Answered

HEADER, REPLAYED = "Idempotency-Key", "Idempotent-Replayed"
KEY = re.compile(r"[\x21-\x7e]{1,200}")
# Requests at once; each holds a connection to PostgreSQL
AT_ONCE = asyncio.Semaphore(20)


@web.middleware
async def once(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Do a request once.

    A refused one may be tried again; of one that began and was not answered, nobody can
    tell whether it was done.
    """
    key = request.headers.get(HEADER)
    if key is None or request.method != "POST" or not request.path.startswith("/v1/"):
        return await handler(request)
    if len(request.headers.getall(HEADER)) > 1 or not KEY.fullmatch(key):
        raise ApiError(
            400,
            "bad_idempotency_key",
            f"There is one {HEADER}, of 1 to 200 visible ASCII characters.",
        )
    needs = request.app[openapi.NEEDS].get(request.match_info.handler)
    if needs is None:
        return await handler(request)
    state, who = request.app[STATE], await auth.caller(request)
    if not who.may(needs):  # nothing will be done
        return await handler(request)
    request_digest = hashlib.sha256(
        f"{request.method} {request.path_qs}\n".encode() + await request.read()
    ).digest()
    async with (
        AT_ONCE,
        stored_answers.claim(
            state.settings.database_direct, who.key, key
        ) as connection,
    ):
        before = await stored_answers.read(connection, who.key, key)
        if before is not None:
            return _again(before, request_digest, state)
        await stored_answers.keep(
            connection, who.key, key, Answered(request_digest, 0, None)
        )
        try:
            response = await handler(request)
        except (ApiError, *NOTHING_DONE):  # nothing was done
            await stored_answers.forget_one(connection, who.key, key)
            raise
        if isinstance(response, web.Response) and isinstance(response.body, bytes):
            await stored_answers.keep(
                connection,
                who.key,
                key,
                Answered(
                    request_digest, response.status, state.vault.wrap(response.body)
                ),
            )
        return response


def _again(before: Answered, request_digest: bytes, state: State) -> web.Response:
    """The answer that the first request got.

    Raises ApiError where that was another request, or its outcome is unknown.
    """
    if before.asked != request_digest:
        message = "This Idempotency-Key was used with another request before."
        raise ApiError(
            422, "idempotency_key_used", message, "Use a new one for each request."
        )
    if before.body is None:
        message = "This request was begun before, and may have been done: control ended, or lost PostgreSQL, meanwhile."
        raise ApiError(
            409,
            "perhaps_done",
            message,
            "Check whether it was done, then use a new Idempotency-Key.",
        )
    return web.Response(
        status=before.status,
        body=state.vault.open(before.body),
        content_type="application/json",
        headers={REPLAYED: "true"},
    )
