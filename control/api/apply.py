"""`/v1/tenants:apply`: brings tenants to what a file says of them."""

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec
from aiohttp import web

from contract import keys
from control.api import webhooks
from control.api.bodies import body_of
from control.api.keys import Name as KeyName
from control.api.tenants import MOST_AT_ONCE, Changes, Id, columns_of
from control.api.webhooks import Statuses
from control.errors import ApiError, answer
from control.sender import shown
from control.state import STATE, State
from control.store import apply as store
from control.store.admin_audit import is_dry_run
from control.store.apply import Action, Hook, KeyEnded, Line, MadeMeanwhile, NeedsName
from control.store.keys import Minted
from control.store.tenants import TenantExists

MOST_KEYS, MOST_HOOKS = 100, 20  # of one tenant in a file


class WantedHook(msgspec.Struct, forbid_unknown_fields=True):
    """A webhook that is wanted."""

    url: str
    statuses: Statuses = msgspec.field(default_factory=lambda: ["BLOCK"])


class WantedTenant(
    Changes, forbid_unknown_fields=True, omit_defaults=True, kw_only=True
):
    """What is wanted of a tenant; a missing field stays as it is, or gets its default. `keys` are names, or ids of keys that are there."""

    id: Id
    keys: (
        Annotated[list[KeyName], msgspec.Meta(max_length=MOST_KEYS)] | msgspec.UnsetType
    ) = msgspec.UNSET
    webhooks: (
        Annotated[list[WantedHook], msgspec.Meta(max_length=MOST_HOOKS)]
        | msgspec.UnsetType
    ) = msgspec.UNSET


class Wanted(msgspec.Struct, forbid_unknown_fields=True):
    """The body. `prune`: webhooks that a tenant's `webhooks` do not name are removed. `dry_run`: only say what would be changed."""

    tenants: Annotated[
        list[WantedTenant], msgspec.Meta(min_length=1, max_length=MOST_AT_ONCE)
    ]
    prune: bool = False
    dry_run: bool = False


class NewKey(msgspec.Struct):
    """A key that was made; `api_key` is shown here and never again."""

    id: str
    name: str
    api_key: str


class NewHook(msgspec.Struct):
    """A webhook that was made; its secret is shown here and never again."""

    id: str
    url: str
    secret: str


class AppliedView(msgspec.Struct, kw_only=True):
    """What became of a tenant. `before` and `after` have what was changed."""

    id: str
    action: Action
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    new_keys: list[NewKey] = []
    new_webhooks: list[NewHook] = []


class AppliedAll(msgspec.Struct):
    """What was done, or would be."""

    dry_run: bool
    tenants: list[AppliedView]


class _Maker:
    """Makes secrets, and remembers them for the answer."""

    def __init__(self, state: State):
        self._state = state
        self.keys: dict[str, NewKey] = {}
        self.hooks: dict[str, NewHook] = {}

    def prompt_key(self) -> str:
        return self._state.vault.new_secret()

    def key(self, name: str) -> Minted:
        key = keys.mint()
        minted = Minted(key.id, keys.digest(self._state.keyring.pepper, key.secret))
        self.keys[key.id] = NewKey(key.id, name, key.text)
        return minted

    def hook(self, hook: Hook) -> Mapping[str, Any]:
        secret, id = secrets.token_bytes(32), webhooks.new_id()
        self.hooks[id] = NewHook(id, hook.url, shown(secret))
        return {
            "id": id,
            "url": hook.url,
            "statuses": list(dict.fromkeys(hook.statuses)),
            "secret": self._state.vault.wrap(secret),
        }


async def apply(request: web.Request) -> web.Response:
    """Create and change tenants, keys and webhooks as a file has them: all of the request, or nothing. What it does not name stays."""
    state = request.app[STATE]
    wanted = await body_of(request, Wanted, '{"tenants": [{"id": "acme", "name": "Acme"}]}')  # fmt: skip
    lines = await _lines(request, wanted.tenants)
    ids = [line.id for line in lines]
    if len(set(ids)) < len(ids):
        raise ApiError(400, "same_id", "Nothing was changed: an id stands twice.")
    make = _Maker(state)
    if wanted.dry_run:
        is_dry_run()
    how = {"prune": wanted.prune, "dry_run": wanted.dry_run}
    try:
        try:
            done = await store.apply(state.pool, lines, make, **how)
        except MadeMeanwhile:  # by another admin: now it is there, and is changed
            done = await store.apply(state.pool, lines, make, **how)
    except TenantExists as error:
        message = f"Nothing was changed: the tenant {error} has ended, and its audit is kept under that id."
        raise ApiError(409, "tenant_exists", message, "Choose another id.") from None
    except KeyEnded as error:
        message = f"Nothing was changed: {error} is the id of a key that has ended, or is another tenant's."
        raise ApiError(409, "key_ended", message, "Give the key a name.") from None
    except NeedsName as error:
        message = f"Nothing was changed: the tenant {error} is not there, and has no name here."
        raise ApiError(400, "bad_request", message, f'Give {error} a "name".') from None
    if not wanted.dry_run:
        await state.wake_soon()
    return answer(
        AppliedAll(
            wanted.dry_run,
            [_shown(one, make, secret=not wanted.dry_run) for one in done],
        )
    )


def _shown(one: store.Applied, make: _Maker, *, secret: bool) -> AppliedView:
    return AppliedView(
        id=one.id,
        action=one.action,
        before=one.before,
        after=one.after,
        new_keys=[make.keys[id] for id in one.keys] if secret else [],
        new_webhooks=[make.hooks[id] for id in one.hooks] if secret else [],
    )


async def _lines(request: web.Request, wanted: Sequence[WantedTenant]) -> list[Line]:
    """What is wanted, by column. Raises ApiError for a URL that no webhook can have; one that is there already may stay."""
    lines = [_line(one) for one in wanted]
    hooks = [(line.id, hook.url) for line in lines for hook in line.hooks or ()]
    known = await store.hooks_of(request.app[STATE].pool, [line.id for line in lines])
    new = dict.fromkeys(url for id, url in hooks if (id, url) not in known)
    await asyncio.gather(*(webhooks.url_of(request, url) for url in new))
    return lines


def _line(one: WantedTenant) -> Line:
    values = columns_of(one)
    for name in ("id", "keys", "webhooks", "webhook"):
        values.pop(name, None)
    hooks: list[Hook] | None = None
    named = one.webhooks is not msgspec.UNSET
    if one.webhooks is not msgspec.UNSET:
        hooks = [Hook(hook.url, hook.statuses) for hook in one.webhooks]
        if len({hook.url for hook in hooks}) < len(hooks):
            message = f"Nothing was changed: {one.id} has a webhook's URL twice."
            raise ApiError(400, "same_url", message, "Give it once, with all statuses.")
    elif isinstance(one.webhook, str):  # as an export of tenants has the first one
        hooks = [Hook(one.webhook, ["BLOCK"])]
    names = None if one.keys is msgspec.UNSET else one.keys
    return Line(one.id, values, names, hooks, named)
