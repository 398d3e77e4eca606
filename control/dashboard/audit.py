"""Audit: who changed what, what was set aside, and how to take records away."""

from aiohttp import web

from control.api.admin_audit import FILTERS
from control.dashboard.calls import Refused
from control.dashboard.visit import Visit

PAGE = 50
SHOWN = ("action", "actor", "object", "tenant", "outcome", "request", "from", "to")


async def entries(visit: Visit) -> web.Response:
    """Who changed what, newest first."""
    wanted = visit.some(*FILTERS, "cursor")
    found, settings = await visit.both(
        visit.api.get("/v1/audit/admin", {**wanted, "limit": str(PAGE)}),
        visit.ask("settings.read", "/v1/settings"),
    )
    if isinstance(found, Refused):
        raise found
    there = {one["name"]: one["value"] for one in settings["settings"]} if settings else {}  # fmt: skip
    return visit.page(
        "audit.html",
        found=found,
        kept=there.get("AUDIT_RETENTION_DAYS", ""),
        chosen=[(name, visit.query[name]) for name in FILTERS if name in visit.query],
        filters=SHOWN,
        is_first="cursor" not in visit.query,
    )


async def quarantine(visit: Visit) -> web.Response:
    """What arrived and is no record."""
    wanted = visit.some("cursor")
    found = await visit.api.get("/v1/quarantine", {**wanted, "limit": str(PAGE)})
    return visit.page("quarantine.html", found=found)


async def replay(visit: Visit) -> web.Response:
    """Try again what was set aside: one entry, or all."""
    entry = visit.fields.get("entry")
    body = {"entry": entry} if entry else {}
    done = await visit.api.send("POST", "/v1/quarantine/replay", body)
    told = {"done": "replayed", "stored": str(done["stored"]), "left": str(done["left"])}  # fmt: skip
    return visit.to("/audit/quarantine", told)
