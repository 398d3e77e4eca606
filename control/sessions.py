"""Sessions of people at the dashboard. The browser keeps one, sealed; control remembers only those that ended before their time.

A session says by which key somebody signed in, and is worth what this key is worth now: a revoked key ends its sessions, too. Which
ones ended stands in PostgreSQL, and again in Redis for as long as PostgreSQL is away. The other order would be quicker and not safe:
a Redis that was flushed, or away for a moment, knows of no end.
"""

import asyncio
import contextlib
import hmac
import logging
import secrets
import time
from datetime import UTC, datetime, timedelta

import msgspec
from aiohttp import web
from redis.exceptions import RedisError

from contract.addresses import is_in, is_loopback
from contract.keys import digest
from contract.unwrap import WrongMasterKey
from control.errors import DATABASE_AWAY, POSTGRES_AWAY
from control.permissions import Caller
from control.state import STATE, State
from control.store import sessions as store
from control.store.sign_ins import LONGEST, UNHEARD

ENVIRONMENT = "environment"  # stands for the id of EARTHFLOW_ADMIN_API_KEY
SEALED = "session"  # what the cookie is sealed for
SKEW = 60.0  # seconds that the clocks of two controls may differ
RESEAL = 60.0  # seconds after which the browser gets its session with a newer `seen`
PATIENCE = 2.0  # seconds for PostgreSQL, and for Redis, to say that a session ended
LASTS, IDLE = LONGEST.total_seconds(), UNHEARD.total_seconds()
SAFE = ("GET", "HEAD", "OPTIONS")

logger = logging.getLogger("earthflow.sign_in")


class Session(msgspec.Struct, frozen=True, tag="session"):
    """One sign-in at one browser. `key`: the id of the key; `proof`: of ENVIRONMENT, the digest of that key. Times are seconds since
    1970; `seen` is when it was last used, to within RESEAL.
    """

    id: str
    key: str
    proof: str
    began: float
    seen: float


class Unsure(Exception):
    """Neither PostgreSQL nor Redis can say whether the session ended."""


SESSION = web.RequestKey("session", Session)


def new(key: str, proof: str = "") -> Session:
    """A session that begins now, with an id that nobody could know before."""
    now = time.time()
    return Session(secrets.token_urlsafe(24), key, proof, now, now)


def proof_of(state: State, admin_key: str) -> str:
    """What ties a session to the admin key of the environment: it ends with that key."""
    return digest(state.keyring.pepper, f"dashboard {admin_key}")


def owner(state: State, session: Session) -> Caller | None:
    """Who signed in, as far as the key still works; None where it does not, or the session is too old."""
    now = time.time()
    if not (-SKEW <= now - session.began < LASTS and now - session.seen < IDLE):
        return None
    if session.key == ENVIRONMENT:
        proofs = [
            proof_of(state, one.get_secret_value()) for one in state.settings.admin_keys
        ]
        alike = [hmac.compare_digest(session.proof, one) for one in proofs]
        return Caller("admin") if any(alike) else None
    known = state.keyring.of_id(session.key)
    return known.caller if known is not None else None


async def has_ended(state: State, session: Session) -> bool:
    """Whether it was ended before its time. Raises Unsure."""
    began = datetime.fromtimestamp(session.began, UTC)
    look = store.has_ended(state.pool, session.id, session.key, began)
    asked = asyncio.create_task(look)
    if (await asyncio.wait({asked}, timeout=PATIENCE))[0]:
        with contextlib.suppress(*DATABASE_AWAY):
            return asked.result()
    else:  # not waited for: psycopg asks the same server to cancel
        asked.add_done_callback(lambda one: one.cancelled() or one.exception())
        asked.cancel()
    try:
        async with asyncio.timeout(PATIENCE):
            ended = await state.redis.get(_name(session.id))
            of_key = await state.redis.get(_name(session.key))
    except (RedisError, OSError, TimeoutError):
        raise Unsure from None
    return ended is not None or (of_key is not None and float(of_key) >= session.began)


async def end(state: State, what: str) -> None:
    """End a session by its id, or all of a key by the key's. Raises where PostgreSQL is away: it would not be sure."""
    now = datetime.now(UTC)
    await store.end(state.pool, what, now, timedelta(seconds=LASTS))
    try:
        async with asyncio.timeout(PATIENCE):
            await state.redis.set(_name(what), str(now.timestamp()), ex=int(LASTS))
    except (RedisError, OSError, TimeoutError) as error:
        logger.warning(
            "the end of a session is in PostgreSQL alone (%s)", type(error).__name__
        )


async def of(request: web.Request) -> tuple[Session, Caller] | None:
    """The session of a browser and who signed in; None without one that works. Where nobody can say whether it ended it still reads.

    Raises ApiError 503 for a request that would change something then.
    """
    state = request.app[STATE]
    session = opened(state, request.cookies.get(cookie_name(request)))
    who = owner(state, session) if session is not None else None
    if session is None or who is None:
        return None
    try:
        if await has_ended(state, session):
            return None
    except Unsure:
        if request.method not in SAFE:
            raise POSTGRES_AWAY from None
    request[SESSION] = session
    return session, who


def opened(state: State, cookie: str | None) -> Session | None:
    """The session in a cookie; None where it is none that we sealed."""
    try:
        return msgspec.json.decode(
            state.vault.unseal(SEALED, cookie or ""), type=Session
        )
    except (WrongMasterKey, msgspec.MsgspecError, ValueError):
        return None


def seal(state: State, session: Session) -> str:
    """A session as the browser keeps it."""
    return state.vault.seal(SEALED, msgspec.json.encode(session))


def keep(request: web.Request, response: web.Response, session: Session) -> None:
    """Let the browser keep a session, until its end."""
    response.set_cookie(
        cookie_name(request),
        seal(request.app[STATE], session),
        max_age=max(0, int(LASTS - (time.time() - session.began))),
        path="/",
        secure=is_secure(request),
        httponly=True,
        samesite="Lax",
    )


def keep_seen(request: web.Request, response: web.Response) -> None:
    """Let the browser keep that its session is in use."""
    session, now = request.get(SESSION), time.time()
    if session is not None and now - session.seen > RESEAL:
        keep(request, response, msgspec.structs.replace(session, seen=now))


def forget(request: web.Request, response: web.Response) -> None:
    """Let the browser keep none."""
    response.del_cookie(
        cookie_name(request), path="/", secure=is_secure(request), httponly=True
    )


def form_token(state: State, session: Session) -> str:
    """What forms of this session carry, which no other page knows."""
    return digest(state.keyring.pepper, f"form {session.id}")


def cookie_name(request: web.Request) -> str:
    """The name of the cookie. Under the one for HTTPS a browser takes it from this host alone."""
    return "__Host-earthflow" if is_secure(request) else "earthflow"


def origin_of(request: web.Request) -> str:
    """The origin by which the browser knows us."""
    public = request.app[STATE].settings.public_url
    # A port that speaks HTTPS itself knows whether it does; else the address that is set says so for the one in front.
    own = request.app[STATE].settings.tls_cert is not None
    if not own and public.partition("://")[2] == request.host:
        return public
    return f"{'https' if _came_by_tls(request) else 'http'}://{request.host}"


def is_secure(request: web.Request) -> bool:
    """Whether the browser speaks HTTPS: to us, or to a proxy in front that EARTHFLOW_TRUSTED_PROXIES names."""
    return origin_of(request).startswith("https:")


def is_fit(request: web.Request) -> bool:
    """Whether a key may be sent this way: by HTTPS, or within the browser's own machine."""
    return is_secure(request) or is_loopback(host_of(request))


def host_of(request: web.Request) -> str:
    """The name by which the browser knows us, without its port; empty where it is none."""
    try:
        return request.url.host or ""
    except ValueError:
        return ""


def is_own_page(request: web.Request) -> bool:
    """Whether a browser says that a page of ours sent this: it sends our cookie with what other pages make it send, too."""
    return request.headers.get("Origin") == origin_of(request)


def _came_by_tls(request: web.Request) -> bool:
    if request.secure:
        return True
    named = request.app[STATE].settings.trusted_proxies
    said = request.headers.get("X-Forwarded-Proto", "").rpartition(",")[2].strip()
    return said == "https" and is_in(request.remote or "", named)


def _name(what: str) -> str:
    return f"earthflow:session-end:{what}"
