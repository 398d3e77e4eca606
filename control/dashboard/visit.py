"""A visit: somebody who signed in looks at a page, with what the page may ask and show."""

import asyncio
import hmac
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, NamedTuple

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

from control import sessions
from control.auth import ID, owner_of
from control.dashboard import render
from control.dashboard.calls import Api, Query, Refused, blank_of
from control.dashboard.languages import Language, language_of
from control.errors import CALLER, REQUEST_ID
from control.permissions import Caller
from control.sessions import Session
from control.state import STATE, State

MOST_FIELDS, LONGEST_FIELD = 200, 600_000  # of a form; a layer of rules is the longest


class Place(NamedTuple):
    """An entry of the menu: its path, its name, and the permission that its page needs."""

    path: str
    name: str
    needs: str


class Visit:
    """One request to a page. `fields`: of its form, when it has one; `only`: the part of the page that the browser asks for anew."""

    def __init__(self, request: web.Request, session: Session, who: Caller):
        self.request, self.session, self.who = request, session, who
        request[CALLER] = owner_of(who) or who.role
        self.state: State = request.app[STATE]
        self.api = Api(request, who)
        self.language: Language = language_of(request)
        self.only = request.headers.get("X-Part", "")
        self.fields: dict[str, str] = {}

    @property
    def query(self) -> dict[str, str]:
        """What the address asks for: the first of each, without empty ones, as forms send them."""
        return {name: value for name, value in reversed(list(self.request.query.items())) if value}  # fmt: skip

    def some(self, *names: str) -> dict[str, str]:
        """Those of the address's parts that it has."""
        query = self.query
        return {name: query[name] for name in names if name in query}

    def named(self, part: str = "id") -> str:
        """A part of the path. Raises Refused for what cannot be an id, and could be another path."""
        return id_of(self.request.match_info[part])

    def may(self, permission: str) -> bool:
        """Whether whoever looks has a permission."""
        return self.who.may(permission)

    async def read_form(self) -> None:
        """Take the fields of the form, the last of each name. Raises Refused for a form that is not of this session's pages."""
        self.fields = await form_of(self.request)
        given = self.fields.pop("form_token", "").encode("utf-8", "surrogateescape")
        token = sessions.form_token(self.state, self.session).encode()
        if not sessions.is_own_page(self.request) or not hmac.compare_digest(given, token):  # fmt: skip
            raise Refused(
                403, "foreign_form", "This form is not of your session.", "Open the page again, and send it from there."
            )  # fmt: skip

    async def both(self, *calls: Awaitable[Any]) -> list[Any]:
        """What several calls answer, asked at once. One that is refused gives its Refused."""
        told = await asyncio.gather(*calls, return_exceptions=True)
        for one in told:
            if isinstance(one, BaseException) and not isinstance(one, Refused):
                raise one
        return list(told)

    async def ask(self, permission: str, path: str, query: Query | None = None) -> Any:
        """What the API answers; None where whoever looks may not ask, or nothing answers now."""
        if not self.may(permission):
            return None
        try:
            return await self.api.get(path, query)
        except Refused as refused:
            if refused.status in (403, 404, 503):
                return None
            raise

    def page(self, template: str, status: int = 200, **values: Any) -> web.Response:
        """A page of the dashboard."""
        text = render.html(template, self.language, self._of_every_page() | values)
        response = render.page(text, status, sign_out_origin(self.state))
        sessions.keep_seen(self.request, response)
        return response

    def to(self, path: str, query: Mapping[str, str] | None = None) -> web.Response:
        """Send the browser to another page of ours."""
        where = str(URL.build(path=path, query=dict(query or {})))
        return web.Response(status=303, headers={**render.HEADERS, "Location": where})

    def link(self, **changes: str | None) -> str:
        """This page's address with some of its query changed; None takes a part away."""
        query = {**self.query, **changes}
        kept = {name: value for name, value in query.items() if value}
        return str(URL.build(path=self.request.path, query=kept))

    @property
    def back(self) -> str:
        """An address that shows this page again: of a form's answer, the page that the form was on."""
        if self.request.method == "GET":
            return self.request.path_qs
        here, came = sessions.origin_of(self.request), self.request.headers.get("Referer", "")  # fmt: skip
        return came.removeprefix(here) if came.startswith(f"{here}/") else "/"

    def _of_every_page(self) -> dict[str, Any]:
        return {
            "visit": self,
            "menu": menu(self.who),
            "form_token": sessions.form_token(self.state, self.session),
            "once": self.request[REQUEST_ID],
            "here": self.request.path,
            "link": self.link,
            "query": self.query,
            "done": self.query.get("done", ""),
        }


# What each role finds in the menu, in its order.
MENU: Sequence[Place] = (
    Place("/", "Now", "audit.read"),
    Place("/decisions", "Decisions", "audit.read"),
    Place("/rules", "Rules", "rules.read"),
    Place("/tenants", "Tenants and keys", "tenants.read"),
    Place("/audit", "Audit", "audit.admin"),
    Place("/delivery", "Delivery", "webhooks.read"),
    Place("/system", "System", "fleet.read"),
    Place("/clients", "Clients", "tenants.read"),
)


def menu(who: Caller) -> list[Place]:
    """The places that somebody may look at."""
    return [one for one in MENU if who.may(one.needs)]


def id_of(text: str) -> str:
    """An id, to be a part of a path. Raises Refused for what cannot be one."""
    if not ID.fullmatch(text):
        raise Refused(404, "not_found", "Nothing has that name.")
    return text


async def form_of(request: web.Request) -> dict[str, str]:
    """The fields of a form, the last of each name; none where it is none."""
    blank_of(request)
    if request.content_type != "application/x-www-form-urlencoded":
        return {}
    try:
        form = await request.post()
    except (LookupError, ValueError, RuntimeError, web.RequestPayloadError, HttpProcessingError):  # fmt: skip
        return {}  # a charset or an encoding that is none
    fields = {name: value for name, value in form.items() if isinstance(value, str)}
    few = list(fields.items())[:MOST_FIELDS]
    return {name: value[:LONGEST_FIELD] for name, value in few}


def sign_out_origin(state: State) -> str:
    """Where a form may lead besides our own pages: the provider's page to sign out."""
    return state.provider.sign_out_origin if state.provider is not None else ""
