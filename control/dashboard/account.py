"""Signing in by a key, and out; and what becomes of a form whose sender was signed out in the middle of it."""

import time

import msgspec
from aiohttp import web
from yarl import URL

from contract.unwrap import WrongMasterKey
from control import auth, sessions
from control.addresses import address_of
from control.api import sign_ins
from control.dashboard import render
from control.dashboard.languages import COOKIE, LANGUAGES, language_of
from control.dashboard.visit import Visit, form_of, sign_out_origin
from control.errors import REQUEST_ID, ApiError
from control.permissions import Caller
from control.sessions import ENVIRONMENT, Session
from control.sign_in.attempt import local
from control.state import STATE
from control.store import admin_audit
from control.store import sign_ins as store
from control.store.admin_audit import DONE, Act

SEALED = "draft"
KEPT = 3600.0  # seconds for which a form waits for its sender to sign in again
YEAR = 365 * 24 * 3600
NEVER_KEPT = ("form_token", "key")


class Draft(msgspec.Struct, frozen=True, tag="draft"):
    """A form that was sent by nobody who is signed in: where to, and its fields; `key` of whoever was signed in before."""

    path: str
    fields: dict[str, str]
    key: str
    made: float


async def show_sign_in(request: web.Request) -> web.Response:
    """The page to sign in."""
    then = local(request.query.get("then", ""))
    if await sessions.of(request) is not None:
        return web.Response(status=303, headers={**render.HEADERS, "Location": then})
    return _sign_in(request, then=then)


async def sign_in(request: web.Request) -> web.Response:
    """Somebody signs in by a key."""
    fields = await form_of(request)
    then, draft = local(fields.get("then", "")), fields.get("draft", "")
    if not sessions.is_fit(request) or not sessions.is_own_page(request):
        return _sign_in(request, 403, then, "The form came from elsewhere.")
    key = fields.get("key", "").strip()
    try:
        who = await auth.known(request, key)
        if who is None:
            await auth.count_guess(request)
            return _sign_in(request, 401, then, "This key is not valid here.", draft)
        if not opens_pages(who):
            await _note(request, who, "no_page")
            return _sign_in(request, 403, then, "This key opens no page.", draft)
        session = await _begin(request, who, key)
    except ApiError as refusal:
        return _sign_in(request, refusal.status, then, refusal.message, draft)
    if draft:
        response = await _again(request, session, who, draft)
    else:
        response = web.Response(status=303, headers={**render.HEADERS, "Location": then})  # fmt: skip
    sessions.keep(request, response, session)
    return response


def opens_pages(who: Caller) -> bool:
    """Whether there is a page for this role."""
    return who.may("audit.read")


async def _begin(request: web.Request, who: Caller, key: str) -> Session:
    """A new session, with its entry; the one that this browser had is over."""
    state = request.app[STATE]
    before = await sessions.of(request)
    proof = sessions.proof_of(state, key) if who.key == ENVIRONMENT else ""
    session = sessions.new(who.key, proof)
    await _note(request, who, DONE)
    if before is not None:
        await sign_ins.end_session(request, *before, "signed in again")
    return session


async def _note(request: web.Request, who: Caller, outcome: str) -> None:
    """An entry of a sign-in by a key."""
    act = Act("sign_ins.begin", who.key, request[REQUEST_ID], who.key, who.role)
    act.address, act.tenant = address_of(request), auth.owner_of(who)
    await admin_audit.note(request.app[STATE].pool, act, outcome, {"by": "key"})


def _sign_in(
    request: web.Request,
    status: int = 200,
    then: str = "/",
    problem: str = "",
    draft: str = "",
) -> web.Response:
    state = request.app[STATE]
    values = {
        "then": then,
        "problem": problem,
        "draft": draft,
        "provider": state.provider is not None,
        "fit": sessions.is_fit(request),
        "here": request.path,
    }
    text = render.html("sign_in.html", language_of(request), values)
    return render.page(text, status, sign_out_origin(state))


async def interrupted(request: web.Request) -> web.Response:
    """A form came from somebody who is not signed in any more: they sign in, and find it as they left it."""
    state = request.app[STATE]
    if not sessions.is_own_page(request):
        return _sign_in(request, 403, problem="The form came from elsewhere.")
    cookie = request.cookies.get(sessions.cookie_name(request))
    before = sessions.opened(state, cookie)
    fields = await form_of(request)
    kept = {name: text for name, text in fields.items() if name not in NEVER_KEPT}
    draft = Draft(request.path, kept, before.key if before else "", time.time())
    sealed = state.vault.seal(SEALED, msgspec.json.encode(draft))
    return _sign_in(request, 401, "/", "", sealed)


async def resume(request: web.Request) -> web.Response:
    """Somebody who signed in elsewhere meanwhile comes back to their form, from the page that still says that nobody is signed in."""
    fields = await form_of(request)
    found = await sessions.of(request) if sessions.is_own_page(request) else None
    if found is None:
        return _sign_in(request, 401, "/", "", fields.get("draft", ""))
    return await _again(request, *found, fields.get("draft", ""))


async def _again(
    request: web.Request, session: Session, who: Caller, sealed: str
) -> web.Response:
    """The form once more, to be sent by a session that works. It is shown to nobody else than its sender."""
    draft, state = _draft_of(request, sealed), request.app[STATE]
    same = draft is not None and draft.key in ("", who.key)
    if draft is not None and not same:
        same = await store.same_person(state.pool, draft.key, who.key)
    visit = Visit(request, session, who)
    if draft is None or not same:
        message = "It waited too long, or was somebody else's."
        return visit.page("notice.html", 410, title="The form is gone", message=message, hint="")  # fmt: skip
    return visit.page("again.html", path=draft.path, fields=draft.fields)


def _draft_of(request: web.Request, sealed: str) -> Draft | None:
    try:
        opened = request.app[STATE].vault.unseal(SEALED, sealed)
        read = msgspec.json.decode(opened, type=Draft)
    except (WrongMasterKey, msgspec.MsgspecError, ValueError):
        return None
    return read if time.time() - read.made < KEPT else None


async def show(visit: Visit) -> web.Response:
    """Who is signed in at this browser, and the way out."""
    known = visit.state.keyring.of_id(visit.who.key)
    return visit.page(
        "account.html",
        tenants=sorted(visit.who.tenants or ()),
        ends=known.not_after if known is not None else None,
    )


async def signed_in(request: web.Request) -> web.Response:
    """Where the provider sends whoever signed out there, too; and the account of whoever is signed in."""
    found = await sessions.of(request)
    if found is None:
        return _sign_in(request, problem="You are not signed in.")
    return await show(Visit(request, *found))


async def sign_out(request: web.Request) -> web.StreamResponse:
    """End this session; or, of a command that sends its key, that key."""
    if auth.presents_key(request):
        return await sign_ins.end(request)
    found = await sessions.of(request)
    if not sessions.is_own_page(request):
        raise ApiError(403, "foreign_page", "This came from a page that is not Earthflow's.")  # fmt: skip
    there = "/sign-in"
    if found is not None:
        there = await sign_ins.sign_out(request, *found)
    response = web.Response(status=303, headers={**render.HEADERS, "Location": there})
    sessions.forget(request, response)
    return response


async def sign_out_everywhere(visit: Visit) -> web.Response:
    """End all sessions of this key, at every browser; of a person who signed in at the provider, all their keys."""
    await sign_ins.end_everywhere(visit.request, visit.who)
    response = visit.to("/sign-in")
    sessions.forget(visit.request, response)
    return response


async def speak(request: web.Request) -> web.Response:
    """Choose a language, and go back."""
    code, back = request.query.get("language", ""), local(request.query.get("then", ""))
    response = web.Response(status=303, headers={**render.HEADERS, "Location": back})
    if code in LANGUAGES:
        secure = sessions.is_secure(request)
        response.set_cookie(COOKIE, code, max_age=YEAR, path="/", samesite="Lax", httponly=True, secure=secure)  # fmt: skip
    return response


def unfit(request: web.Request) -> web.Response:
    """No key is to be sent this way; where this port speaks HTTPS the browser is sent there."""
    host = sessions.host_of(request)
    if request.app[STATE].settings.tls_cert is not None and host and request.method == "GET":  # fmt: skip
        there = f"https://{request.host}{request.path_qs}"
        return web.Response(status=301, headers={**render.HEADERS, "Location": there})
    return _sign_in(request, 403)


def to_sign_in(request: web.Request) -> web.Response:
    """Let somebody sign in, and come back."""
    then = str(URL.build(path="/sign-in", query={"then": request.path_qs}))
    return web.Response(status=303, headers={**render.HEADERS, "Location": then})


def refused(request: web.Request, refusal: ApiError, visit: Visit | None) -> web.Response:  # fmt: skip
    """A page that says what the API refused, and what to do."""
    titles = {403: "This is not yours to see", 404: "There is nothing here"}
    title = titles.get(refusal.status, "This did not work")
    values = {"title": title, "message": refusal.message, "hint": refusal.hint}
    if visit is not None:
        return visit.page("notice.html", refusal.status, **values)
    text = render.html("plain.html", language_of(request), values | {"below": "", "here": request.path})  # fmt: skip
    return render.page(text, refusal.status)
