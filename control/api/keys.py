"""Keys: `/v1/tenants/{id}/keys` of tenants, `/v1/keys` of staff, which is every other role, `/v1/keys/rotate` for one tenant or all."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

import msgspec
from aiohttp import web

from contract import keys as contract_keys
from contract.keys import BINDABLE, KINDS, Role, StaffRole
from control import auth
from control.api.bodies import SHOWN, body_of
from control.api.paging import BAD_AFTER, after_of, limit_of, search_of
from control.errors import NO_TENANT, ApiError, answer
from control.state import STATE, State
from control.store import keys
from control.store.admin_audit import is_dry_run
from control.store.keys import Key, Minted

DAY = 24 * 3600
Seconds = Annotated[int, msgspec.Meta(ge=0, le=365 * DAY)]
Lifetime = Annotated[int, msgspec.Meta(ge=1, le=3650 * DAY)]
TenantId = Annotated[str, msgspec.Meta(pattern=rf"^{auth.ID.pattern}\Z")]
MOST_BOUND = 1_000  # tenants of a key; each search names them all
Name = Annotated[str, msgspec.Meta(max_length=200, pattern=rf"^{SHOWN}*\Z")]


class NewKey(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a POST. Without `expires_in` the key works until it is revoked."""

    name: Name = ""
    expires_in: Lifetime | None = None


class NewRoleKey(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a POST for a key of staff. `tenants`: those that a key of an operator or auditor is bound to; null: none."""

    role: StaffRole
    name: Name = ""
    tenants: (
        Annotated[list[TenantId], msgspec.Meta(min_length=1, max_length=MOST_BOUND)]
        | None
    ) = None
    expires_in: Lifetime | None = None


class Rotation(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a rotation: whose keys (by default all tenants'), and for how long
    the old ones still work.
    """

    tenant_id: str | None = None
    revoke_after: Seconds = 3600
    dry_run: bool = False


class KeyView(msgspec.Struct, kw_only=True):
    """A key without its secret. `tenants`: those that one of staff is bound to; null: it is for all, or its own tenant's.

    `api_key`, the key itself, is there only in the answer that made it.
    """

    id: str
    role: Role
    tenants: Sequence[str] | None
    name: str
    status: Literal["live", "ending", "ended"]
    created_at: datetime
    last_used_at: datetime | None
    not_after: datetime | None
    replaced_by: str | None
    api_key: str | msgspec.UnsetType = msgspec.UNSET


class Keys(msgspec.Struct):
    """Keys, oldest first. `next` is what to ask for as `after`, if there may be more."""

    keys: list[KeyView]
    next: str | None = None


class EndingView(msgspec.Struct):
    """Keys that end within seven days; those `in_use` were used in the last day; seconds until the first ends."""

    count: int
    in_use: int
    first_seconds: float | None


class Revoked(msgspec.Struct):
    """The id of a revoked key."""

    revoked: str


class RotatedView(msgspec.Struct, kw_only=True):
    """A tenant's rotation; in a dry run, its tenant alone."""

    tenant: str
    old: Sequence[str] | msgspec.UnsetType = msgspec.UNSET
    old_until: datetime | msgspec.UnsetType = msgspec.UNSET
    new: str | msgspec.UnsetType = msgspec.UNSET
    api_key: str | msgspec.UnsetType = msgspec.UNSET


class RotationView(msgspec.Struct):
    """What was rotated, or would be."""

    dry_run: bool
    rotated: list[RotatedView]


async def every(request: web.Request) -> web.Response:
    """The keys of a tenant, ended ones as well, without their secrets, which are stored nowhere; by `limit` in pages.

    A tenant sees its own.
    """
    return await _listed(request, auth.named(request))


async def of_nobody(request: web.Request) -> web.Response:
    """The keys of staff, ended ones as well."""
    return await _listed(request, None)


async def _listed(request: web.Request, tenant: str | None) -> web.Response:
    limit = limit_of(request) if "limit" in request.query else None
    pool, after = request.app[STATE].pool, after_of(request)
    if after is not None and not await keys.exists(pool, tenant, after):
        raise BAD_AFTER
    found = await keys.of_tenant(
        pool,
        tenant,
        search=search_of(request),
        after=after,
        limit=limit,
    )
    following = found[-1].id if limit is not None and len(found) == limit else None
    return answer(Keys([*map(_shown, found)], following))


async def ending(request: web.Request) -> web.Response:
    """How many keys end within seven days, how many of them are in use, and when the first ends."""
    found = await keys.ending(request.app[STATE].pool)
    return answer(EndingView(found.soon, found.used, found.first))


async def create(request: web.Request) -> web.Response:
    """Add a key to a tenant. It is shown here and never again."""
    wanted = await body_of(request, NewKey, '{"expires_in": 86400}, or {}')
    return await _create(request, auth.named(request), "tenant", wanted)


async def create_for_nobody(request: web.Request) -> web.Response:
    """Add a key of staff: for an admin, an operator, an auditor, or for reading metrics only.

    It is shown here and never again.
    """
    example = '{"role": "auditor", "name": "audit 2026", "tenants": ["acme"]}'
    wanted = await body_of(request, NewRoleKey, example)
    if wanted.tenants is not None and wanted.role not in BINDABLE:
        message = f"A key of the role {wanted.role} is bound to no tenants."
        hint = f"Leave tenants out, or take one of these roles: {', '.join(BINDABLE)}."
        raise ApiError(400, "not_bindable", message, hint)
    return await _create(request, None, wanted.role, wanted, wanted.tenants)


async def _create(
    request: web.Request,
    tenant: str | None,
    role: Role,
    wanted: NewKey | NewRoleKey,
    bound_to: Sequence[str] | None = None,
) -> web.Response:
    state = request.app[STATE]
    text, minted = _mint(state, role)
    not_after = (
        datetime.now(UTC) + timedelta(seconds=wanted.expires_in)
        if wanted.expires_in
        else None
    )
    key = await keys.add(
        state.pool, tenant, role, wanted.name, minted, not_after, bound_to
    )
    if key is None:
        raise NO_TENANT
    await state.wake_soon()
    return answer(_shown(key, text), 201)


async def revoke(request: web.Request) -> web.Response:
    """Revoke a key of a tenant on every proxy, now."""
    return await _revoke(request, auth.named(request))


async def revoke_of_nobody(request: web.Request) -> web.Response:
    """Revoke a key of staff."""
    return await _revoke(request, None)


async def _revoke(request: web.Request, tenant: str | None) -> web.Response:
    state = request.app[STATE]
    if not await keys.revoke(state.pool, tenant, auth.named(request, "key")):
        raise ApiError(
            404,
            "not_found",
            "There is no such key, or it has ended already.",
            "GET the list of keys to see them.",
        )
    await state.tell_proxies()
    return answer(Revoked(request.match_info["key"]))


async def rotate(request: web.Request) -> web.Response:
    """Replace keys; the old ones still work for `revoke_after` seconds.

    All are replaced, or none.
    """
    state = request.app[STATE]
    wanted = await body_of(
        request, Rotation, '{"tenant_id": "t1", "revoke_after": 3600, "dry_run": true}'
    )
    who = await auth.caller(request)
    within = auth.tenants_of(who, wanted.tenant_id)
    of = await keys.to_rotate(state.pool, within)
    if wanted.tenant_id is not None and not of:
        raise NO_TENANT
    if wanted.dry_run:
        is_dry_run()
        return answer(RotationView(True, [RotatedView(tenant=tenant) for tenant in of]))
    minted = {tenant: _mint(state, "tenant") for tenant in of}
    done = await keys.rotate(
        state.pool,
        {tenant: stored for tenant, (_, stored) in minted.items()},
        wanted.revoke_after,
    )
    await state.tell_proxies()
    shown = [
        RotatedView(
            tenant=one.tenant,
            old=one.old,
            old_until=one.not_after,
            new=one.new,
            api_key=minted[one.tenant][0],
        )
        for one in done
    ]
    return answer(RotationView(False, shown))


def _mint(state: State, role: Role) -> tuple[str, Minted]:
    key = contract_keys.mint(KINDS[role])
    return key.text, Minted(
        key.id, contract_keys.digest(state.keyring.pepper, key.secret)
    )


def _shown(key: Key, text: str | msgspec.UnsetType = msgspec.UNSET) -> KeyView:
    over = key.not_after is not None and key.not_after <= datetime.now(UTC)
    return KeyView(
        id=key.id,
        role=key.role,
        tenants=key.bound_to,
        name=key.name,
        status="ended" if over else "ending" if key.not_after is not None else "live",
        created_at=key.created,
        last_used_at=key.last_used,
        not_after=key.not_after,
        replaced_by=key.replaced_by,
        api_key=text,
    )
