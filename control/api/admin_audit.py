"""`/v1/audit/admin`: who changed what, newest first."""

import uuid

import msgspec
from aiohttp import web

from control import auth
from control.api.audit import reading, times_of
from control.api.paging import BAD_CURSOR, limit_of
from control.errors import answer
from control.store import admin_audit
from control.store.admin_audit import Entry, Wanted

FILTERS = ("request", "actor", "object", "action", "tenant", "outcome", "from", "to")


class Entries(msgspec.Struct):
    """Acts, newest first. `next` is the cursor of the following page, if there may be one."""

    entries: list[Entry]
    next: str | None


async def search(request: web.Request) -> web.Response:
    """Who changed what. `action` is one such as tenants.create, or a noun such as tenants. A tenant sees its own."""
    who = await auth.caller(request)
    wanted = {
        name: request.query[name]
        for name in FILTERS
        if name in request.query and name not in ("from", "to")
    }
    tenants = auth.tenants_of(who, wanted.pop("tenant", None))
    since, until = times_of(request)
    limit = limit_of(request)
    sought, after = (
        Wanted(**wanted, tenants=tenants, since=since, until=until),
        _cursor(request),
    )
    async with reading(request, tenants) as pool:
        rows = await admin_audit.search(pool, sought, limit=limit, after=after)
    if who.role == "tenant":
        rows = [_for_tenant(one) for one in rows]
    return answer(Entries(rows, rows[-1].id if len(rows) == limit else None))


def _for_tenant(one: Entry) -> Entry:
    """An entry without who the operators are and where they sit."""
    if one.role == "tenant":
        return one
    return msgspec.structs.replace(one, actor=one.role, address="")


def _cursor(request: web.Request) -> str | None:
    text = request.query.get("cursor")
    try:
        return str(uuid.UUID(text)) if text is not None else None
    except ValueError:
        raise BAD_CURSOR from None
