"""`/v1/tenants`."""

import logging
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from aiohttp import web

from contract import keys
from control import auth
from control.api import webhooks
from control.api.bodies import SHOWN, Deleted, body_of
from control.api.paging import BAD_AFTER, after_of, limit_of, search_of
from control.errors import NO_TENANT, REQUEST_ID, ApiError, answer
from control.state import STATE
from control.store import tenants
from control.store.admin_audit import about
from control.store.tenants import Tenant, TenantExists, Wanted
from rules.complaint import likely

logger = logging.getLogger("earthflow.api")

# Labels of a tenant.
MAX_LABELS = 50
# Tenants of one batch: a transaction of less than a second.
MOST_AT_ONCE = 500
# Tenants that are read at a time where all are asked for.
PAGE = 500
STATES = ("live", "ended", "all")

Name = Annotated[
    str, msgspec.Meta(min_length=1, max_length=200, pattern=rf"^{SHOWN}+\Z")
]
Label = Annotated[str, msgspec.Meta(max_length=200, pattern=rf"^{SHOWN}*\Z")]
Labels = Annotated[dict[Label, Label], msgspec.Meta(max_length=MAX_LABELS)]
PerMinute = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
TokensPerDay = Annotated[int, msgspec.Meta(ge=1, le=10**15)]
Days = Annotated[int, msgspec.Meta(ge=1, le=36_500)]
Id = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}\Z")]
Preset = Literal["default", "strict", "monitor"]
UnknownHosts = Literal["", "tunnel", "deny"]
COLUMNS = {"rules_preset": "preset"}  # fields whose column has another name


# What a tenant's own people do not set: those who are bound to it could else let everything through, or shorten its audit.
LIMITS = (
    "rules_preset",
    "unknown_hosts",
    "max_requests_per_minute",
    "max_tokens_per_day",
    "retention_days",
)


class NewTenant(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a POST."""

    name: Name
    rules_preset: Preset = "default"
    id: Id | None = None
    unknown_hosts: UnknownHosts = ""
    max_requests_per_minute: PerMinute | None = None
    max_tokens_per_day: TokensPerDay | None = None
    retention_days: Days | None = None
    labels: Labels = {}


class Changes(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """The body of a PATCH: a missing field stays as it is."""

    name: Name | msgspec.UnsetType = msgspec.UNSET
    rules_preset: Preset | msgspec.UnsetType = msgspec.UNSET
    unknown_hosts: UnknownHosts | msgspec.UnsetType = msgspec.UNSET
    max_requests_per_minute: PerMinute | msgspec.UnsetType | None = msgspec.UNSET
    max_tokens_per_day: TokensPerDay | msgspec.UnsetType | None = msgspec.UNSET
    retention_days: Days | msgspec.UnsetType | None = msgspec.UNSET
    labels: Labels | msgspec.UnsetType = msgspec.UNSET
    # another URL, with a secret of its own, for the webhook that reading a tenant shows; null removes that one
    webhook: str | msgspec.UnsetType | None = msgspec.UNSET


class TenantView(msgspec.Struct, kw_only=True, omit_defaults=False):
    """A tenant. `api_key` and `webhook_secret` are there only in the answer that made
    them.
    """

    id: str
    name: str
    rules_preset: str
    unknown_hosts: UnknownHosts
    max_requests_per_minute: int | None
    max_tokens_per_day: int | None
    retention_days: int | None
    webhook: str | None
    labels: Mapping[str, str]
    created_at: datetime
    keys: Sequence[str]
    deleted_at: datetime | None
    api_key: str | msgspec.UnsetType = msgspec.UNSET
    webhook_secret: str | msgspec.UnsetType = msgspec.UNSET


class Tenants(msgspec.Struct):
    """Tenants, oldest first. `next` is what to ask for as `after`, if there may be more."""

    tenants: list[TenantView]
    next: str | None = None


class Batch(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a POST of several tenants: all are created, or none."""

    tenants: Annotated[
        list[NewTenant], msgspec.Meta(min_length=1, max_length=MOST_AT_ONCE)
    ]


async def create(request: web.Request) -> web.Response:
    """Create a tenant and its first key, which is shown here and never again."""
    example = '{"name": "My Organization", "rules_preset": "default"}'
    wanted = await body_of(request, NewTenant, example)
    (made,) = await _create(request, [wanted])
    return answer(made, 201)


async def batch(request: web.Request) -> web.Response:
    """Create several tenants, each with a first key, which is shown here and never again: all of them, or none."""
    example = '{"tenants": [{"name": "Acme", "id": "acme"}]}'
    wanted = await body_of(request, Batch, example)
    named = [one.id for one in wanted.tenants if one.id is not None]
    if twice := next((id for id in named if named.count(id) > 1), None):
        message = f"Nothing was created: the id {twice} stands twice."
        raise ApiError(400, "same_id", message)
    return answer(Tenants(await _create(request, wanted.tenants)), 201)


async def _create(
    request: web.Request, wanted: Sequence[NewTenant]
) -> list[TenantView]:
    state = request.app[STATE]
    minted = [keys.mint() for _ in wanted]
    new = [
        tenants.New(
            columns_of(one)
            | {
                "id": one.id or f"t-{secrets.token_hex(5)}",
                "prompt_key": state.vault.new_secret(),
            },
            key.id,
            keys.digest(state.keyring.pepper, key.secret),
        )
        for one, key in zip(wanted, minted, strict=True)
    ]
    try:
        made = await tenants.create(state.pool, new)
    except TenantExists as error:
        about(str(error))
        message = f"The id {error} is or was a tenant's; its audit is kept under it."
        raise ApiError(409, "tenant_exists", message, "Choose another id.") from None
    await state.wake_soon()
    shown = zip(made, minted, strict=True)
    return [_shown(tenant, api_key=key.text) for tenant, key in shown]


async def every(request: web.Request) -> web.StreamResponse:
    """The tenants that the caller sees; by `limit` in pages, each `after` the one before.

    `search` looks in ids and names; `state` is live, ended or all.
    """
    pool, wanted = request.app[STATE].pool, _wanted(request)
    seen = auth.tenants_of(await auth.caller(request), None)
    if wanted.after is not None and not (
        (seen is None or wanted.after in seen)
        and await tenants.exists(pool, wanted.after)
    ):
        raise BAD_AFTER
    if "limit" in request.query:
        limit = limit_of(request)
        found = await tenants.every(pool, wanted, limit, seen)
        following = found[-1].id if len(found) == limit else None
        return answer(Tenants([*map(_shown, found)], following))
    found = await tenants.every(pool, wanted, PAGE, seen)
    if len(found) < PAGE or request.method == "HEAD":
        return answer(Tenants([*map(_shown, found)]))
    headers = {"Content-Type": "application/json", "x-request-id": request[REQUEST_ID]}
    response = web.StreamResponse(headers=headers)
    await response.prepare(request)
    try:
        await response.write(b'{"tenants":[')
        while found:
            rows = msgspec.json.encode([*map(_shown, found)])[1:-1]
            wanted = wanted._replace(after=found[-1].id)
            found = await tenants.every(pool, wanted, PAGE, seen)
            await response.write(rows + (b"," if found else b""))
        await response.write(b'],"next":null}')
    except Exception as error:  # it has begun, so it can only be cut off
        logger.warning("a list of tenants was cut off (%s)", type(error).__name__)
        if request.transport is not None:
            request.transport.abort()
    return response


def _wanted(request: web.Request) -> Wanted:
    state = request.query.get("state", "live")
    if state not in STATES:
        hint = likely(state, STATES)
        raise ApiError(400, "bad_state", "That state does not exist.", hint)
    live, ended = state != "ended", state != "live"
    return Wanted(search_of(request), live, ended, after_of(request))


async def show(request: web.Request) -> web.Response:
    """A tenant. A tenant sees itself."""
    id = auth.named(request)
    return answer(_shown(_there(await tenants.one(request.app[STATE].pool, id))))


async def change(request: web.Request) -> web.Response:
    """Change a tenant; it takes effect on every proxy at once. Its preset, hosts, limits and retention need tenants.limits, too. A new
    webhook's secret is shown here and never again.
    """
    state = request.app[STATE]
    changes = await body_of(request, Changes, '{"max_requests_per_minute": 5000}')
    if any(getattr(changes, name) is not msgspec.UNSET for name in LIMITS):
        await auth.having(request, "tenants.limits")
    values = columns_of(changes)
    url, webhook, secret = values.pop("webhook", msgspec.UNSET), None, None
    if url is not msgspec.UNSET:
        webhook, secret = (
            await webhooks.new_values(request, url, ["BLOCK"])
            if url is not None
            else ({}, None)
        )
    tenant = _there(
        await tenants.change(state.pool, auth.named(request), values, webhook)
    )
    await state.tell_proxies()
    return answer(_shown(tenant, webhook_secret=secret))


async def delete(request: web.Request) -> web.Response:
    """End a tenant: its keys stop working on every proxy, its audit stays."""
    state = request.app[STATE]
    if not await tenants.delete(state.pool, auth.named(request)):
        _there(None)
    await state.tell_proxies()
    return answer(Deleted(request.match_info["id"]))


def _there(tenant: Tenant | None) -> Tenant:
    if tenant is None:
        raise NO_TENANT
    return tenant


def columns_of(written: NewTenant | Changes) -> dict[str, Any]:
    """The fields that were written, by column."""
    values = {
        name: value
        for name in written.__struct_fields__
        if (value := getattr(written, name)) is not msgspec.UNSET
    }
    return {COLUMNS.get(name, name): value for name, value in values.items()}


def _shown(
    tenant: Tenant,
    *,
    api_key: str | msgspec.UnsetType = msgspec.UNSET,
    webhook_secret: str | None = None,
) -> TenantView:
    told = {
        name: value
        for name, value in tenant._asdict().items()
        if name not in ("preset", "created", "deleted")
    }
    secret = webhook_secret or msgspec.UNSET
    return TenantView(
        rules_preset=tenant.preset,
        created_at=tenant.created,
        deleted_at=tenant.deleted,
        api_key=api_key,
        webhook_secret=secret,
        **told,
    )
