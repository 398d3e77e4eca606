"""Fix from the hit: the smallest exception for a false finding, with what else it would let pass, before it is made; and its undoing."""

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from control.dashboard.calls import Refused
from control.dashboard.visit import Visit

UNDO_SECONDS = 60  # for which the page offers to undo at once; later it is undone from the decision
WAYS = ("value", "tool", "role", "path", "anywhere")


async def show(visit: Visit) -> web.Response:
    """The form."""
    return await _form(visit, {**visit.query})


async def propose(visit: Visit) -> web.Response:
    """What the exception would be, and what it would let pass; nothing is changed."""
    return await _form(visit, visit.fields, await _made(visit, dry_run=True))


async def apply(visit: Visit) -> web.Response:
    """Make it. It takes effect on every proxy at once."""
    made = await _made(visit, dry_run=False)
    if isinstance(made, Refused):
        return await _form(visit, visit.fields, made)
    return visit.page("fixed.html", id=visit.named(), made=made, seconds=UNDO_SECONDS)


async def undo(visit: Visit) -> web.Response:
    """Take it out again."""
    await visit.api.send("DELETE", f"/v1/audit/{visit.named()}/exceptions")
    return visit.to(f"/decisions/{visit.named()}", {"done": "undone"})


async def _made(visit: Visit, *, dry_run: bool) -> Any:
    fields = visit.fields
    body: dict[str, Any] = {
        "by": fields.get("by", "value"),
        "reason": fields.get("reason", "").strip(),
        "dry_run": dry_run,
    }
    body |= {name: fields[name] for name in ("rule", "value") if fields.get(name)}
    if not dry_run and fields.get("after", "").isdigit():
        body["after"] = int(fields["after"])
    try:
        return await visit.api.send("POST", f"/v1/audit/{visit.named()}/exceptions", body)  # fmt: skip
    except Refused as refused:
        return refused


def _place(row: Mapping[str, Any], rule: str) -> dict[str, str]:
    """Where the rule found something first, or any rule did: what broader exceptions would cover."""
    fired = (*row["rules"], *((row["completion"] or {}).get("rules", ())))
    found = [place for one in fired if rule in ("", one["rule"]) for place in one.get("findings", ())]  # fmt: skip
    first = found[0] if found else {}
    return {"tool": first.get("tool", ""), "role": first.get("role", ""), "path": row["path"]}  # fmt: skip


async def _form(
    visit: Visit, fields: dict[str, str], proposal: Any = None
) -> web.Response:
    id = visit.named()
    row, explanation = await visit.both(
        visit.api.get(f"/v1/audit/{id}", {"prompt": "no"}),
        visit.api.get(f"/v1/audit/{id}/explanation"),
    )
    if isinstance(row, Refused):
        raise row
    refused = proposal if isinstance(proposal, Refused) else None
    return visit.page(
        "fix.html",
        refused.status if refused else 200,
        one=row,
        why=explanation if isinstance(explanation, dict) else None,
        fields=fields,
        ways=WAYS,
        place=_place(row, fields.get("rule", "")),
        refused=refused,
        proposal=proposal if isinstance(proposal, dict) else None,
    )
