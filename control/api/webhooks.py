"""Webhooks: `/v1/tenants/{id}/webhooks`, and `/v1/webhooks/{id}` with its deliveries, its test, its replay and its secret."""

import os
import secrets
import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal

import msgspec
from aiohttp import web
from msgspec.structs import asdict

from control import auth
from control.administered import READS
from control.api.bodies import Deleted, body_of
from control.api.paging import after_of, limit_of
from control.errors import NO_TENANT, ApiError, answer
from control.sender import complaint, shown
from control.state import STATE
from control.store import deliveries as queue
from control.store import tenants, webhooks
from control.store.deliveries import Delivery
from control.store.webhooks import StillTwo, Webhook

Status = Literal["ALLOW", "FLAG", "REDACT", "BLOCK"]
Statuses = Annotated[list[Status], msgspec.Meta(min_length=1, max_length=4)]


class NewWebhook(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a POST: a URL, and the statuses of the decisions to send."""

    url: str
    statuses: Statuses = msgspec.field(default_factory=lambda: ["BLOCK"])


class WebhookChanges(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a PATCH: a missing field stays. A disabled webhook is tried again."""

    url: str | None = None
    statuses: Statuses | None = None


class Replay(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a replay: one delivery, or all that were given up."""

    delivery: str | None = None


class SecretChange(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a change of the secret, which may be left out. `end_old`: the old one signs no more, as where it is known to others."""

    end_old: bool = False


class WebhookView(msgspec.Struct, kw_only=True):
    """A webhook. `secret`, in a verifier's form, is there only in the answer that made
    it.
    """

    id: str
    tenant: str
    url: str
    statuses: Sequence[str]
    created_at: datetime
    state: Literal["working", "failing", "disabled"]
    disabled: str | None
    failures: int
    tried_again_at: datetime | None
    secret: str | msgspec.UnsetType = msgspec.UNSET


class Webhooks(msgspec.Struct):
    """A tenant's webhooks, oldest first."""

    webhooks: list[WebhookView]


class WebhookLoad(WebhookView, kw_only=True):
    """A webhook, with how many deliveries wait for it, and how many were given up."""

    waiting: int
    dead: int


class WebhookLoads(msgspec.Struct):
    """Webhooks of all tenants that the caller sees, by id. `next` is what to ask for as `after`, if there may be more."""

    webhooks: list[WebhookLoad]
    next: str | None


class DeliveryView(msgspec.Struct, kw_only=True):
    """A delivery: how many decisions it has, how often it was tried, and the result of
    the last attempt.
    """

    id: str
    state: Literal["waiting", "delivered", "dead"]
    events: int
    attempts: int
    status: int | None
    error: str | None
    took_ms: int | None
    created_at: datetime
    due_at: datetime | None
    ended_at: datetime | None


class Deliveries(msgspec.Struct):
    """A page of deliveries, newest first."""

    deliveries: list[DeliveryView]
    next: str | None


class Tried(msgspec.Struct):
    """The result of a test."""

    delivery: str
    delivered: bool
    status: int | None
    error: str | None
    took_ms: int


class Replayed(msgspec.Struct):
    """How many deliveries are sent again."""

    replayed: int


class NewSecret(msgspec.Struct):
    """A webhook's new secret."""

    id: str
    secret: str


async def every(request: web.Request) -> web.Response:
    """The webhooks of all tenants that the caller sees, with what waits for each."""
    seen = auth.tenants_of(await auth.caller(request), None)
    limit, after = limit_of(request), after_of(request)
    found = await webhooks.every(request.app[STATE].pool, seen, after, limit)
    shown = [
        WebhookLoad(**asdict(_shown(one.webhook)), waiting=one.waiting, dead=one.dead)
        for one in found
    ]
    following = shown[-1].id if len(shown) == limit else None
    return answer(WebhookLoads(shown, following))


async def of_tenant(request: web.Request) -> web.Response:
    """A tenant's webhooks, without their secrets. A tenant sees its own."""
    id, pool = auth.named(request), request.app[STATE].pool
    if await tenants.one(pool, id) is None:
        raise NO_TENANT
    found = await webhooks.of_tenant(pool, id)
    return answer(Webhooks([_shown(one) for one in found]))


async def create(request: web.Request) -> web.Response:
    """Add a webhook. Its secret is shown here and never again."""
    state = request.app[STATE]
    wanted = await body_of(
        request,
        NewWebhook,
        '{"url": "https://hooks.example.com/earthflow", "statuses": ["BLOCK"]}',
    )
    values, secret = await new_values(request, wanted.url, wanted.statuses)
    made = await webhooks.create(state.pool, auth.named(request), values)
    if made is None:
        raise NO_TENANT
    return answer(_shown(made, secret), 201)


def new_id() -> str:
    """The id of a new webhook."""
    return f"wh-{secrets.token_hex(6)}"


async def new_values(
    request: web.Request, url: str, statuses: list[Status]
) -> tuple[dict[str, object], str]:
    """A new webhook as it is stored, and its secret as it is shown.

    Raises ApiError for an invalid URL.
    """
    secret = os.urandom(32)
    values = {
        "id": new_id(),
        "url": await url_of(request, url),
        "statuses": list(dict.fromkeys(statuses)),
    }
    return {**values, "secret": request.app[STATE].vault.wrap(secret)}, shown(secret)


async def url_of(request: web.Request, url: str) -> str:
    """The URL. Raises ApiError where a webhook cannot have it."""
    problem = complaint(url) or await request.app[STATE].sender.denied(url)
    if problem:
        raise ApiError(
            400,
            "bad_url",
            f"That URL cannot be a webhook's: {problem}.",
            "Write it like https://hooks.example.com/earthflow.",
        )
    return url


async def show(request: web.Request) -> web.Response:
    """A webhook. A tenant sees its own."""
    return answer(_shown(await _own(request)))


async def change(request: web.Request) -> web.Response:
    """Change a webhook, or have a disabled one tried again."""
    wanted = await body_of(request, WebhookChanges, '{"statuses": ["BLOCK", "REDACT"]}')
    id, pool = (await _own(request)).id, request.app[STATE].pool
    url = await url_of(request, wanted.url) if wanted.url is not None else None
    changed = await webhooks.change(pool, id, url, wanted.statuses)
    return answer(_shown(_there(changed)))


async def delete(request: web.Request) -> web.Response:
    """Delete a webhook, its waiting deliveries and its log."""
    webhook = await _own(request)
    if not await webhooks.delete(request.app[STATE].pool, webhook.id):
        _there(None)
    return answer(Deleted(webhook.id))


async def deliveries(request: web.Request) -> web.Response:
    """The deliveries of a webhook with their results, newest first; `next` is the
    `cursor` of the following page.
    """
    webhook, limit = await _own(request), limit_of(request)
    found = await queue.log(
        request.app[STATE].pool,
        webhook.id,
        limit,
        _uuid(request.query.get("cursor"), "cursor"),
    )
    return answer(
        Deliveries(
            [_delivery(one) for one in found],
            found[-1].id if len(found) == limit else None,
        )
    )


async def test(request: web.Request) -> web.Response:
    """Send a message of type `test` now, and give its result."""
    state, webhook = request.app[STATE], await _own(request)
    id = await queue.add_test(state.pool, webhook.id)
    due = await queue.this(state.pool, id) if id else None
    if due is None:
        raise _nothing()
    got = await state.sender.send(
        due.url,
        due.id,
        due.body,
        [state.vault.open(wrapped) for wrapped in due.secrets],
    )
    if got.taken and got.status is not None:
        await queue.delivered(state.pool, due, got.status, got.took_ms)
    else:
        await queue.given_up(state.pool, due, *got)
    return answer(Tried(due.id, got.taken, got.status, got.error or None, got.took_ms))


async def replay(request: web.Request) -> web.Response:
    """Send again: one delivery, or all that were given up."""
    wanted = await body_of(
        request, Replay, '{"delivery": "<id>"}, or {} for all that were given up'
    )
    webhook = await _own(request)
    count = await queue.replay(
        request.app[STATE].pool, webhook.id, _uuid(wanted.delivery, "delivery")
    )
    if wanted.delivery is not None and not count:
        raise ApiError(
            404,
            "not_found",
            "That webhook has no such delivery of decisions.",
            "GET its deliveries to see them.",
        )
    return answer(Replayed(count))


async def new_secret(request: web.Request) -> web.Response:
    """Make a new secret.

    It is shown here and never again; the old one also signs for a day, or ends now with `end_old`.
    """
    state, secret = request.app[STATE], os.urandom(32)
    id, wrapped = (await _own(request)).id, state.vault.wrap(secret)
    wanted = await body_of(
        request, SecretChange, '{"end_old": true}, or {}', empty=True
    )
    try:
        there = await webhooks.new_secret(
            state.pool, id, wrapped, end_old=wanted.end_old
        )
    except StillTwo:
        raise ApiError(
            409,
            "two_secrets",
            "The secret was changed less than a day ago, and the one before it still signs.",
            'Wait until the receiver has the new one, or send {"end_old": true}: then only the newest signs.',
        ) from None
    if not there:
        raise _nothing()
    return answer(NewSecret(id, shown(secret)))


async def _own(request: web.Request) -> Webhook:
    """The webhook in the path. Raises ApiError 404 where it is not one of the caller's tenants, or is to be
    changed and its tenant ended.
    """
    who, pool = await auth.caller(request), request.app[STATE].pool
    webhook = await webhooks.one(pool, auth.named(request))
    if webhook is None or not who.sees(webhook.tenant):
        raise _nothing()
    if request.method not in READS and await tenants.one(pool, webhook.tenant) is None:
        raise _nothing()
    return webhook


def _there(webhook: Webhook | None) -> Webhook:
    if webhook is None:
        raise _nothing()
    return webhook


def _nothing() -> ApiError:
    return ApiError(
        404,
        "not_found",
        "There is no such webhook.",
        "GET /v1/tenants/{id}/webhooks lists a tenant's.",
    )


def _uuid(text: str | None, name: str) -> str | None:
    try:
        return str(uuid.UUID(text)) if text is not None else None
    except ValueError:
        raise ApiError(
            400, f"bad_{name}", f"That {name} is no id of a delivery."
        ) from None


def _shown(
    one: Webhook, secret: str | msgspec.UnsetType = msgspec.UNSET
) -> WebhookView:
    return WebhookView(
        id=one.id,
        tenant=one.tenant,
        url=one.url,
        statuses=one.statuses,
        created_at=one.created,
        state="disabled" if one.disabled else "failing" if one.failures else "working",
        disabled=one.disabled,
        failures=one.failures,
        tried_again_at=one.not_before if one.failures and not one.disabled else None,
        secret=secret,
    )


def _delivery(one: Delivery) -> DeliveryView:
    return DeliveryView(
        id=one.id,
        state=one.state,
        events=one.events,
        attempts=one.attempts,
        status=one.status,
        error=one.error,
        took_ms=one.took_ms,
        created_at=one.created,
        due_at=one.due if one.state == "waiting" else None,
        ended_at=one.ended,
    )
