"""`/v1/tenants`."""

import re
import secrets
from typing import Annotated, Literal

import msgspec
from aiohttp import web

from contract import keys
from control import auth
from control.errors import ApiError, answer
from control.state import STATE
from control.store import tenants
from control.store.tenants import Tenant, TenantExists
from rules.complaint import likely
from rules.load import PRESETS

ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


class NewTenant(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a POST."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
    rules_preset: str = "default"
    id: str | None = None
    unknown_hosts: Literal["", "tunnel", "deny"] = ""


async def create(request: web.Request) -> web.Response:
    """A tenant and its first key, which is shown here and never again. Admin only."""
    await auth.admin(request)
    state = request.app[STATE]
    wanted = await _body(request)
    key = keys.mint()
    try:
        tenant = await tenants.create(
            state.pool,
            id=wanted.id or f"t-{secrets.token_hex(5)}",
            name=wanted.name,
            preset=wanted.rules_preset,
            prompt_key=state.vault.new_secret(),
            key_id=key.id,
            key_digest=keys.digest(state.pepper, key.secret),
            unknown_hosts=wanted.unknown_hosts,
        )
    except TenantExists:
        message = f"The id {wanted.id} is or was a tenant's; its audit is kept under it."
        raise ApiError(409, "tenant_exists", message, "Choose another id.") from None
    await state.tell_proxies()
    return answer({**_shown(tenant), "api_key": key.text}, 201)


async def every(request: web.Request) -> web.Response:
    """All tenants. Admin only."""
    await auth.admin(request)
    return answer({"tenants": [_shown(tenant) for tenant in await tenants.every(request.app[STATE].pool)]})


async def delete(request: web.Request) -> web.Response:
    """End a tenant: its keys stop working on every proxy, its audit stays. Admin only."""
    await auth.admin(request)
    state = request.app[STATE]
    if not await tenants.delete(state.pool, request.match_info["id"]):
        raise ApiError(404, "not_found", "There is no such tenant.", "GET /v1/tenants lists them.")
    await state.tell_proxies()
    return answer({"deleted": request.match_info["id"]})


async def _body(request: web.Request) -> NewTenant:
    try:
        wanted = msgspec.json.decode(await request.read(), type=NewTenant)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        hint = 'Send {"name": "My Organization", "rules_preset": "default"}.'
        raise ApiError(400, "bad_request", f"The body is not what is expected: {error}", hint) from None
    if wanted.rules_preset not in PRESETS:
        raise ApiError(400, "unknown_preset", "There is no such rules_preset.", likely(wanted.rules_preset, PRESETS))
    if wanted.id is not None and not ID.fullmatch(wanted.id):
        raise ApiError(400, "bad_id", "That id cannot be used.", "Lower-case letters, digits, - and _; 63 at most.")
    return wanted


def _shown(tenant: Tenant) -> dict[str, object]:
    return {
        "id": tenant.id,
        "name": tenant.name,
        "rules_preset": tenant.preset,
        "unknown_hosts": tenant.unknown_hosts,
        "created_at": tenant.created,
        "keys": tenant.keys,
    }
