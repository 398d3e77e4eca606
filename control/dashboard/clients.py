"""Clients: how each is set up to go through Earthflow, who has called, and who has not."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web

from control.dashboard.visit import Visit

SEEN, MOST_TENANTS = timedelta(days=7), 200
# What each reads the certificate authority from; `earthflow run` sets all of them (cli/run.py).
TOOLS = (
    ("Claude Code, Codex, Gemini CLI", "NODE_EXTRA_CA_CERTS"),
    ("OpenAI, Anthropic: SDK for Python", "SSL_CERT_FILE"),
    ("OpenAI, Anthropic: SDK for Node", "NODE_EXTRA_CA_CERTS"),
    ("curl", "CURL_CA_BUNDLE"),
    ("Python requests, LangChain", "REQUESTS_CA_BUNDLE"),
)


async def show(visit: Visit) -> web.Response:
    """The page."""
    tenant = visit.some("tenant")
    since = (datetime.now(UTC) - SEEN).isoformat()
    choices, tenants = await visit.both(
        visit.ask("audit.read", "/v1/audit/choices", {"from": since, **tenant}),
        visit.ask("tenants.read", "/v1/tenants", {"limit": str(MOST_TENANTS)}),
    )
    found = choices["choices"] if choices else {}
    there = tenants["tenants"] if tenants else []
    wanted = visit.query.get("tenant", "")
    keys = await visit.ask("keys.read", f"/v1/tenants/{wanted}/keys") if _is(there, wanted) else None  # fmt: skip
    return visit.page(
        "clients.html",
        tools=TOOLS,
        hosts=found.get("host", []),
        models=found.get("model", []),
        seen=_seen(there, found.get("tenant", [])),
        tenants=there,
        tenant=wanted,
        keys=[one for one in keys["keys"] if one["status"] != "ended"] if keys else [],
    )


def _is(tenants: Sequence[Mapping[str, Any]], wanted: str) -> bool:
    """Whether it is one of these, and no part of another path."""
    return any(one["id"] == wanted for one in tenants)


def _seen(
    tenants: Sequence[Mapping[str, Any]], counted: Sequence[Mapping[str, Any]]
) -> list[tuple[str, int]]:
    """Tenants and how often each called, those that did not first."""
    counts = {one["value"]: one["count"] for one in counted}
    return sorted(((one["id"], counts.get(one["id"], 0)) for one in tenants), key=lambda one: one[1])  # fmt: skip
