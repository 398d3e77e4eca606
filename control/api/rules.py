"""`/v1/rules`: the operator's rules as they take effect, for a backup."""

import msgspec
from aiohttp import web

from control import auth
from control.errors import answer
from control.permissions import Caller
from control.state import STATE
from control.store import admin_audit
from control.store.admin_audit import UNDER_WAY
from rules.layers import tenant_of
from rules.sources import PRESETS, shipped


class Rules(msgspec.Struct):
    """`files` are the operator's own, by name.

    `complaint`: why changed files do not take effect.
    """

    version: str
    presets: list[str]
    files: dict[str, str]
    complaint: str | None


async def export(request: web.Request) -> web.Response:
    """The operator's own rule files, by name, and the version that proxies use."""
    act = UNDER_WAY.get()
    assert act is not None
    await admin_audit.note(request.app[STATE].pool, act)
    state = request.app[STATE]
    who = await auth.caller(request)
    own = {
        name: text
        for name, text in state.rules.items()
        if name not in shipped() and _is_seen(who, name)
    }
    # It may be of anybody's file.
    complaint = state.rules_complaint if who.tenants is None else ""
    return answer(Rules(state.rules_hash, list(PRESETS), own, complaint or None))


def _is_seen(who: Caller, name: str) -> bool:
    """Whether a file is shared, or a tenant's that the caller sees."""
    return not (tenant := tenant_of(name)) or who.sees(tenant)
