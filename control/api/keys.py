"""Keys of tenants: `/v1/tenants/{id}/keys`, and `/v1/keys/rotate` for one tenant or all."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

import msgspec
from aiohttp import web

from contract import keys as contract_keys
from control import auth
from control.api.bodies import body_of
from control.errors import ApiError, answer
from control.state import STATE, State
from control.store import keys
from control.store.keys import Key, Minted, Rotated

DAY = 24 * 3600
Seconds = Annotated[int, msgspec.Meta(ge=0, le=365 * DAY)]


class NewKey(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a POST; without `expires_in` the key works until it is revoked."""

    expires_in: Annotated[int, msgspec.Meta(ge=1, le=3650 * DAY)] | None = None


class Rotation(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a rotation: whose keys (all tenants' if not said), and for how long the old ones work on."""

    tenant_id: str | None = None
    revoke_after: Seconds = 3600
    dry_run: bool = False


async def every(request: web.Request) -> web.Response:
    """The keys of a tenant, without their secrets, which are nowhere. Others than the admin see their own."""
    id = await auth.tenant_of(request)
    return answer({"keys": [_shown(key) for key in await keys.of_tenant(request.app[STATE].pool, id)]})


async def create(request: web.Request) -> web.Response:
    """One more key, shown here and never again. Admin only."""
    await auth.admin(request)
    state = request.app[STATE]
    wanted = await body_of(request, NewKey, '{"expires_in": 86400}, or {}')
    text, minted = _mint(state)
    not_after = datetime.now(UTC) + timedelta(seconds=wanted.expires_in) if wanted.expires_in else None
    key = await keys.add(state.pool, auth.named(request), minted, not_after)
    if key is None:
        raise ApiError(404, "not_found", "There is no such tenant.", "GET /v1/tenants lists them.")
    await state.tell_proxies()
    return answer({**_shown(key), "api_key": text}, 201)


async def revoke(request: web.Request) -> web.Response:
    """End a key on every proxy, now. Admin only."""
    await auth.admin(request)
    state = request.app[STATE]
    if not await keys.revoke(state.pool, auth.named(request), auth.named(request, "key")):
        raise ApiError(404, "not_found", "That tenant has no such key, or it has ended already.", "GET /v1/tenants/{id}/keys lists them.")
    await state.tell_proxies()
    return answer({"revoked": request.match_info["key"]})


async def rotate(request: web.Request) -> web.Response:
    """New keys in place of old ones, which work on for `revoke_after` seconds. All of them, or none. Admin only."""
    await auth.admin(request)
    state = request.app[STATE]
    wanted = await body_of(request, Rotation, '{"tenant_id": "t1", "revoke_after": 3600, "dry_run": true}')
    of = await keys.to_rotate(state.pool, wanted.tenant_id)
    if wanted.tenant_id is not None and not of:
        raise ApiError(404, "not_found", "There is no such tenant.", "GET /v1/tenants lists them.")
    if wanted.dry_run:
        return answer({"dry_run": True, "rotated": [{"tenant": tenant} for tenant in of]})
    minted = {tenant: _mint(state) for tenant in of}
    done = await keys.rotate(state.pool, {tenant: stored for tenant, (_, stored) in minted.items()}, wanted.revoke_after)
    await state.tell_proxies()
    shown = [
        {"tenant": one.tenant, "old": one.old, "old_until": one.not_after, "new": one.new, "api_key": minted[one.tenant][0]} for one in done
    ]
    return answer({"dry_run": False, "rotated": shown})


def _mint(state: State) -> tuple[str, Minted]:
    key = contract_keys.mint()
    return key.text, Minted(key.id, contract_keys.digest(state.pepper, key.secret))


def _rotated(one: Rotated) -> dict[str, object]:
    return {"tenant": one.tenant, "old": one.old, "old_until": one.not_after, "new": one.new}


def _shown(key: Key) -> dict[str, object]:
    over = key.not_after is not None and key.not_after <= datetime.now(UTC)
    status = "ended" if over else "ending" if key.not_after is not None else "live"
    return {"id": key.id, "status": status, "created_at": key.created, "not_after": key.not_after, "replaced_by": key.replaced_by}
