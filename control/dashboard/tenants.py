"""Tenants and keys: what each may use and uses, and keys that are made, rotated and revoked. A key's text is shown once."""

from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web

from contract.keys import BINDABLE
from control.dashboard.calls import Refused
from control.dashboard.visit import Visit

PAGE = 50
# Fields of a tenant, and how they are written.
TEXTS = ("name", "rules_preset", "unknown_hosts")
NUMBERS = ("max_requests_per_minute", "max_tokens_per_day", "retention_days")
STAFF = ("admin", "operator", "auditor", "auditor+prompts", "metrics")


async def every(visit: Visit) -> web.Response:
    """The tenants, by pages."""
    return await _every(visit)


async def _every(visit: Visit, refused: Refused | None = None) -> web.Response:
    wanted = visit.some("search", "after", "state")
    found = await visit.api.get("/v1/tenants", {**wanted, "limit": str(PAGE)})
    return visit.page(
        "tenants.html",
        refused.status if refused else 200,
        found=found,
        refused=refused,
        fields=visit.fields,
    )


async def create(visit: Visit) -> web.Response:
    """A new tenant; its first key is shown once."""
    fields = visit.fields
    body: dict[str, Any] = {
        "name": fields.get("name", ""),
        "rules_preset": fields.get("rules_preset", "default"),
    }
    body |= {"id": fields["id"]} if fields.get("id") else {}
    try:
        made = await visit.api.send("POST", "/v1/tenants", body, once=_once(visit))
    except Refused as refused:
        return await _every(visit, refused)
    return visit.page("made.html", key=made["api_key"], name=made["name"], back=f"/tenants/{made['id']}", old=None)  # fmt: skip


async def one(visit: Visit) -> web.Response:
    """A tenant with its limits, its use and its keys."""
    return await _one(visit)


async def _one(visit: Visit, refused: Refused | None = None) -> web.Response:
    id = visit.named()
    now = datetime.now(UTC)
    day = now.replace(hour=0, minute=0, second=0, microsecond=0)
    tenant, keys, today, hour, hooks = await visit.both(
        visit.api.get(f"/v1/tenants/{id}"),
        visit.api.get(f"/v1/tenants/{id}/keys"),
        visit.api.get("/v1/audit/activity", {"tenant": id, "from": day.isoformat(), "step": "1h"}),
        visit.api.get("/v1/audit/activity", {"tenant": id, "from": (now - timedelta(hours=1)).isoformat(), "step": "1m"}),
        visit.ask("webhooks.read", f"/v1/tenants/{id}/webhooks"),
    )  # fmt: skip
    if isinstance(tenant, Refused):
        raise tenant
    return visit.page(
        "tenant.html",
        refused.status if refused else 200,
        tenant=tenant,
        keys=keys["keys"][::-1] if isinstance(keys, dict) else [],
        tokens=_tokens(today),
        busiest=_busiest(hour),
        today=sum(today["whole"]["by_status"].values()) if isinstance(today, dict) else 0,
        hooks=hooks["webhooks"] if isinstance(hooks, dict) else [],
        refused=refused,
        fields=visit.fields,
    )  # fmt: skip


def _tokens(today: Any) -> int:
    if not isinstance(today, dict):
        return 0
    whole = today["whole"]
    tokens: int = whole["input_tokens"] + whole["output_tokens"]
    return tokens


def _busiest(hour: Any) -> int:
    """The calls of the busiest minute of the last hour."""
    points = hour["points"] if isinstance(hour, dict) else []
    return max((sum(one["by_status"].values()) for one in points), default=0)


async def change(visit: Visit) -> web.Response:
    """Change what was changed in the form. Where somebody else changed the same meanwhile, nothing is, and the page says so."""
    id, fields = visit.named(), visit.fields
    now = await visit.api.get(f"/v1/tenants/{id}")
    changes: dict[str, Any] = {}
    for name in (*TEXTS, *NUMBERS):
        if name not in fields or fields[name] == fields.get(f"was_{name}"):
            continue
        if _written(now[name]) != fields.get(f"was_{name}"):
            message = f"Somebody changed {name} meanwhile, to {_written(now[name]) or 'nothing'}; nothing was changed."  # fmt: skip
            return await _one(visit, Refused(409, "changed_meanwhile", message, "Look at it, and send it again."))  # fmt: skip
        changes[name] = _value(name, fields[name])
    if changes:
        try:
            await visit.api.send("PATCH", f"/v1/tenants/{id}", changes)
        except Refused as refused:
            return await _one(visit, refused)
    return visit.to(f"/tenants/{id}", {"done": "tenant-changed"})


def _written(value: object) -> str:
    return "" if value is None else str(value)


def _value(name: str, text: str) -> object:
    """A field as the API wants it; what is no number it refuses itself."""
    if name not in NUMBERS:
        return text
    if not text.strip():
        return None
    digits = text.strip().replace(",", "").replace("\u202f", "")
    return int(digits) if digits.isdigit() and len(digits) < 20 else text


async def end(visit: Visit) -> web.Response:
    """End a tenant, whose name is typed."""
    id = visit.named()
    if (refused := _untyped(visit, id)) is not None:
        return await _one(visit, refused)
    await visit.api.send("DELETE", f"/v1/tenants/{id}")
    return visit.to("/tenants", {"done": "tenant-ended"})


def _untyped(visit: Visit, name: str) -> Refused | None:
    """Why nothing is done, where the name was not typed as it is."""
    if visit.fields.get("typed", "").strip() == name:
        return None
    return Refused(400, "not_typed", f"Nothing was done: type {name} to confirm.")


def _once(visit: Visit) -> str:
    """What a form is sent once by: sent again, as by reloading, it gets the same answer."""
    once = visit.fields.get("once", "")
    return f"dashboard-{once}" if once.isascii() and once.replace("-", "").isalnum() else ""  # fmt: skip


def _lifetime(fields: dict[str, str]) -> dict[str, int]:
    days = fields.get("days", "").strip()
    return {"expires_in": int(days) * 86_400} if days.isdigit() and len(days) < 6 else {}  # fmt: skip


async def create_key(visit: Visit) -> web.Response:
    """A new key, whose text is shown once."""
    id, fields = visit.named(), visit.fields
    body = {"name": fields.get("name", ""), **_lifetime(fields)}
    try:
        made = await visit.api.send("POST", f"/v1/tenants/{id}/keys", body, once=_once(visit))  # fmt: skip
    except Refused as refused:
        return await _one(visit, refused)
    return visit.page("made.html", key=made["api_key"], name=made["name"] or made["id"], back=f"/tenants/{id}", old=None)  # fmt: skip


async def rotate(visit: Visit) -> web.Response:
    """Replace a tenant's keys; the old ones still work for an hour, or as long as is chosen."""
    id, hours = visit.named(), visit.fields.get("hours", "1")
    if (refused := _untyped(visit, id)) is not None:
        return await _one(visit, refused)
    wait = int(hours) * 3600 if hours.isdigit() and len(hours) < 5 else 3600
    body = {"tenant_id": id, "revoke_after": wait}
    try:
        made = await visit.api.send("POST", "/v1/keys/rotate", body, once=_once(visit))
    except Refused as refused:
        return await _one(visit, refused)
    (rotated,) = made["rotated"]
    return visit.page("made.html", key=rotated["api_key"], name=id, back=f"/tenants/{id}", old=rotated)  # fmt: skip


async def revoke(visit: Visit) -> web.Response:
    """Revoke a key, whose id is typed."""
    id, key = visit.named(), visit.named("key")
    if (refused := _untyped(visit, key)) is not None:
        return await _one(visit, refused)
    await visit.api.send("DELETE", f"/v1/tenants/{id}/keys/{key}")
    return visit.to(f"/tenants/{id}", {"done": "key-revoked"})


async def staff(visit: Visit) -> web.Response:
    """The keys of all other roles."""
    return await _staff(visit)


async def _staff(visit: Visit, refused: Refused | None = None) -> web.Response:
    wanted = visit.some("search", "after")
    found = await visit.api.get("/v1/keys", {**wanted, "limit": str(PAGE)})
    return visit.page(
        "staff.html",
        refused.status if refused else 200,
        found=found,
        roles=STAFF,
        refused=refused,
        fields=visit.fields,
    )


async def create_staff(visit: Visit) -> web.Response:
    """A new key of staff, whose text is shown once."""
    fields = visit.fields
    body: dict[str, Any] = {"name": fields.get("name", ""), "role": fields.get("role", ""), **_lifetime(fields)}  # fmt: skip
    bound = fields.get("tenants", "").replace(",", " ").split()
    if bound and fields.get("role") in BINDABLE:
        body["tenants"] = bound
    try:
        made = await visit.api.send("POST", "/v1/keys", body, once=_once(visit))
    except Refused as refused:
        return await _staff(visit, refused)
    return visit.page("made.html", key=made["api_key"], name=made["name"] or made["id"], back="/staff", old=None)  # fmt: skip


async def revoke_staff(visit: Visit) -> web.Response:
    """Revoke a key of staff, whose id is typed."""
    key = visit.named("key")
    if (refused := _untyped(visit, key)) is not None:
        return await _staff(visit, refused)
    await visit.api.send("DELETE", f"/v1/keys/{key}")
    return visit.to("/staff", {"done": "key-revoked"})
