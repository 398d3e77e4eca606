"""`/v1/tenants`."""

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
from control.errors import NO_TENANT, ApiError, answer
from control.state import STATE
from control.store import tenants
from control.store.admin_audit import about
from control.store.tenants import Tenant, TenantExists

# Labels of a tenant.
MAX_LABELS = 50

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
    api_key: str | msgspec.UnsetType = msgspec.UNSET
    webhook_secret: str | msgspec.UnsetType = msgspec.UNSET


class Tenants(msgspec.Struct):
    """All tenants."""

    tenants: list[TenantView]


async def create(request: web.Request) -> web.Response:
    """Create a tenant and its first key, which is shown here and never again.

    Admin only.
    """
    await auth.admin(request)
    state = request.app[STATE]
    wanted = await body_of(
        request, NewTenant, '{"name": "My Organization", "rules_preset": "default"}'
    )
    values = _columns(wanted)
    values |= {
        "id": wanted.id or f"t-{secrets.token_hex(5)}",
        "prompt_key": state.vault.new_secret(),
    }
    key = keys.mint()
    try:
        tenant = await tenants.create(
            state.pool,
            values,
            key_id=key.id,
            key_digest=keys.digest(state.keyring.pepper, key.secret),
        )
    except TenantExists:
        about(values["id"])
        message = (
            f"The id {wanted.id} is or was a tenant's; its audit is kept under it."
        )
        raise ApiError(409, "tenant_exists", message, "Choose another id.") from None
    await state.tell_proxies()
    return answer(_shown(tenant, api_key=key.text), 201)


async def every(request: web.Request) -> web.Response:
    """All tenants. Admin only."""
    await auth.admin(request)
    return answer(
        Tenants(
            [_shown(tenant) for tenant in await tenants.every(request.app[STATE].pool)]
        )
    )


async def show(request: web.Request) -> web.Response:
    """A tenant. A tenant sees itself."""
    id = await auth.tenant_of(request)
    return answer(_shown(_there(await tenants.one(request.app[STATE].pool, id))))


async def change(request: web.Request) -> web.Response:
    """Change a tenant; it takes effect on every proxy at once. A new webhook's secret is shown here and never again. Admin only."""
    await auth.admin(request)
    state = request.app[STATE]
    values = _columns(
        await body_of(request, Changes, '{"max_requests_per_minute": 5000}')
    )
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
    """End a tenant: its keys stop working on every proxy, its audit stays. Admin only."""
    await auth.admin(request)
    state = request.app[STATE]
    if not await tenants.delete(state.pool, auth.named(request)):
        _there(None)
    await state.tell_proxies()
    return answer(Deleted(request.match_info["id"]))


def _there(tenant: Tenant | None) -> Tenant:
    if tenant is None:
        raise NO_TENANT
    return tenant


def _columns(written: NewTenant | Changes) -> dict[str, Any]:
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
        if name not in ("preset", "created")
    }
    secret = webhook_secret or msgspec.UNSET
    return TenantView(
        rules_preset=tenant.preset,
        created_at=tenant.created,
        api_key=api_key,
        webhook_secret=secret,
        **told,
    )
