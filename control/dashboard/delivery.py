"""Delivery: webhooks, what waits for them, each attempt, and what was given up."""

from aiohttp import web

from control.dashboard.calls import Refused
from control.dashboard.visit import Visit

PAGE = 50


async def every(visit: Visit) -> web.Response:
    """All webhooks, with what waits for each."""
    wanted = visit.some("after")
    found = await visit.api.get("/v1/webhooks", {**wanted, "limit": str(PAGE)})
    return visit.page("delivery.html", found=found)


async def one(visit: Visit) -> web.Response:
    """A webhook and its deliveries."""
    return await _one(visit)


async def _one(visit: Visit, tried: object = None) -> web.Response:
    id = visit.named()
    wanted = visit.some("cursor")
    hook, log = await visit.both(
        visit.api.get(f"/v1/webhooks/{id}"),
        visit.api.get(f"/v1/webhooks/{id}/deliveries", {**wanted, "limit": str(PAGE)}),
    )
    for told in (hook, log):
        if isinstance(told, Refused):
            raise told
    return visit.page("webhook.html", hook=hook, found=log, tried=tried)


async def test(visit: Visit) -> web.Response:
    """Send a test, and show its result."""
    return await _one(visit, await visit.api.send("POST", f"/v1/webhooks/{visit.named()}/test", {}))  # fmt: skip


async def replay(visit: Visit) -> web.Response:
    """Send again: one delivery, or all that were given up."""
    id, delivery = visit.named(), visit.fields.get("delivery")
    body = {"delivery": delivery} if delivery else {}
    await visit.api.send("POST", f"/v1/webhooks/{id}/replay", body)
    return visit.to(f"/delivery/{id}", {"done": "sent-again"})
