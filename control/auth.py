"""Who calls the API, and whether the caller may: by a key, or as a proxy.

All comparisons take constant time.
"""

import hmac
import re
from collections.abc import Sequence
from typing import NamedTuple

from aiohttp import web

from contract.keys import parse
from contract.unwrap import seal_key
from control import sessions
from control.errors import CALLER, NO_TENANT, ApiError
from control.permissions import PERMISSIONS, Caller, roles_of
from control.sessions import SAFE
from control.state import STATE
from control.store import master_keys
from control.store.admin_audit import UNDER_WAY

ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
TENANTS = "/v1/tenants/"  # paths whose id is a tenant's
# Where a browser says that a request of the signed-in comes from: our own pages, or its person.
OWN_SITE = ("same-origin", "none")
WHO = web.RequestKey("who", Caller)


class Way(NamedTuple):
    """How a proxy is served: the data key under its master key, and the key that seals
    its snapshot.
    """

    data_key: str
    seal: bytes


async def caller(request: web.Request) -> Caller:
    """The caller of a request.

    Raises ApiError: 401 without a valid key, 400 for two different ones, 429 for guessing.
    """
    if WHO not in request:
        request[WHO] = await _caller(request)
    who = request[WHO]
    request[CALLER] = owner_of(who) or who.role
    if (act := UNDER_WAY.get()) is not None:
        act.actor, act.role = who.key, who.role
        act.tenant = owner_of(who) or act.tenant
    return who


async def _caller(request: web.Request) -> Caller:
    if (text := _presented(request)) is None:
        return await _of_browser(request)
    if (who := await known(request, text)) is not None:
        return who
    await count_guess(request)
    raise _unauthorized(request, "This key is not valid here.")


async def _of_browser(request: web.Request) -> Caller:
    """Who signed in at this browser. Raises ApiError: 401 where nobody did, 403 where a foreign page makes it change something."""
    if (signed_in := await sessions.of(request)) is None:
        raise _unauthorized(request, "No key was sent.")
    elsewhere = request.headers.get("Sec-Fetch-Site", "none") not in OWN_SITE
    if elsewhere or (request.method not in SAFE and not sessions.is_own_page(request)):
        message = "This came from a page that is not Earthflow's."
        raise ApiError(403, "foreign_page", message, "Send a key as X-API-Key.")
    return signed_in[1]


async def count_guess(request: web.Request) -> None:
    """Count what somebody may be guessing at. Raises ApiError 429 for one too many of an address."""
    wait = request.app[STATE].guesses.wait(_address(request), request.remote or "")
    if wait:
        request.app[STATE].unauthorized += 1
        await request.app[STATE].guesses.slow()
        raise _too_many("Too many wrong keys came from this address.", wait)


def count_sign_in(request: web.Request, address: str) -> None:
    """Count a code or token of a sign-in that is wrong. Raises ApiError 429 for one too many of an address."""
    if wait := request.app[STATE].guesses.wrong_sign_in(address):
        raise _too_many("Too many sign-ins of this address failed.", wait)


def count_login(request: web.Request, address: str) -> None:
    """Count a login of a command that begins. Raises ApiError 429 for one too many of an address."""
    if wait := request.app[STATE].guesses.begun(address):
        raise _too_many("Too many logins were begun by this address.", wait)


def _too_many(message: str, wait: int) -> ApiError:
    after = {"Retry-After": str(wait)}
    return ApiError(429, "too_many_wrong_keys", message, headers=after)


def owner_of(who: Caller) -> str | None:
    """The tenant whose own key it is."""
    if who.role != "tenant" or who.tenants is None:
        return None
    (tenant,) = who.tenants
    return tenant


async def permitted(request: web.Request, needs: str) -> Caller:
    """The caller, who has this permission, and sees the tenant in the path where there is one.

    Raises ApiError: 403 without the permission, 404 for a foreign tenant.
    """
    who = await having(request, needs)
    resource = request.match_info.route.resource
    path = resource.canonical if resource is not None else ""
    if path.startswith(TENANTS) and not who.sees(named(request)):
        if (act := UNDER_WAY.get()) is not None:
            act.tenant = owner_of(who)  # no entry of somebody else's
        raise NO_TENANT
    return who


async def having(request: web.Request, needs: str) -> Caller:
    """The caller, who has this permission. Raises ApiError 403."""
    who = await caller(request)
    if not who.may(needs):
        raise _forbidden(request, who, needs)
    return who


def tenants_of(who: Caller, wanted: str | None) -> Sequence[str] | None:
    """Of which tenants to read, for somebody who wants this one, or all that may be seen. None: of all there are.

    Raises ApiError 404 for a foreign one.
    """
    if wanted is None:
        return None if who.tenants is None else sorted(who.tenants)
    if not who.sees(wanted):
        raise NO_TENANT
    return [wanted]


def _unauthorized(request: web.Request, message: str) -> ApiError:
    request.app[STATE].unauthorized += 1
    hint = "Send the admin key or a tenant's key as X-API-Key."
    if request.app[STATE].provider is not None:
        hint += " People sign in at /sign-in; commands by `earthflow login`."
    return ApiError(401, "unauthorized", message, hint)


def _forbidden(request: web.Request, who: Caller, needs: str) -> ApiError:
    """The refusal. Raises ApiError 429 where there were too many."""
    bound(request, who.key)
    needed = PERMISSIONS[needs]
    if who.role in needed.roles:
        message = (
            f"This is of all tenants together ({needs}), and this key is bound to some."
        )
        return ApiError(403, "forbidden", message, "Use a key that is not bound.")
    message = f"A key of the role {who.role} may not {needed.what} ({needs})."
    hint = f"Roles that may: {', '.join(roles_of(needs))}."
    return ApiError(403, "forbidden", message, hint)


def bound(request: web.Request, key: str) -> None:
    """Count a refused request of a key, which is an entry of the audit. Raises ApiError 429 for one too many, which is none."""
    if wait := request.app[STATE].guesses.refused(key):
        raise ApiError(
            429,
            "too_many_refused",
            "This key asked too often for what it may not do.",
            "Use a key of the right role.",
            {"Retry-After": str(wait)},
        )


async def is_still(request: web.Request) -> bool:
    """Whether whoever sent a request that takes long is who they were then, with the same rights."""
    who, text = await caller(request), _presented(request)
    if text is not None:
        return await known(request, text) == who
    signed_in = await sessions.of(request)
    return signed_in is not None and signed_in[1] == who


async def known(request: web.Request, text: str) -> Caller | None:
    """The owner of a key that works now; keys that are new are looked for."""
    who = _known(request, text)
    if who is None and parse(text) is not None:
        await request.app[STATE].look_for_keys()
        who = _known(request, text)
    return who


def _known(request: web.Request, text: str) -> Caller | None:
    state = request.app[STATE]
    given = text.encode("utf-8", "surrogateescape")
    admins = [
        hmac.compare_digest(given, key.get_secret_value().encode())
        for key in state.settings.admin_keys
    ]
    if any(admins):
        return Caller("admin")
    key = state.keyring.find(text)
    return key.caller if key is not None else None


def _address(request: web.Request) -> str:
    """The address whose wrong keys are counted together.

    A relaying proxy says for whom it asks.
    """
    return f"{request.remote} {request.headers.get('X-Forwarded-For', '')[:100]}"


def named(request: web.Request, part: str = "id") -> str:
    """The id in the path. Raises ApiError 404 for what cannot be one."""
    id = request.match_info[part]
    if not ID.fullmatch(id):
        raise ApiError(404, "not_found", "Nothing has that name.")
    return id


WAY = web.RequestKey("way", Way)


async def proxy(request: web.Request) -> Way:
    """How to serve this proxy; what it is answered will carry a proof.

    Raises ApiError 401 where its master key does not open the database.
    """
    state = request.app[STATE]
    given = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
    if hmac.compare_digest(given, f"Bearer {state.vault.proxy_token}".encode()):
        request[WAY] = Way(state.vault.wrapped, seal_key(state.vault.master))
        return request[WAY]
    if len(given) == len(f"Bearer {state.vault.proxy_token}"):
        for row in (
            await master_keys.every(state.pool)
        ).rows:  # during a rotation, the old key still serves its proxies
            if (
                row.token
                and row.seal
                and hmac.compare_digest(given, b"Bearer " + state.vault.open(row.token))
            ):
                request[WAY] = Way(row.wrapped, state.vault.open(row.seal))
                return request[WAY]
    raise ApiError(
        401,
        "unauthorized",
        "Only a proxy with the same EARTHFLOW_MASTER_KEY may ask this.",
    )


def presents_key(request: web.Request) -> bool:
    """Whether a request carries a key itself."""
    return "X-API-Key" in request.headers or "Authorization" in request.headers


def _presented(request: web.Request) -> str | None:
    """The key that a request carries; None for none."""
    scheme, _, bearer = request.headers.get("Authorization", "").partition(" ")
    given: set[str] = {
        *request.headers.getall("X-API-Key", []),
        bearer.strip() if scheme.lower() == "bearer" else "",
    } - {""}
    if len(given) > 1:
        raise ApiError(
            400,
            "two_keys",
            "The request carries different keys.",
            "Send one of them.",
        )
    return given.pop() if given else None
