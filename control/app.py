"""The API as an application, with what starts and stops with it."""

import asyncio
from collections.abc import AsyncIterator

from aiohttp import web

from control import openapi
from control.administered import administered
from control.dashboard import site as dashboard
from control.errors import errors
from control.idempotency import once
from control.jobs import count, deliver, follow, ingest, notice, reload, renew, retain
from control.permitted import permitted
from control.proofs import proofs
from control.routes import ROUTES
from control.state import STATE, State
from control.understood import understood

MAX_REQUEST = 1024 * 1024  # bytes


def application(state: State) -> web.Application:
    """The API over a state."""
    app = web.Application(
        middlewares=[
            proofs,
            errors,
            dashboard.addresses,
            once,
            administered,
            permitted,
            understood,
        ],
        client_max_size=MAX_REQUEST,
    )
    app[STATE] = state
    openapi.install(app, ROUTES)
    for route in ROUTES:
        app.router.add_route(route.method, route.path, route.handler)
        if route.method == "GET":
            app.router.add_route("HEAD", route.path, route.handler)
    dashboard.install(app)
    app.cleanup_ctx.append(_jobs)
    app.on_shutdown.append(_release)
    return app


async def _release(app: web.Application) -> None:
    """Answer waiting polls, so that they do not delay our end."""
    app[STATE].ending = True
    await app[STATE].wake()


async def _jobs(app: web.Application) -> AsyncIterator[None]:
    app[STATE].sender.start()
    jobs = [
        asyncio.create_task(job.run(app[STATE]))
        for job in (ingest, reload, follow, deliver, notice, renew, retain, count)
    ]
    yield
    for job in jobs:
        job.cancel()
    await asyncio.gather(*jobs, return_exceptions=True)
    await app[STATE].sender.close()
