"""All routes of the API, on one screen, and what starts and stops with it."""

import asyncio
from collections.abc import AsyncIterator

from aiohttp import web

from control import health, metrics
from control.api import audit, internal, keys, masters, rules, tenants, webhooks
from control.errors import errors
from control.jobs import deliver, follow, ingest, reload, retain
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
            web.get("/v1/tenants/{id}/webhooks", webhooks.of_tenant),
            web.post("/v1/tenants/{id}/webhooks", webhooks.create),
            web.get("/v1/webhooks/{id}", webhooks.show),
            web.patch("/v1/webhooks/{id}", webhooks.change),
            web.delete("/v1/webhooks/{id}", webhooks.delete),
            web.get("/v1/webhooks/{id}/deliveries", webhooks.deliveries),
            web.post("/v1/webhooks/{id}/test", webhooks.test),
            web.post("/v1/webhooks/{id}/replay", webhooks.replay),
            web.post("/v1/webhooks/{id}/secret", webhooks.new_secret),
            web.post("/v1/keys/rotate", keys.rotate),
            web.get("/v1/keys", keys.of_nobody),
            web.post("/v1/keys", keys.create_for_nobody),
            web.delete("/v1/keys/{key}", keys.revoke_of_nobody),
            web.get("/v1/master", masters.status),
            web.post("/v1/master/rotate", masters.rotate),
            web.post("/v1/master/verify", masters.verify),
            web.post("/v1/master/finalize", masters.finalize),
            web.post("/v1/master/abort", masters.abort),
            web.get("/v1/rules", rules.export),
            web.get("/v1/dashboard/metrics", metrics.metrics),
            web.get("/v1/audit", audit.search),
            web.get("/v1/audit/stats", audit.stats),
            web.post("/v1/audit/import", audit.take_in),
            web.get("/v1/audit/{id}", audit.show),
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
    app[STATE].sender.start()
    jobs = [asyncio.create_task(job.run(app[STATE])) for job in (ingest, reload, follow, deliver, retain)]
    yield
    for job in jobs:
        job.cancel()
    await asyncio.gather(*jobs, return_exceptions=True)
    await app[STATE].sender.close()
