"""`/v1/tenants`."""

import re
import secrets
from typing import Annotated, Any, Literal

import msgspec
from aiohttp import web

from contract import keys
from control import auth
from control.api import webhooks
from control.api.bodies import body_of
from control.errors import ApiError, answer
from control.state import STATE
from control.store import tenants
from control.store.tenants import Tenant, TenantExists
from rules.complaint import likely
from rules.load import PRESETS

ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
MAX_LABELS = 50

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
Label = Annotated[str, msgspec.Meta(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
Labels = Annotated[dict[Label, Label], msgspec.Meta(max_length=MAX_LABELS)]
PerMinute = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
TokensPerDay = Annotated[int, msgspec.Meta(ge=1, le=10**15)]
Days = Annotated[int, msgspec.Meta(ge=1, le=36_500)]
UnknownHosts = Literal["", "tunnel", "deny"]
COLUMNS = {"rules_preset": "preset"}  # where a field and its column differ


class NewTenant(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a POST."""

    name: Name
    rules_preset: str = "default"
    id: str | None = None
    unknown_hosts: UnknownHosts = ""
    max_requests_per_minute: PerMinute | None = None
    max_tokens_per_day: TokensPerDay | None = None
    retention_days: Days | None = None
    labels: Labels = {}


class Changes(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """The body of a PATCH: what is not there stays as it is."""

    name: Name | msgspec.UnsetType = msgspec.UNSET
    rules_preset: str | msgspec.UnsetType = msgspec.UNSET
    unknown_hosts: UnknownHosts | msgspec.UnsetType = msgspec.UNSET
    max_requests_per_minute: PerMinute | msgspec.UnsetType | None = msgspec.UNSET
    max_tokens_per_day: TokensPerDay | msgspec.UnsetType | None = msgspec.UNSET
    retention_days: Days | msgspec.UnsetType | None = msgspec.UNSET
    labels: Labels | msgspec.UnsetType = msgspec.UNSET
    webhook: str | msgspec.UnsetType | None = msgspec.UNSET  # the URL of the one that takes all others' place


async def create(request: web.Request) -> web.Response:
    """A tenant and its first key, which is shown here and never again. Admin only."""
    await auth.admin(request)
    state = request.app[STATE]
    wanted = await body_of(request, NewTenant, '{"name": "My Organization", "rules_preset": "default"}')
    values = _columns(wanted)
    if wanted.id is not None and not ID.fullmatch(wanted.id):
        raise ApiError(400, "bad_id", "That id cannot be used.", "Lower-case letters, digits, - and _; 63 at most.")
    values |= {"id": wanted.id or f"t-{secrets.token_hex(5)}", "prompt_key": state.vault.new_secret()}
    key = keys.mint()
    try:
        tenant = await tenants.create(state.pool, values, key_id=key.id, key_digest=keys.digest(state.keyring.pepper, key.secret))
    except TenantExists:
        message = f"The id {wanted.id} is or was a tenant's; its audit is kept under it."
        raise ApiError(409, "tenant_exists", message, "Choose another id.") from None
    await state.tell_proxies()
    return answer({**_shown(tenant), "api_key": key.text}, 201)


async def every(request: web.Request) -> web.Response:
    """All tenants. Admin only."""
    await auth.admin(request)
    return answer({"tenants": [_shown(tenant) for tenant in await tenants.every(request.app[STATE].pool)]})


async def show(request: web.Request) -> web.Response:
    """A tenant; others than the admin see their own alone."""
    id = await auth.tenant_of(request)
    return answer(_shown(_there(await tenants.one(request.app[STATE].pool, id))))


async def change(request: web.Request) -> web.Response:
    """Change a tenant; it takes effect on every proxy at once. A new webhook's secret is shown here and never again. Admin only."""
    await auth.admin(request)
    state = request.app[STATE]
    values = _columns(await body_of(request, Changes, '{"max_requests_per_minute": 5000}'))
    url, webhook, secret = values.pop("webhook", msgspec.UNSET), None, None
    if url is not msgspec.UNSET:
        webhook, secret = webhooks.new_values(request, url, ["BLOCK"]) if url is not None else ({}, None)
    tenant = _there(await tenants.change(state.pool, auth.named(request), values, webhook))
    await state.tell_proxies()
    return answer({**_shown(tenant), **({"webhook_secret": secret} if secret else {})})


async def delete(request: web.Request) -> web.Response:
    """End a tenant: its keys stop working on every proxy, its audit stays. Admin only."""
    await auth.admin(request)
    state = request.app[STATE]
    if not await tenants.delete(state.pool, auth.named(request)):
        _there(None)
    await state.tell_proxies()
    return answer({"deleted": request.match_info["id"]})


def _there(tenant: Tenant | None) -> Tenant:
    if tenant is None:
        raise ApiError(404, "not_found", "There is no such tenant.", "GET /v1/tenants lists them.")
    return tenant


def _columns(written: NewTenant | Changes) -> dict[str, Any]:
    """What was written, by columns. Raises ApiError where the preset is none."""
    values = {name: value for name in written.__struct_fields__ if (value := getattr(written, name)) is not msgspec.UNSET}
    preset = values.get("rules_preset", "default")
    if preset not in PRESETS:
        raise ApiError(400, "unknown_preset", "There is no such rules_preset.", likely(preset, PRESETS))
    return {COLUMNS.get(name, name): value for name, value in values.items()}


def _shown(tenant: Tenant) -> dict[str, object]:
    return {
        "id": tenant.id,
        "name": tenant.name,
        "rules_preset": tenant.preset,
        "unknown_hosts": tenant.unknown_hosts,
        "max_requests_per_minute": tenant.max_requests_per_minute,
        "max_tokens_per_day": tenant.max_tokens_per_day,
        "retention_days": tenant.retention_days,
        "webhook": tenant.webhook,
        "labels": tenant.labels,
        "created_at": tenant.created,
        "keys": tenant.keys,
    }
