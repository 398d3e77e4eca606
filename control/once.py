"""`Idempotency-Key`: a POST that comes twice with the same key is done once, and answered alike for a day."""

import asyncio
import hashlib
import re

from aiohttp import web

from control import auth
from control.errors import ApiError, Handler
from control.state import STATE
from control.store import answers
from control.store.answers import Answered

HEADER, REPLAYED = "Idempotency-Key", "Idempotent-Replayed"
KEY = re.compile(r"[\x21-\x7e]{1,200}")
AT_ONCE = asyncio.Semaphore(20)  # each holds a connection to PostgreSQL


@web.middleware
async def once(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Only answers that changed something, or could have, are kept; a failure is tried anew."""
    key = request.headers.get(HEADER)
    if key is None or request.method != "POST" or not request.path.startswith("/v1/"):
        return await handler(request)
    if not KEY.fullmatch(key):
        raise ApiError(400, "bad_idempotency_key", f"{HEADER} has 1 to 200 visible ASCII characters.")
    state, who = request.app[STATE], await auth.caller(request, metrics=True)
    scope = who.tenant or who.role
    asked = hashlib.sha256(f"{request.method} {request.path_qs}\n".encode() + await request.read()).digest()
    async with AT_ONCE, answers.claim(state.settings.database, scope, key) as connection:
        before = await answers.read(connection, scope, key)
        if before is not None:
            if before.asked != asked:
                message = "This Idempotency-Key came with another request before."
                raise ApiError(422, "idempotency_key_used", message, "Use a new one for each request.")
            body = state.vault.open(before.body)
            return web.Response(status=before.status, body=body, content_type="application/json", headers={REPLAYED: "true"})
        response = await handler(request)
        if isinstance(response, web.Response) and response.status < 300 and isinstance(response.body, bytes):
            await answers.keep(connection, scope, key, Answered(asked, response.status, state.vault.wrap(response.body)))
        return response
