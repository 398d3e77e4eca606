"""`Idempotency-Key`: a POST that comes twice with the same key is done once, and answered alike for a day."""

import asyncio
import hashlib
import re

from aiohttp import web

from control import auth
from control.errors import NOTHING_DONE, ApiError, Handler
from control.state import STATE, State
from control.store import answers
from control.store.answers import Answered

HEADER, REPLAYED = "Idempotency-Key", "Idempotent-Replayed"
KEY = re.compile(r"[\x21-\x7e]{1,200}")
AT_ONCE = asyncio.Semaphore(20)  # each holds a connection to PostgreSQL


@web.middleware
async def once(request: web.Request, handler: Handler) -> web.StreamResponse:
    """What was refused is tried anew; of what was begun and not answered, nobody is told that it was not done."""
    key = request.headers.get(HEADER)
    if key is None or request.method != "POST" or not request.path.startswith("/v1/"):
        return await handler(request)
    if not KEY.fullmatch(key):
        raise ApiError(400, "bad_idempotency_key", f"{HEADER} has 1 to 200 visible ASCII characters.")
    state, who = request.app[STATE], await auth.caller(request, metrics=True)
    if who.role != "admin":  # nobody else may write, and gets that answer from the handler
        return await handler(request)
    asked = hashlib.sha256(f"{request.method} {request.path_qs}\n".encode() + await request.read()).digest()
    async with AT_ONCE, answers.claim(state.settings.database, who.role, key) as connection:
        before = await answers.read(connection, who.role, key)
        if before is not None:
            return _again(before, asked, state)
        await answers.keep(connection, who.role, key, Answered(asked, 0, None))
        try:
            response = await handler(request)
        except (ApiError, *NOTHING_DONE):  # nothing was done
            await answers.forget_one(connection, who.role, key)
            raise
        if isinstance(response, web.Response) and isinstance(response.body, bytes):
            await answers.keep(
                connection, who.role, key, Answered(asked, response.status, state.vault.wrap(response.body))
            )
        return response


def _again(before: Answered, asked: bytes, state: State) -> web.Response:
    """What the first one was answered. Raises ApiError where it was another request, or nobody knows what became of it."""
    if before.asked != asked:
        message = "This Idempotency-Key came with another request before."
        raise ApiError(422, "idempotency_key_used", message, "Use a new one for each request.")
    if before.body is None:
        message = "This request was begun before, and may have been done: control ended, or lost PostgreSQL, meanwhile."
        raise ApiError(409, "perhaps_done", message, "Look whether it was, then use a new Idempotency-Key.")
    return web.Response(
        status=before.status,
        body=state.vault.open(before.body),
        content_type="application/json",
        headers={REPLAYED: "true"},
    )
