"""`/v1/tenants/{id}/secrets`: values of a tenant's own that its proxies look for, wherever they stand. They are never shown again."""

from datetime import datetime
from typing import Annotated
from unicodedata import normalize

import msgspec
from aiohttp import web

from control import auth
from control.api.bodies import Deleted, body_of
from control.errors import NO_TENANT, ApiError, answer
from control.state import STATE
from control.store import known_values, tenants
from control.store.known_values import New, TooMany
from rules.known import MAX_VALUES, NAME, complaint

Name = Annotated[str, msgspec.Meta(pattern=rf"^{NAME.pattern}\Z")]


class NewSecret(msgspec.Struct, forbid_unknown_fields=True):
    """A value, and the name by which audit and placeholders speak of it. `any_case`: in
    capitals and small letters alike, as a host name.
    """

    name: Name
    value: str
    any_case: bool = False


class NewSecrets(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a PATCH: values to add; one of the same name is replaced."""

    secrets: Annotated[
        list[NewSecret], msgspec.Meta(min_length=1, max_length=MAX_VALUES)
    ]


class SecretView(msgspec.Struct):
    """A known value, never the value itself."""

    name: str
    any_case: bool
    created_at: datetime


class Secrets(msgspec.Struct):
    """A tenant's known values, by name."""

    secrets: list[SecretView]


async def every(request: web.Request) -> web.Response:
    """The names of a tenant's known values, never the values. A tenant sees its own."""
    id = auth.named(request)
    return answer(await _of(request, id))


async def put(request: web.Request) -> web.Response:
    """Add known values, or replace those of the same names: all of them, or none. They take effect on every proxy at once."""
    state, id = request.app[STATE], auth.named(request)
    wanted = await body_of(
        request,
        NewSecrets,
        '{"secrets": [{"name": "billing-db", "value": "<the password>"}]}',
    )
    if len({one.name for one in wanted.secrets}) < len(wanted.secrets):
        raise ApiError(400, "same_name", "Nothing was added: a name stands twice.")
    refused = {one.name: why for one in wanted.secrets if (why := complaint(one.value))}
    if refused:
        message = "; ".join(f"{name} {why}" for name, why in refused.items())
        raise ApiError(400, "bad_secret", f"Nothing was added: {message}.")
    values = [
        New(
            one.name,
            state.vault.wrap(normalize("NFC", one.value.strip()).encode()),
            one.any_case,
        )
        for one in wanted.secrets
    ]
    try:
        there = await known_values.put(state.pool, id, values)
    except TooMany as error:
        raise ApiError(
            409, "too_many", f"Nothing was added. {error}", "Remove some first."
        ) from None
    if not there:
        raise NO_TENANT
    await state.tell_proxies()
    return answer(await _of(request, id))


async def delete(request: web.Request) -> web.Response:
    """Forget a known value, on every proxy at once."""
    state, id, name = (
        request.app[STATE],
        auth.named(request),
        request.match_info["name"],
    )
    if not await known_values.delete(state.pool, id, name):
        raise ApiError(
            404,
            "not_found",
            "That tenant has no known value of that name.",
            f"GET /v1/tenants/{id}/secrets lists them.",
        )
    await state.tell_proxies()
    return answer(Deleted(name))


async def _of(request: web.Request, id: str) -> Secrets:
    pool = request.app[STATE].pool
    if await tenants.one(pool, id) is None:
        raise NO_TENANT
    return Secrets(
        [
            SecretView(one.name, one.any_case, one.created)
            for one in await known_values.of_tenant(pool, id)
        ]
    )
