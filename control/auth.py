"""Who calls the API, and in which role: admin, tenant, reader of metrics, or proxy.

All comparisons take constant time.
"""

import hmac
import re
from typing import NamedTuple

from aiohttp import web

from contract.keys import parse
from contract.unwrap import seal_key
from control.errors import CALLER, ApiError
from control.state import STATE
from control.store import master_keys
from control.store.admin_audit import UNDER_WAY
from control.store.keys import Role

ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")


ENVIRONMENT = "environment"  # whose key it is that the settings have


class Caller(NamedTuple):
    """Who calls, by the id of a key. Only the role tenant has a `tenant`."""

    role: Role
    tenant: str | None = None
    key: str = ENVIRONMENT


class Way(NamedTuple):
    """How a proxy is served: the data key under its master key, and the key that seals
    its snapshot.
    """

    data_key: str
    seal: bytes


async def caller(request: web.Request, *, metrics: bool = False) -> Caller:
    """The caller of a request.

    Raises ApiError: 401 without a valid key, 400 for two different ones, 403 for one
    that only reads `metrics`, 429 for guessing.
    """
    text = _presented(request)
    who = _known(request, text)
    if who is None and parse(text) is not None:
        await request.app[STATE].look_for_keys()
        who = _known(request, text)
    if who is None:
        wait = request.app[STATE].guesses.wait(_address(request), request.remote or "")
        if wait:
            request.app[STATE].unauthorized += 1
            await request.app[STATE].guesses.slow()
            raise ApiError(
                429,
                "too_many_wrong_keys",
                "Too many wrong keys came from this address.",
                headers={"Retry-After": str(wait)},
            )
        raise _unauthorized(request, "This key is not valid here.")
    request[CALLER] = who.tenant or who.role
    if (act := UNDER_WAY.get()) is not None:
        act.actor, act.role = who.key, who.role
        act.tenant = act.tenant if who.role == "admin" else who.tenant
    if who.role == "metrics" and not metrics:
        message = "This key reads /v1/dashboard/metrics and nothing else."
        raise _forbidden(request, who, message)
    return who


def _unauthorized(request: web.Request, message: str) -> ApiError:
    request.app[STATE].unauthorized += 1
    hint = "Send the admin key or a tenant's key as X-API-Key."
    return ApiError(401, "unauthorized", message, hint)


def _forbidden(
    request: web.Request, who: Caller, message: str, hint: str = ""
) -> ApiError:
    """The refusal of what a role may not do. Raises ApiError 429 where there were too many."""
    bound(request, who.key)
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
    return Caller(key.role, key.tenant, key.id) if key is not None else None


def _address(request: web.Request) -> str:
    """The address whose wrong keys are counted together.

    A relaying proxy says for whom it asks.
    """
    return f"{request.remote} {request.headers.get('X-Forwarded-For', '')[:100]}"


async def admin(request: web.Request) -> None:
    """Raises ApiError 401 or 403 for anybody but an admin."""
    if (who := await caller(request)).role != "admin":
        raise _forbidden(
            request,
            who,
            "This needs an admin's key.",
            "Send EARTHFLOW_ADMIN_API_KEY as X-API-Key.",
        )


async def reader_of_metrics(request: web.Request) -> None:
    """An admin, or a key for metrics. Raises ApiError 401 or 403 for anybody else."""
    if (who := await caller(request, metrics=True)).role == "tenant":
        raise _forbidden(
            request,
            who,
            "This needs an admin's key, or one for metrics.",
            "POST /v1/keys makes one.",
        )


async def tenant_of(request: web.Request) -> str:
    """The tenant in the path, if the caller may see it.

    Raises ApiError 401, or 404 for a foreign one.
    """
    who, id = await caller(request), named(request)
    if who.role != "admin" and who.tenant != id:
        raise ApiError(404, "not_found", "There is no such tenant.")
    return id


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


def _presented(request: web.Request) -> str:
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
    if not given:
        raise _unauthorized(request, "No key was sent.")
    return given.pop()
