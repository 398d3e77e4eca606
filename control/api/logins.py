"""`earthflow login`: a command gets a key while its person signs in at a browser (the device flow of RFC 8628). For anybody who asks."""

import secrets
from collections.abc import Sequence
from datetime import datetime

import msgspec
from aiohttp import web

from contract.keys import Role
from control import auth, sessions
from control.addresses import address_of
from control.api.bodies import body_of
from control.api.pages import page
from control.api.sign_ins import let_in, provider_of, send
from control.errors import ApiError, answer
from control.sign_in import attempt
from control.sign_in.attempt import USER_CODE, Attempt, new_user_code
from control.state import STATE
from control.store import sign_ins
from control.store.sign_ins import PATIENCE

INTERVAL = 2  # seconds between two polls
FOREIGN = "This came from another page. Open the address that the command shows."
TITLE, COMMAND = "Sign in for a command", "<code>earthflow login</code>"
WAITS = ApiError(400, "login_waits", "Nobody has signed in for this login yet.")
ENDED = ApiError(
    404,
    "login_ended",
    "This login waits no more: nobody signed in for it in time, or whoever did has no entry.",
    "Log in again.",
)


class Login(msgspec.Struct):
    """A login that waits. `code` is the command's own; its person gives `user_code` at `url`. Both work for `expires_in` seconds."""

    code: str
    user_code: str
    url: str
    expires_in: int
    interval: int


class Poll(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a poll: the code that the login began with."""

    code: str


class LoggedIn(msgspec.Struct, kw_only=True):
    """The key of somebody who signed in. `tenants`: those that it is bound to; null: none."""

    id: str
    role: Role
    tenants: Sequence[str] | None
    name: str
    not_after: datetime | None
    api_key: str


async def begin(request: web.Request) -> web.Response:
    """Let a command wait for somebody to sign in."""
    state = request.app[STATE]
    provider_of(state)
    auth.count_login(request, address_of(request))
    code, user_code = secrets.token_urlsafe(32), new_user_code()
    await sign_ins.wait(state.pool, code, user_code, address_of(request))
    url = f"{state.settings.public_url}/sign-in/command"
    lasts = int(PATIENCE.total_seconds())
    return answer(Login(code, user_code, url, lasts, INTERVAL), 201)


async def poll(request: web.Request) -> web.Response:
    """The key, once somebody signed in; until then the error `login_waits`."""
    state = request.app[STATE]
    provider_of(state)
    wanted = await body_of(request, Poll, '{"code": "…"}')
    found = await sign_ins.poll(state.pool, wanted.code)
    if found is None:
        auth.count_sign_in(request, address_of(request))
        raise ENDED
    if found.too_often:
        message = "This login was asked for a moment ago."
        wait = {"Retry-After": str(INTERVAL)}
        raise ApiError(429, "login_too_often", message, headers=wait)
    if found.granted is None:
        raise WAITS
    grant = attempt.opened(found.granted, state.vault)
    key, text = await let_in(request, grant, found.address, "command")
    if key is None:
        raise ENDED
    return answer(
        LoggedIn(
            id=key.id,
            role=key.role,
            tenants=key.bound_to,
            name=key.name,
            not_after=key.not_after,
            api_key=text,
        )
    )


async def ask(request: web.Request) -> web.Response:
    """A page for the code that a command shows. It is typed, and in no link: whoever sends a link may be the one that waits."""
    provider_of(request.app[STATE])
    told = f"Give the code that {COMMAND} shows, if you started it yourself."
    form = (
        "<form method=post><input name=code required autocomplete=off aria-label=Code> "
        "<button>Sign in for it</button></form>"
    )
    return page(TITLE, told, below=form)


async def confirm(request: web.Request) -> web.StreamResponse:
    """Somebody gives the code of a command, and signs in for it."""
    state = request.app[STATE]
    provider_of(state)
    code = (await _form(request)).get("code", "").strip().upper()
    if not sessions.is_own_page(request):
        return page(TITLE, FOREIGN, 403)
    if not USER_CODE.fullmatch(code) or not await sign_ins.waits(state.pool, code):
        auth.count_sign_in(request, address_of(request))
        told = f"No command waits with this code. Start {COMMAND} again."
        return page(TITLE, told, 404)
    return await send(request, Attempt.new("", code))


async def grant(request: web.Request) -> web.Response:
    """Whoever signed in for a command gives it its key."""
    state = request.app[STATE]
    provider_of(state)
    wrapped = (await _form(request)).get("offer", "")
    if not sessions.is_own_page(request):
        return page(TITLE, FOREIGN, 403)
    offer = attempt.offer_of(wrapped, state.vault)
    given = state.vault.wrap(msgspec.json.encode(offer.grant)) if offer else ""
    if offer is None or not await sign_ins.grant(state.pool, offer.user_code, given):
        return page("The command waits no more", f"Start {COMMAND} again.", 404)
    return page("The command has its key", "You can close this page.")


async def _form(request: web.Request) -> dict[str, str]:
    """The fields of a form; none where it is none."""
    try:
        form = await request.post()
    except (LookupError, ValueError):  # a charset or a boundary that is none
        return {}
    return {name: value for name, value in form.items() if isinstance(value, str)}
