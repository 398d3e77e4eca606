"""Layers of rules: `/v1/rules/layers`, and each tenant's under `/v1/tenants/{id}/rules`. What is put is proven like a file."""

import asyncio
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated

import msgspec
from aiohttp import web

from control import auth
from control.api.bodies import SHOWN, body_of
from control.errors import AT_ONCE, NO_TENANT, OTHER_RULES, ApiError, answer
from control.rule_files import prove
from control.state import STATE, State
from control.store import admin_audit, layers, snapshots, tenants
from control.store.layers import Conflict, New, TooLarge, Version
from rules.complaint import BadRules
from rules.layers import Kind, kind_of, source_of

# Changes at the same time are tried again, each with a proof of its own.
TRIES = 3
MOST_COMPLAINTS = 20
NUMBER = re.compile(r"[0-9]{1,9}")
Reason = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=rf"^{SHOWN}*\Z")]  # fmt: skip
EXAMPLE = '{"text": "earthflow: 1\\nrules: …", "reason": "why"}'


class NewVersion(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a change: the `text` of a rule file, empty for a layer that says nothing; or the `version` to go back to.
    With `after` it is only done where that version is in force. With `dry_run` it is only proven.
    """

    reason: Reason
    text: str | None = None
    version: int | None = None
    after: int | None = None
    dry_run: bool = False


class VersionView(msgspec.Struct):
    """A version of a layer, without its text: by whom, by the id of a key, and why."""

    version: int
    reason: str
    actor: str
    at: datetime


class LayerView(msgspec.Struct):
    """A layer as of one version; `version` is 0 where there is none. `history` has all versions that are kept, the newest first."""

    layer: Kind
    tenant: str | None
    source: str
    version: int
    text: str
    history: list[VersionView]


class LayerSummary(msgspec.Struct):
    """The version of a layer that is in force; it has no `bytes` where it says nothing."""

    layer: Kind
    tenant: str | None
    version: int
    bytes: int
    reason: str
    actor: str
    at: datetime


class Layers(msgspec.Struct):
    """All layers, by the names of their sources."""

    layers: list[LayerSummary]


async def every(request: web.Request) -> web.Response:
    """All layers of rules, without their texts; those of tenants that the caller sees."""
    who = await auth.caller(request)
    seen = auth.tenants_of(who, request.query.get("tenant"))
    found = await layers.newest(request.app[STATE].pool, seen)
    return answer(Layers([_summary(one) for one in found]))


async def for_all(request: web.Request) -> web.Response:
    """The layer for all tenants, as it is or as of a `version`."""
    return await _show(request, "all")


async def for_tenant(request: web.Request) -> web.Response:
    """The operator's layer for a tenant, as it is or as of a `version`."""
    return await _show(request, "tenant")


async def own(request: web.Request) -> web.Response:
    """A tenant's own layer, as it is or as of a `version`."""
    return await _show(request, "own")


async def exceptions(request: web.Request) -> web.Response:
    """The exceptions that were made for a tenant from decisions, a rule file, as it is or as of a `version`."""
    return await _show(request, "exceptions")


async def put_for_all(request: web.Request) -> web.Response:
    """Change the rules of all tenants: proven and tested like files, then in force on every proxy at once."""
    return await _put(request, "all")


async def put_for_tenant(request: web.Request) -> web.Response:
    """Change what the operator says for one tenant, which comes after files and the layer for all."""
    return await _put(request, "tenant")


async def put_own(request: web.Request) -> web.Response:
    """Change a tenant's own rules, which only tighten: nothing gets through that would not without them."""
    return await _put(request, "own")


async def _show(request: web.Request, kind: Kind) -> web.Response:
    state, tenant = request.app[STATE], await _tenant_of(request, kind)
    return answer(await _view(state, kind, tenant, _number(request)))


async def _put(request: web.Request, kind: Kind) -> web.Response:
    state, tenant = request.app[STATE], await _tenant_of(request, kind)
    who = (await auth.caller(request)).key
    wanted = await body_of(request, NewVersion, EXAMPLE)
    name = source_of(kind, tenant)
    if (wanted.text is None) == (wanted.version is None):
        raise ApiError(400, "bad_request", "Give either `text` or `version`.", f"Send {EXAMPLE}.")  # fmt: skip
    text = wanted.text or ""
    if wanted.version is not None:
        text = (await kept_version(state, name, wanted.version)).text
    new = New(name, tenant or None, text.strip() and text, wanted.reason, wanted.after)
    with one_proof(state, who):
        await _prove_or_put(state, new, dry_run=wanted.dry_run)
    return answer(await _view(state, kind, tenant, None))


@contextmanager
def one_proof(state: State, key: str) -> Iterator[None]:
    """Of each caller, by the id of a key, one proof at a time: all wait for one another. Raises ApiError 429."""
    if key in state.provers:
        message = "A change of rules by this key is being proven."
        after = {"Retry-After": "1"}
        raise ApiError(429, "busy", message, "Wait for its answer.", after)
    state.provers.add(key)
    try:
        yield
    finally:
        state.provers.discard(key)


async def _prove_or_put(state: State, new: New, *, dry_run: bool) -> None:
    if dry_run:
        there = await layers.in_force(state.pool)
        await prove_new(state, new, there.sources)
        admin_audit.is_dry_run()
    else:
        await take_effect(state, new)


async def take_effect(state: State, new: New) -> None:
    """Prove a version with everything else that is in force, put it, unless something else changed meanwhile, and tell proxies.

    Raises ApiError.
    """
    for _ in range(TRIES):
        there = await layers.in_force(state.pool)
        served = (await snapshots.served(state.pool)).rules
        if served != state.rules_hash and state.noted:
            raise OTHER_RULES
        await prove_new(state, new, there.sources)
        try:
            if await layers.put(
                state.pool, new, there.change, state.rules_hash, served
            ):
                state.noted = True
                await state.tell_proxies()
                return
        except Conflict:
            message = (
                f"Version {new.after} is not in force any more; nothing was changed."
            )
            raise ApiError(409, "changed_meanwhile", message, "Read the layer again.") from None  # fmt: skip
        except TooLarge:
            message = f"All layers together may have {layers.MOST_BYTES:,} bytes."
            raise ApiError(409, "too_large", message, "Make some shorter.") from None
    raise AT_ONCE


def changed_meanwhile(version: int | None) -> ApiError:
    """The layer has another version than its author saw."""
    message = f"Version {version} is not in force any more; nothing was changed."
    return ApiError(409, "changed_meanwhile", message, "Read the layer again.")


async def prove_new(state: State, new: New, there: Mapping[str, str]) -> None:
    """Prove a version with all that is in force. Raises ApiError with the first complaints."""
    sources = {**state.rules, **there, new.layer: new.text}
    if not new.text:
        del sources[new.layer]
    try:
        async with state.proving:
            await asyncio.to_thread(prove, sources, new.layer)
    except BadRules as error:
        told = "\n".join(map(str, error.complaints[:MOST_COMPLAINTS]))
        hint = f"docs/rules.md, Layers, has what such a layer may say ({kind_of(new.layer)})."
        raise ApiError(400, "bad_rules", f"Nothing was changed:\n{told}", hint) from None  # fmt: skip


async def _tenant_of(request: web.Request, kind: Kind) -> str:
    """Whose layer it is; empty for the one for all. Raises ApiError 404 where there is no such tenant."""
    if kind == "all":
        return ""
    tenant = auth.named(request)
    if await tenants.one(request.app[STATE].pool, tenant) is None:
        raise NO_TENANT
    return tenant


def _number(request: web.Request) -> int | None:
    """The version that the query names."""
    wanted = request.query.get("version")
    if wanted is None:
        return None
    if not NUMBER.fullmatch(wanted):
        raise ApiError(400, "bad_request", "`version` is a whole number.")
    return int(wanted)


async def kept_version(state: State, name: str, version: int) -> Version:
    """A version. Raises ApiError 404 where it is not kept."""
    found = await layers.one(state.pool, name, version)
    if found is None:
        kept = await layers.versions(state.pool, name)
        known = f"Versions {kept[-1].version} to {kept[0].version} are kept." if kept else "There is none yet."  # fmt: skip
        raise ApiError(404, "not_found", f"There is no version {version}.", known)
    return found


async def _view(
    state: State, kind: Kind, tenant: str, version: int | None
) -> LayerView:
    """A layer as of a version, or as it is."""
    name = source_of(kind, tenant)
    kept = await layers.versions(state.pool, name)
    chosen = (
        await layers.one(state.pool, name)
        if version is None
        else await kept_version(state, name, version)
    )
    return LayerView(
        kind,
        tenant or None,
        name,
        chosen.version if chosen is not None else 0,
        chosen.text if chosen is not None else "",
        [VersionView(one.version, one.reason, one.actor, one.at) for one in kept],
    )


def _summary(one: Version) -> LayerSummary:
    return LayerSummary(
        kind_of(one.layer),
        one.tenant,
        one.version,
        len(one.text.encode()),
        one.reason,
        one.actor,
        one.at,
    )
