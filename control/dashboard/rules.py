"""Rules: how often each fired, what people said of it, the layers with their history, and a box to try a text."""

import difflib
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from control.dashboard.calls import Refused
from control.dashboard.now import RANGES
from control.dashboard.visit import Visit, id_of

KINDS = {
    "all": "/v1/rules/layers/all",
    "tenant": "/v1/tenants/{}/rules/layer",
    "own": "/v1/tenants/{}/rules/own",
    "exceptions": "/v1/tenants/{}/rules/exceptions",
}
MOST_LINES = 2_000  # that are compared: some tens of milliseconds
CHANGED_BY = {"all": "rules.write", "tenant": "rules.write", "own": "rules.tighten"}


async def every(visit: Visit) -> web.Response:
    """The page."""
    return await _page(visit)


async def _page(visit: Visit, tried: Any = None, status: int = 200) -> web.Response:
    wanted = visit.query.get("range", "7d")
    range = wanted if wanted in RANGES else "7d"
    tenant = visit.some("tenant")
    since = {"from": (datetime.now(UTC) - RANGES[range].length).isoformat(), **tenant}
    hits, marks, layers, files, health = await visit.both(
        visit.api.get("/v1/audit/rules", since),
        visit.api.get("/v1/audit/marks", tenant),
        visit.api.get("/v1/rules/layers", tenant),
        _files(visit),
        visit.ask("audit.read", "/health/ready"),
    )
    return visit.page(
        "rules.html",
        status,
        range=range,
        ranges=list(RANGES),
        tenant=visit.query.get("tenant", ""),
        hits=hits["rules"] if isinstance(hits, dict) else [],
        marks={one["rule"]: one for one in marks["rules"]} if isinstance(marks, dict) else {},
        layers=layers["layers"] if isinstance(layers, dict) else [],
        files=files if isinstance(files, dict) else None,
        check=health["checks"]["rules"] if isinstance(health, dict) else None,
        tried=tried if isinstance(tried, dict) else None,
        refused=tried if isinstance(tried, Refused) else None,
        fields=visit.fields,
    )  # fmt: skip


async def _files(visit: Visit) -> Any:
    """The operator's own files, where somebody asks to see them: that is an entry of the audit."""
    return await visit.api.get("/v1/rules") if visit.query.get("files") else None


async def try_text(visit: Visit) -> web.Response:
    """What the rules in force say of a text. Nothing of it is stored."""
    fields = visit.fields
    body: dict[str, Any] = {
        "text": fields.get("text", ""),
        "answer": fields.get("answer") == "yes",
    }
    if fields.get("tenant"):
        body["tenant"] = fields["tenant"]
    elif fields.get("preset"):
        body["preset"] = fields["preset"]
    try:
        tried = await visit.api.send("POST", "/v1/rules/tries", body)
    except Refused as refused:
        return await _page(visit, refused, refused.status)
    return await _page(visit, tried)


async def layer(visit: Visit) -> web.Response:
    """A layer: its text, who changed it when and why, and what two versions differ in."""
    return await _layer(visit)


async def change(visit: Visit) -> web.Response:
    """Prove a layer, or put it in force; or go back to one of its versions."""
    path, fields = _path(visit), visit.fields
    dry = fields.get("do") == "prove"
    body: dict[str, Any] = {"reason": fields.get("reason", "").strip(), "dry_run": dry}
    if fields.get("after", "").isdigit():
        body["after"] = int(fields["after"])
    if fields.get("do") == "revert" and fields.get("version", "").isdigit():
        body["version"] = int(fields["version"])
    else:
        body["text"] = fields.get("text", "").replace("\r\n", "\n")
    try:
        await visit.api.send("POST", path, body)
    except Refused as refused:
        return await _layer(visit, refused)
    if dry:
        replay = await _replay(visit, body["text"])
        return await _layer(visit, proven=True, replay=replay)
    return visit.to(visit.request.path, {**visit.query, "done": "layer-changed"})


async def _replay(visit: Visit, text: str) -> Any:
    """What the newest recorded exchanges would have become: one page of a replay."""
    if not visit.may("rules.replay"):
        return None
    kind, tenant = visit.named("kind"), visit.query.get("tenant")
    body: dict[str, Any] = {"layer": kind, "text": text}
    body |= {"tenant": tenant} if tenant else {}
    try:
        return await visit.api.send("POST", "/v1/rules/replays", body)
    except Refused as refused:
        return refused


def _path(visit: Visit) -> str:
    kind, tenant = visit.named("kind"), visit.query.get("tenant", "")
    if kind not in KINDS or (kind != "all" and not tenant):
        raise Refused(404, "not_found", "There is no such layer.", "Rules has them all.")  # fmt: skip
    return KINDS[kind].format(id_of(tenant) if tenant else "")


async def _layer(
    visit: Visit, refused: Refused | None = None, *, proven: bool = False, replay: Any = None
) -> web.Response:  # fmt: skip
    path, wanted = _path(visit), visit.query.get("version", "")
    shown = {"version": wanted} if wanted.isdigit() else {}
    now, then = await visit.both(visit.api.get(path), visit.api.get(path, shown))
    for one in (now, then):
        if isinstance(one, Refused):
            raise one
    kind = visit.named("kind")
    typed = visit.fields.get("text")
    return visit.page(
        "layer.html",
        refused.status if refused else 200,
        layer=now,
        then=then,
        kind=kind,
        tenant=visit.query.get("tenant", ""),
        may=kind in CHANGED_BY and visit.may(CHANGED_BY[kind]),
        difference=_diff(then["text"], now["text"]) if shown else [],
        typed=typed.replace("\r\n", "\n") if typed is not None else now["text"],
        reason=visit.fields.get("reason", ""),
        after=visit.fields.get("after", now["version"]),
        changes=_diff(now["text"], typed.replace("\r\n", "\n")) if typed is not None else [],
        refused=refused,
        proven=proven,
        replay=replay if isinstance(replay, dict) else None,
        replay_refused=replay if isinstance(replay, Refused) else None,
    )  # fmt: skip


def _diff(before: str, after: str) -> list[tuple[str, str]]:
    """What differs, line by line, each with how: added, removed, same, place. Of long texts nothing is compared: it would take seconds."""
    if before.count("\n") + after.count("\n") > MOST_LINES:
        return [("place", f"(more than {MOST_LINES:,} lines: not compared)")]
    kinds = {"+": "added", "-": "removed", "@": "place"}
    lines = list(difflib.unified_diff(before.splitlines(), after.splitlines(), n=3, lineterm=""))  # fmt: skip
    return [(kinds.get(one[:1], "same"), one) for one in lines[2:]]
