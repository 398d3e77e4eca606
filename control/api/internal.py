"""`/internal`: what proxies ask. Never offered on the proxy's port."""

import asyncio
import contextlib
import logging
import re
import time

import msgspec
from aiohttp import web

from contract.proxy_report import ProxyReport
from contract.snapshot import MARK, KnownKeys, seal
from control import auth
from control.errors import OTHER_RULES, ApiError, answer
from control.state import STATE, State
from control.store import audit, proxies, snapshots

logger = logging.getLogger("earthflow.control")

MAX_WAIT = 25.0  # seconds
HIGHEST = 10**15  # version that a proxy may have; one a microsecond for thirty years
NAME_SHAPE = re.compile(r"[0-9a-z]{1,40}")  # of a spool
MARK_SHAPE = re.compile(r"[0-9a-f-]{36}")
# Bytes of a list of keys: some 500,000, of 60 bytes each. Only proxies may send one.
MOST_KEYS = 32 * 1024 * 1024
RESTORED = (
    "This database was restored, and keys that were revoked since may have come back. Nothing is served until a proxy that ran before "
    "has told which it knows; if there is none: earthflow restore --accept-old-keys"
)
LOOK_EVERY = 1.0  # another control process may have changed the version


async def snapshot(request: web.Request) -> web.Response:
    """The sealed snapshot, or 304 for a caller who has it.

    With `wait`, held until it changes or the seconds are over.
    """
    way = await auth.proxy(request)
    state = request.app[STATE]
    have = _number(request.headers.get("If-None-Match", ""), -1)
    deadline = time.monotonic() + min(
        _number(request.query.get("wait", "0"), 0), MAX_WAIT
    )
    mark = request.headers.get(MARK, "") if have >= 0 else ""
    told = (have, mark) if MARK_SHAPE.fullmatch(mark) else None
    while not (now := await snapshots.served(state.pool, told)).is_newer_than(have):
        if (now.version < have or now.foreign) and not now.held:
            await _hold(state)
            continue
        if now.held:
            raise _held(knows=have >= 0)
        left = deadline - time.monotonic()
        if left <= 0 or state.ending:
            return web.Response(status=304)
        async with state.changed:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(state.changed.wait(), min(left, LOOK_EVERY))
    began = time.monotonic()
    current = await snapshots.read(
        state.pool,
        state.rules,
        state.rules_hash,
        state.settings.rate,
        way.data_key,
        keep_prompts=not state.settings.hash_prompts,
    )
    if current is None:
        raise OTHER_RULES
    body = await asyncio.to_thread(seal, current, way.seal)
    state.snapshot_seconds = time.monotonic() - began
    return web.Response(
        body=body,
        headers={"ETag": str(current.version)},
        content_type="application/octet-stream",
    )


async def _hold(state: State) -> None:
    """Serve nothing: a proxy has a version that this database never made, so it was restored."""
    await snapshots.hold(state.pool)
    await state.read_keys()  # none of them opens the API meanwhile


def _held(*, knows: bool) -> ApiError:
    """Why nothing is served; a proxy that has a snapshot `knows` keys, and tells them."""
    if knows:
        return ApiError(
            409, "tell_keys", "Tell the keys that you know: POST /internal/keys."
        )
    return ApiError(503, "restored", RESTORED)


async def keys(request: web.Request) -> web.Response:
    """What keys a proxy knows, after this database was restored: those that it does not know
    were revoked since the backup, and end again.
    """
    await auth.proxy(request)
    state = request.app[STATE]
    try:
        told = await request.clone(client_max_size=MOST_KEYS).read()
        known = msgspec.json.decode(told, type=KnownKeys)
        if (
            not 0 <= known.version <= HIGHEST
            or known.made.tzinfo is None
            or not (known.mark == "" or MARK_SHAPE.fullmatch(known.mark))
        ):
            raise ValueError
    except (msgspec.DecodeError, ValueError):
        raise ApiError(400, "bad_request", "The body is no list of keys.") from None
    settled = await snapshots.settle(state.pool, known)
    if settled.ended:
        logger.warning(
            "the database was restored: %d keys that a proxy knows to be revoked stay so",
            settled.ended,
        )
    if settled.ahead:
        logger.warning(
            "the clock of this control or of PostgreSQL is wrong: a snapshot is of %s. Its keys cannot be compared; "
            "set the clocks, or: earthflow restore --accept-old-keys",
            known.made,
        )
    if settled.served:
        await state.tell_proxies()
    return answer({"ended": settled.ended})


async def report(request: web.Request) -> web.Response:
    """Keep what a proxy tells of itself."""
    await auth.proxy(request)
    try:
        told = msgspec.json.decode(await request.read(), type=ProxyReport)
        if not NAME_SHAPE.fullmatch(told.worker):
            raise ValueError
    except (msgspec.DecodeError, ValueError):
        raise ApiError(400, "bad_request", "The body is no report.") from None
    await proxies.note(request.app[STATE].pool, told)
    return answer({})


def _number(text: str, otherwise: int) -> int:
    return int(text) if re.fullmatch(r"[0-9]{1,15}", text) else otherwise


async def watermark(request: web.Request) -> web.Response:
    """Up to which seq a spool's records are stored."""
    await auth.proxy(request)
    seq = await audit.watermark_of(
        request.app[STATE].pool,
        request.match_info["worker"],
        request.match_info["boot"],
    )
    return answer({"seq": seq})
