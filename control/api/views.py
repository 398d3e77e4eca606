"""`/v1/views`: searches of the audit that people keep under a name."""

import secrets
from typing import Annotated
from urllib.parse import parse_qsl

import msgspec
from aiohttp import web

from control import auth
from control.api.audit import EXCLUDED, FILTERS
from control.api.bodies import SHOWN, Deleted, body_of
from control.errors import ApiError, answer
from control.state import STATE
from control.store import views
from control.store.views import MOST, TooMany, View

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=100, pattern=rf"^{SHOWN}+\Z")]  # fmt: skip
Query = Annotated[str, msgspec.Meta(max_length=2000, pattern=r"^[!-~]*\Z")]
EXAMPLE = '{"name": "blocked today", "query": "status=BLOCK"}'
# What a search may have besides the API's filters: `range` is counted back from now.
OTHERS = ("range", *EXCLUDED)


class NewView(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a POST: a search, as the query of a URL. A view of the same name is replaced. `shared`: whoever sees the same
    tenants sees it, too.
    """

    name: Name
    query: Query
    shared: bool = False


class SavedView(msgspec.Struct):
    """A view. `own`: it is the caller's. `unknown`: parts of its search that do not exist any more."""

    id: str
    name: str
    query: str
    shared: bool
    own: bool
    unknown: list[str]


class Views(msgspec.Struct):
    """Views, by name."""

    views: list[SavedView]


async def every(request: web.Request) -> web.Response:
    """The caller's views, and those that others share."""
    pool, who = request.app[STATE].pool, await auth.caller(request)
    owner = await views.owner_of(pool, who)
    found = await views.seen_by(pool, owner, views.scope_of(who))
    return answer(Views([_shown(one, owner) for one in found]))


async def put(request: web.Request) -> web.Response:
    """Save a search under a name."""
    pool, who = request.app[STATE].pool, await auth.caller(request)
    wanted = await body_of(request, NewView, EXAMPLE)
    owner = await views.owner_of(pool, who)
    new = View(f"v-{secrets.token_hex(6)}", owner, wanted.name, wanted.query, wanted.shared)  # fmt: skip
    if unknown := _shown(new, owner).unknown:
        message = f"No search has {', '.join(unknown)}."
        raise ApiError(400, "bad_query", message, f"Send {EXAMPLE}.")
    try:
        made = await views.put(pool, new, views.scope_of(who))
    except TooMany:
        message = f"You have {MOST} views already."
        raise ApiError(409, "too_many_views", message, "Delete one first.") from None
    return answer(_shown(made, owner), 201)


async def delete(request: web.Request) -> web.Response:
    """Delete a view of one's own."""
    pool, who = request.app[STATE].pool, await auth.caller(request)
    id = auth.named(request)
    if not await views.delete(pool, id, await views.owner_of(pool, who)):
        message = "You have no such view."
        raise ApiError(404, "not_found", message, "GET /v1/views lists them.")
    return answer(Deleted(id))


def _shown(one: View, owner: str) -> SavedView:
    names = dict.fromkeys(name for name, _ in parse_qsl(one.query))
    unknown = [name[:50] for name in names if name not in (*FILTERS, *OTHERS)]
    return SavedView(one.id, one.name, one.query, one.shared, one.owner == owner, unknown)  # fmt: skip
