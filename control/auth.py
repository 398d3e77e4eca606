"""Who calls the API: the admin, a tenant by its key, or a proxy by its token. One resolver, constant-time comparisons."""

import hmac
import re
from typing import NamedTuple

from aiohttp import web

from contract.keys import digest, parse
from contract.unwrap import proxy_token
from control.errors import ApiError
from control.state import STATE
from control.store import keys

ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")


class Caller(NamedTuple):
    """The admin (`tenant` is None) or a tenant."""

    tenant: str | None


async def caller(request: web.Request) -> Caller:
    """Raises ApiError 401 where no valid key came, 400 where two different ones did."""
    text = _presented(request)
    state = request.app[STATE]
    if hmac.compare_digest(text.encode("utf-8", "surrogateescape"), state.settings.admin_key.get_secret_value().encode()):
        return Caller(None)
    key = parse(text)
    if key is not None:
        tenant, expected = await keys.owner_of(state.pool, key.id) or ("", "")
        if hmac.compare_digest(digest(state.pepper, key.secret), expected):
            return Caller(tenant)
    raise ApiError(401, "unauthorized", "This key is not valid here.", "Send the admin key or a tenant's key as X-API-Key.")


async def admin(request: web.Request) -> None:
    """Raises ApiError 401 or 403 for anybody else."""
    if (await caller(request)).tenant is not None:
        raise ApiError(403, "forbidden", "This needs the admin key.", "Send EARTHFLOW_ADMIN_API_KEY as X-API-Key.")


async def tenant_of(request: web.Request) -> str:
    """The tenant that the path names, if it is the caller's business. Raises ApiError 401, or 404 for a foreign one."""
    who, id = await caller(request), named(request)
    if who.tenant not in (None, id):
        raise ApiError(404, "not_found", "There is no such tenant.")
    return id


def named(request: web.Request, part: str = "id") -> str:
    """An id in the path. Raises ApiError 404 for what can be none."""
    id = request.match_info[part]
    if not ID.fullmatch(id):
        raise ApiError(404, "not_found", "There is nothing of that name.")
    return id


def proxy(request: web.Request) -> None:
    """Raises ApiError 401 for who does not hold the master key."""
    expected = f"Bearer {proxy_token(request.app[STATE].vault.master)}"
    if not hmac.compare_digest(request.headers.get("Authorization", "").encode("utf-8", "surrogateescape"), expected.encode()):
        raise ApiError(401, "unauthorized", "Only a proxy with the same EARTHFLOW_MASTER_KEY may ask this.")


def _presented(request: web.Request) -> str:
    scheme, _, bearer = request.headers.get("Authorization", "").partition(" ")
    given = {request.headers.get("X-API-Key", ""), bearer.strip() if scheme.lower() == "bearer" else ""} - {""}
    if len(given) > 1:
        raise ApiError(400, "two_keys", "X-API-Key and Authorization carry different keys.", "Send one of them.")
    if not given:
        raise ApiError(401, "unauthorized", "No key was sent.", "Send the admin key or a tenant's key as X-API-Key.")
    return given.pop()
