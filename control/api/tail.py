"""`/v1/audit/tail`: exchanges as they arrive, as server-sent events."""

import contextlib
from collections.abc import AsyncIterator, Callable

import msgspec
from aiohttp import web

from control import auth
from control.api.audit import sought_of
from control.api.records import shown
from control.errors import DATABASE_AWAY, REQUEST_ID
from control.state import STATE
from control.tail import Arrived, watch

HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # nginx would hold events back
}


async def follow(request: web.Request) -> web.StreamResponse:
    """Exchanges that match, as they arrive: an event `exchange` for each, `skipped` with how many more a second had than were sent, and
    a comment where nothing came. It ends after a quarter of an hour: ask again.
    """
    return await stream(request, _events)


async def stream(
    request: web.Request, events: Callable[[Arrived], str]
) -> web.StreamResponse:
    """Send what arrives, as these events, for as long as the caller may read it and its client stays."""
    state, who = request.app[STATE], await auth.caller(request)
    sought = await sought_of(request)
    place = state.watchers.enter(who)
    try:
        headers = {**HEADERS, "x-request-id": request[REQUEST_ID]}
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        await response.write(b"retry: 2000\n\n")
        with contextlib.suppress(ConnectionError, *DATABASE_AWAY):
            async for arrived in _while_known(request, watch(state, sought)):
                await response.write((events(arrived) or ": nothing new\n\n").encode())
        return response
    finally:
        state.watchers.leave(place)


async def _while_known(
    request: web.Request, arrivals: AsyncIterator[Arrived]
) -> AsyncIterator[Arrived]:
    """The same, until whoever asked is not known any more."""
    async for one in arrivals:
        if not await auth.is_still(request):
            return
        yield one


def _events(arrived: Arrived) -> str:
    told = [
        f"event: exchange\ndata: {msgspec.json.encode(shown(row)).decode()}\n\n"
        for row in arrived.rows
    ]
    if arrived.skipped:
        told.append(f"event: skipped\ndata: {arrived.skipped}\n\n")
    return "".join(told)
