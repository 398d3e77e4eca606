"""`/v1/audit`."""

import re
from typing import get_args

from aiohttp import web

from contract.decision import Action
from control import auth
from control.api.tenants import ID
from control.errors import ApiError, answer
from control.state import STATE
from control.store import audit
from control.store.audit import Row
from rules.complaint import likely

MAX_LIMIT = 1000


async def search(request: web.Request) -> web.Response:
    """The newest exchanges: `status`, `limit`, and for the admin `tenant`. A tenant sees its own."""
    who = await auth.caller(request)
    unknown = set(request.query) - {"status", "limit", "tenant"}
    if unknown:
        name = min(unknown)
        raise ApiError(400, "unknown_parameter", f"There is no parameter {name}.", likely(name, ("status", "limit", "tenant")))
    tenant = who.tenant or request.query.get("tenant")
    if request.query.get("tenant") not in (None, tenant) or (tenant is not None and not ID.fullmatch(tenant)):
        raise ApiError(404, "not_found", "There is no such tenant.")
    rows = await audit.search(request.app[STATE].pool, tenant=tenant, action=_action(request), limit=_limit(request))
    return answer({"audit": [_shown(row) for row in rows]})


def _action(request: web.Request) -> str | None:
    status = request.query.get("status")
    if status is not None and status not in get_args(Action):
        raise ApiError(400, "bad_status", "That status does not exist.", likely(status, get_args(Action)))
    return status


def _limit(request: web.Request) -> int:
    text = request.query.get("limit", "50")
    if not re.fullmatch(r"[0-9]{1,4}", text) or not 1 <= int(text) <= MAX_LIMIT:
        raise ApiError(400, "bad_limit", f"limit is a whole number from 1 to {MAX_LIMIT}.")
    return int(text)


def _shown(row: Row) -> dict[str, object]:
    decision = row.decision
    return {
        "id": decision.id,
        "time": decision.time,
        "tenant": decision.tenant,
        "key": decision.key,
        "status": decision.action,
        "would": decision.would,
        "reason": decision.reason,
        "coverage": decision.coverage,
        "unreadable": decision.unreadable,
        "rules": decision.rules,
        "rulebook": decision.rulebook,
        "provider": decision.provider,
        "host": decision.host,
        "method": decision.method,
        "path": decision.path,
        "model": decision.model,
        "stream": decision.stream,
        "size": decision.size,
        "prompt_hash": decision.prompt_hash,
        "client": decision.client,
        "completion": row.completion and _completion(row),
    }


def _completion(row: Row) -> dict[str, object]:
    assert row.completion is not None
    shown = {name: getattr(row.completion, name) for name in row.completion.__struct_fields__}
    return {name: value for name, value in shown.items() if name not in ("schema", "id", "place", "tenant")}
