"""All routes of the API, on one screen, and what starts and stops with it."""

import asyncio
from collections.abc import AsyncIterator

from aiohttp import web

from control import health, metrics
from control.api import audit, internal, keys, rules, tenants
from control.errors import errors
from control.jobs import ingest, reload
from control.state import STATE, State

MAX_REQUEST = 1024 * 1024  # bytes


def application(state: State) -> web.Application:
    """The API over a state."""
    app = web.Application(middlewares=[errors], client_max_size=MAX_REQUEST)
    app[STATE] = state
    app.add_routes(
        [
            web.get("/health", health.live),
            web.get("/health/ready", health.ready),
            web.get("/v1/tenants", tenants.every),
            web.post("/v1/tenants", tenants.create),
            web.get("/v1/tenants/{id}", tenants.show),
            web.patch("/v1/tenants/{id}", tenants.change),
            web.delete("/v1/tenants/{id}", tenants.delete),
            web.get("/v1/tenants/{id}/keys", keys.every),
            web.post("/v1/tenants/{id}/keys", keys.create),
            web.delete("/v1/tenants/{id}/keys/{key}", keys.revoke),
            web.post("/v1/keys/rotate", keys.rotate),
            web.get("/v1/rules", rules.export),
            web.get("/v1/dashboard/metrics", metrics.metrics),
            web.get("/v1/audit", audit.search),
            web.get("/v1/audit/stats", audit.stats),
            web.get("/internal/snapshot", internal.snapshot),
            web.get("/internal/watermark/{worker}/{boot}", internal.watermark),
        ]
    )
    app.cleanup_ctx.append(_jobs)
    app.on_shutdown.append(_release)
    return app


async def _release(app: web.Application) -> None:
    """Answer those that wait for news, so that they do not hold up our end."""
    app[STATE].ending = True
    await app[STATE].tell_proxies()


async def _jobs(app: web.Application) -> AsyncIterator[None]:
    jobs = [asyncio.create_task(job.run(app[STATE])) for job in (ingest, reload)]
    yield
    for job in jobs:
        job.cancel()
    await asyncio.gather(*jobs, return_exceptions=True)
