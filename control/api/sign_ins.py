"""Single sign-on in a browser: to the provider and back, with a key in a cookie, and out again."""

import hmac
import html
import logging
import time

import msgspec
from aiohttp import web

from contract.keys import KINDS, digest, mint
from contract.unwrap import WrongMasterKey
from control import auth, sessions
from control.addresses import address_of
from control.api.pages import HEADERS, SIGN_IN, page
from control.errors import REQUEST_ID, ApiError, answer
from control.permissions import Caller
from control.sessions import Session
from control.sign_in import attempt as attempts
from control.sign_in.attempt import LASTS, Attempt, Grant, Offer
from control.sign_in.provider import Away, Provider, Refused, SignedIn
from control.sign_in.roles import granted
from control.sign_in.tokens import BadToken, Person
from control.state import STATE, State
from control.store import admin_audit, keys, sign_ins
from control.store.admin_audit import Act, acting
from control.store.keys import Key, Minted
from control.store.sign_ins import NewSignIn

logger = logging.getLogger("earthflow.sign_in")

NO_PROVIDER = ApiError(
    404,
    "no_sign_in",
    "Single sign-on is not set up here.",
    "Use a key; for single sign-on set EARTHFLOW_OIDC_ISSUER and what belongs to it: docs/operating.md.",
)
NOT_IN = "You are not signed in"


class Ended(msgspec.Struct):
    """The id of the key of a sign-in that its owner ended."""

    ended: str


def provider_of(state: State) -> Provider:
    """The provider. Raises ApiError where there is none."""
    if state.provider is None:
        raise NO_PROVIDER
    return state.provider


async def begin(request: web.Request) -> web.StreamResponse:
    """Send a browser to the provider."""
    return await send(request, Attempt.new(request.query.get("then", "")))


async def send(request: web.Request, attempt: Attempt) -> web.StreamResponse:
    """Send a browser to the provider with an attempt, which it keeps."""
    state, provider = request.app[STATE], provider_of(request.app[STATE])
    try:
        url = await provider.start(attempt.state, attempt.nonce, attempt.verifier)
    except Away as error:
        return _away(error)
    there = web.HTTPSeeOther(url, headers=HEADERS)
    _keep(state, there, _attempts(state), attempt.kept(state.vault), LASTS)
    raise there


async def callback(request: web.Request) -> web.StreamResponse:
    """Somebody comes back from the provider."""
    state = request.app[STATE]
    provider_of(state)
    attempt = attempts.attempt_of(request.cookies.get(_attempts(state)), state.vault)
    said = request.query.get("state", "").encode("utf-8", "surrogateescape")
    if attempt is None or not hmac.compare_digest(attempt.state.encode(), said):
        return page("Sign in again", "This attempt is over, or was begun elsewhere.", 400, SIGN_IN)  # fmt: skip
    signed_in = await _exchanged(request, attempt)
    if isinstance(signed_in, web.Response):
        return signed_in
    grants = await sign_ins.grants_there(state.pool, state.settings.oidc_roles)
    gets = granted(grants, signed_in.person.groups or ())
    if gets is None:
        return await _no_entry(request, attempt, signed_in.person)
    grant = attempts.grant_of(signed_in, gets)
    if attempt.user_code:
        return await _offered(state, attempt, grant)
    key, _ = await let_in(request, grant, address_of(request), "browser")
    if key is None:
        return await _no_entry(request, attempt, signed_in.person)
    if (before := await sessions.of(request)) is not None:
        await end_session(request, *before, "signed in again")
    there = web.HTTPSeeOther(attempt.then, headers=HEADERS)
    sessions.keep(request, there, sessions.new(key.id))
    there.del_cookie(_attempts(state), path="/")
    raise there


async def _exchanged(request: web.Request, attempt: Attempt) -> SignedIn | web.Response:
    """Who came back; or the page that says why nobody did."""
    provider, code = provider_of(request.app[STATE]), request.query.get("code")
    issuer = provider.client.issuer
    if not code or request.query.get("iss", issuer) != issuer:  # RFC 9207
        return page(NOT_IN, "The provider did not let you in.", 403, SIGN_IN)
    try:
        return await provider.exchange(code, attempt.nonce, attempt.verifier)
    except Away as error:
        return _away(error)
    except Refused:
        auth.count_sign_in(request, address_of(request))
        return page(NOT_IN, "The provider does not know this attempt any more.", 403, SIGN_IN)  # fmt: skip
    except BadToken as error:
        auth.count_sign_in(request, address_of(request))
        logger.warning("a token of the provider is not believed: %s", error)
        return page(NOT_IN, f"The provider's token is not believed: {html.escape(str(error))}.", 403, SIGN_IN)  # fmt: skip


async def let_in(
    request: web.Request, grant: Grant, address: str, by: str
) -> tuple[Key | None, str]:
    """Make the key of somebody who signed in; and its text. None where none of its tenants is there."""
    state, minted = request.app[STATE], mint(KINDS[grant.role])
    stored = Minted(minted.id, digest(state.keyring.pepper, minted.secret))
    new = NewSignIn(
        grant.subject,
        f"{grant.name} ({by})",
        grant.role,
        grant.tenants,
        state.vault.wrap(msgspec.json.encode(grant.tokens)),
        grant.tokens.refresh_token is not None,
    )
    with acting(_act(request, "sign_ins.begin", minted.id, grant.role, address)):
        key = await sign_ins.begin(state.pool, new, stored)
    if key is not None:
        await state.tell_proxies()
    return key, minted.text


async def end(request: web.Request) -> web.StreamResponse:
    """Sign out a command: its key, which is from a sign-in, works no more."""
    state, who = request.app[STATE], await auth.caller(request)
    if await sign_ins.tokens_of(state.pool, who.key) is None:
        hint = "DELETE /v1/keys/{key} revokes it."
        raise ApiError(409, "no_sign_in", "This key is from no sign-in.", hint)
    with acting(_act(request, "sign_ins.end", who.key, who.role, address_of(request))):
        await keys.revoke(state.pool, None, who.key)
    await state.tell_proxies()
    return answer(Ended(who.key))


async def sign_out(request: web.Request, session: Session, who: Caller) -> str:
    """End a browser's session, and its key where that is from a sign-in; where to go then."""
    state = request.app[STATE]
    wrapped = await sign_ins.tokens_of(state.pool, who.key)
    await end_session(request, session, who, "")
    return _way_out(state, wrapped) if wrapped is not None else "/sign-in"


async def end_session(
    request: web.Request, session: Session, who: Caller, why: str
) -> None:
    """End one session; of a sign-in, its key ends with it."""
    state = request.app[STATE]
    await sessions.end(state, session.id)
    act = _act(request, "sign_ins.end", who.key, who.role, address_of(request))
    if await sign_ins.tokens_of(state.pool, who.key) is None:
        act.tenant = auth.owner_of(who)
        await admin_audit.note(state.pool, act, after={"why": why})
        return
    with acting(act):
        await keys.revoke(state.pool, None, who.key, why)
    await state.tell_proxies()


async def end_everywhere(request: web.Request, who: Caller) -> None:
    """End all sessions that somebody has: those of their key, or all keys of whoever signed in at the provider."""
    state = request.app[STATE]
    act = _act(request, "sign_ins.end", who.key, who.role, address_of(request))
    own = await sign_ins.of_same_person(state.pool, who.key)
    if not own:
        await sessions.end(state, who.key)
        act.tenant = auth.owner_of(who)
        await admin_audit.note(state.pool, act, after={"everywhere": True})
        return
    for key in own:
        with acting(act):
            await keys.revoke(state.pool, None, key, "signed out everywhere")
    await state.tell_proxies()


def _way_out(state: State, wrapped: str) -> str:
    """Where to go after signing out: to the provider's own way out, where it has one."""
    back = f"{state.settings.public_url}/signed-in"
    try:
        tokens = attempts.tokens_of(wrapped, state.vault)
        return provider_of(state).end(tokens.id_token, back) or back
    except (ApiError, WrongMasterKey, msgspec.MsgspecError):
        return back


async def _offered(state: State, attempt: Attempt, grant: Grant) -> web.Response:
    """Ask whether a command is to get a key: whoever sent the code to this browser could be somebody else (RFC 8628, 5.4)."""
    address = await sign_ins.waits(state.pool, attempt.user_code)
    if address is None:
        told = "Start <code>earthflow login</code> again."
        return page("The command waits no more", told, 404)
    offer = Offer(attempt.user_code, grant, time.time())
    told = (
        f"A command at {html.escape(address)} that shows {attempt.user_code} will get a key of your role, {grant.role}. "
        "Only give it one if you started it."
    )
    give = (
        "<form method=post action=/sign-in/command/grant>"
        f'<input type=hidden name=offer value="{offer.kept(state.vault)}">'
        "<button>Give it the key</button></form>"
    )
    return page("A key for a command", told, below=give)


async def _no_entry(
    request: web.Request, attempt: Attempt, person: Person
) -> web.Response:
    """Somebody whom the provider knows, and who may do nothing here. An entry tells of it."""
    state = request.app[STATE]
    act = _act(request, "sign_ins.begin", "", "none", address_of(request))
    told = {"name": person.name, "subject": person.subject}
    await admin_audit.note(state.pool, act, "no_role", told)
    if attempt.user_code:
        await sign_ins.refuse(state.pool, attempt.user_code)
    why = "None of your groups has a role here, or a tenant that is still there. Ask whoever runs Earthflow."
    if person.groups is None:
        why = "The provider names none of your groups; see EARTHFLOW_OIDC_GROUPS_CLAIM."
    return page("You have no entry", why, 403)


def _act(request: web.Request, action: str, key: str, role: str, address: str) -> Act:
    """What somebody does to their own sign-in, which is the key of this id; without one nobody is let in."""
    return Act(action, key, request[REQUEST_ID], key or "nobody", role, address)


def _attempts(state: State) -> str:
    return attempts.cookie_name(state.settings.public_url)


def _keep(
    state: State,
    there: web.Response,
    name: str,
    value: str,
    seconds: int,
) -> None:
    secure = state.settings.public_url.startswith("https:")
    there.set_cookie(
        name,
        value,
        max_age=seconds,
        path="/",
        secure=secure,
        httponly=True,
        samesite="Lax",
    )


def _away(error: Away) -> web.Response:
    logger.warning("the provider of single sign-on cannot be used: %s", error)
    told = (
        f"The provider cannot be used now: {html.escape(str(error))}. Keys still work."
    )
    return page("Single sign-on does not work now", told, 503, SIGN_IN)
