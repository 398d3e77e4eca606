"""Clients: how each is set up to go through Earthflow, and which providers and models were seen."""

from datetime import UTC, datetime, timedelta

from aiohttp import web

from control.dashboard.visit import Visit

SEEN = timedelta(days=7)
# What each reads its proxy and its certificate authority from (docs/guide.md, clients).
TOOLS = (
    (
        "Claude Code, Codex, Gemini CLI",
        "NODE_EXTRA_CA_CERTS",
        "anthropic openai google",
    ),
    ("OpenAI and Anthropic SDK for Python", "SSL_CERT_FILE", "openai anthropic"),
    ("OpenAI and Anthropic SDK for Node", "NODE_EXTRA_CA_CERTS", "openai anthropic"),
    ("curl", "CURL_CA_BUNDLE", ""),
    ("Python requests, LangChain", "REQUESTS_CA_BUNDLE", ""),
)


async def show(visit: Visit) -> web.Response:
    """The page."""
    tenant = visit.some("tenant")
    since = (datetime.now(UTC) - SEEN).isoformat()
    choices, tenants = await visit.both(
        visit.ask("audit.read", "/v1/audit/choices", {"from": since, **tenant}),
        visit.ask("tenants.read", "/v1/tenants", {"limit": "200"}),
    )
    found = choices["choices"] if choices else {}
    return visit.page(
        "clients.html",
        tools=TOOLS,
        hosts=found.get("host", []),
        models=found.get("model", []),
        providers=found.get("provider", []),
        tenants=tenants["tenants"] if tenants else [],
        tenant=visit.query.get("tenant", ""),
    )
