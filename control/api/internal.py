"""`/internal`: what proxies ask. Never offered on the proxy's port."""

import asyncio
import contextlib
import re
import time

from aiohttp import web

from contract.snapshot import seal
from control import auth
from control.errors import ApiError, answer
from control.state import STATE
from control.store import audit, snapshots

MAX_WAIT = 25.0  # seconds
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
    while (now := (await snapshots.served(state.pool)).version) <= have:
        if now < have:
            await snapshots.overtake(state.pool, have)
            continue
        left = deadline - time.monotonic()
        if left <= 0 or state.ending:
            return web.Response(status=304)
        async with state.changed:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(state.changed.wait(), min(left, LOOK_EVERY))
    current = await snapshots.read(
        state.pool,
        state.rules,
        state.rules_hash,
        state.settings.rate,
        way.data_key,
        keep_prompts=not state.settings.hash_prompts,
    )
    if current is None:
        hint = "The control process that was started last serves the snapshot; this one has other rule files."
        raise ApiError(
            503,
            "other_rules",
            "This control process is not the one that serves rules now.",
            hint,
        )
    body = await asyncio.to_thread(seal, current, way.seal)
    return web.Response(
        body=body,
        headers={"ETag": str(current.version)},
        content_type="application/octet-stream",
    )


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
