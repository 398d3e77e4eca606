"""Middleware: every request that changes something, and every one that is refused to a role, is in the audit of administration."""

import logging

from aiohttp import web

from control import auth, openapi
from control.addresses import address_of
from control.auth import ID
from control.errors import DATABASE_AWAY, REQUEST_ID, Handler, answer_to
from control.state import STATE
from control.store import admin_audit
from control.store.admin_audit import DONE, UNDER_WAY, Act

logger = logging.getLogger("earthflow.api")

READS = ("GET", "HEAD", "OPTIONS")
FORBIDDEN, NOT_FOUND = 403, 404
# Of too many there would be no end; and without a database there is no entry.
NOT_NOTED = (429, 503)


@web.middleware
async def administered(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let what is changed become entries in its own transaction; add one for what changed nothing, or was refused.

    What changed nothing, such as a dry run, is only answered when it has its entry.
    """
    action = request.app[openapi.ACTIONS].get(request.match_info.handler)
    if action is None:
        return await handler(request)
    act, writes = _begun(request, action), request.method not in READS
    token, pool = UNDER_WAY.set(act), request.app[STATE].pool
    try:
        answered = await handler(request)
    except Exception as error:
        told = answer_to(error)
        if not act.noted and act.actor and (writes or told.status == FORBIDDEN):
            if act.role != "admin" and told.status == NOT_FOUND:
                auth.bound(request, act.actor)
            if told.status not in NOT_NOTED:
                await _refused(request, act, told.code)
        raise
    finally:
        UNDER_WAY.reset(token)
    if writes and not act.noted:
        await admin_audit.note(pool, act, DONE)
    return answered


def _begun(request: web.Request, action: str) -> Act:
    named = request.match_info
    parts = [named[part] for part in ("id", "key", "name") if part in named]
    object = parts[-1] if parts else ""
    tenant = named.get("id") if request.path.startswith("/v1/tenants/") else None
    return Act(
        action,
        object if ID.fullmatch(object) or not object else "unreadable",
        request[REQUEST_ID],
        address=address_of(request),
        tenant=tenant if tenant and ID.fullmatch(tenant) else None,
    )


async def _refused(request: web.Request, act: Act, code: str) -> None:
    """Note a refused act. Where that fails the caller still gets the reason of the refusal; nothing was changed."""
    try:
        await admin_audit.note(request.app[STATE].pool, act, code)
    except DATABASE_AWAY as error:
        logger.warning(
            "a refused request (%s, %s) is not in the audit of administration (%s)",
            act.action,
            code,
            type(error).__name__,
        )
