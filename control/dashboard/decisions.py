"""Decisions: found by filters that stand in the address, watched as they arrive, and looked into one by one."""

import csv
import io
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlencode

import msgspec
from aiohttp import web
from yarl import URL

from control.api import audit as api
from control.api import tail as api_tail
from control.api.records import shown
from control.auth import WHO
from control.dashboard import render
from control.dashboard.calls import Query, Refused
from control.dashboard.now import RANGES
from control.dashboard.visit import Visit
from control.store.activity import CHOICES
from control.tail import Arrived

PAGE, MOST_CSV = 50, 1000
FILTERS = (*api.FILTERS, *api.EXCLUDED)
# What the API reads that the page's own address says in another way, and what is not part of a search at all.
OWN = ("range", "view", "panel", "cursor", "done")
# How a spreadsheet may take a cell for a formula, in the signs of any width.
FORMULA = re.compile(r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20\u2212]|[\t\r\n]")
CSV = (
    "time", "id", "tenant", "status", "reason", "rules", "provider", "host", "model", "method", "path", "coverage",
    "outcome", "input_tokens", "output_tokens", "duration_ms", "added_ms", "client",
)  # fmt: skip


async def every(visit: Visit) -> web.Response:
    """The newest decisions that match, with counts beside the filters' values."""
    search, unknown = _search(visit.query)
    page = {**search, "limit": str(PAGE)}
    if "cursor" in visit.query:
        page["cursor"] = visit.query["cursor"]
    panel = visit.query.get("panel", "")
    found, choices, views, detail = await visit.both(
        visit.api.get("/v1/audit", page),
        _choices(visit, search),
        visit.ask("audit.read", "/v1/views"),
        _detail(visit, panel) if panel else _nothing(),
    )
    return visit.page(
        "decisions.html",
        found=found if isinstance(found, dict) else {"audit": [], "next": None},
        problem=found if isinstance(found, Refused) else None,
        choices=choices if isinstance(choices, dict) else {},
        views=views["views"] if isinstance(views, dict) else [],
        unknown=unknown,
        chosen=_chosen(visit.query),
        filters=CHOICES,
        ranges=list(RANGES),
        search=str(URL.build(query=_kept(visit.query)))[1:],
        panel=detail if isinstance(detail, dict) else None,
        is_first="cursor" not in visit.query,
    )


async def _nothing() -> None:
    return None


def _kept(query: Query) -> dict[str, str]:
    """The part of an address that is the search."""
    return {name: value for name, value in query.items() if name in FILTERS or name == "range"}  # fmt: skip


def _search(query: Query) -> tuple[dict[str, str], list[str]]:
    """What to ask the API, and what of the address nobody understands any more."""
    search = {name: value for name, value in query.items() if name in FILTERS}
    if "from" not in search and "to" not in search:
        range = RANGES.get(query.get("range", ""))
        if range is not None:
            search["from"] = (datetime.now(UTC) - range.length).isoformat()
    unknown = [name for name in query if name not in FILTERS and name not in OWN]
    return search, unknown


def _chosen(query: Query) -> list[tuple[str, str]]:
    """The filters that are set, for people to take away."""
    return [(name, query[name]) for name in FILTERS if name in query]


async def _choices(visit: Visit, search: Mapping[str, str]) -> dict[str, Any]:
    """Counts beside the filters' values. Those of the only filter that is set are as if it were not, so that others can be chosen."""
    told: dict[str, Any] = await visit.api.get("/v1/audit/choices", search)
    set_ones = [name for name in search if name not in ("tenant", "from", "to")]
    if len(set_ones) == 1 and set_ones[0] in CHOICES:
        without = {name: value for name, value in search.items() if name != set_ones[0]}
        whole = await visit.api.get("/v1/audit/choices", without)
        told["choices"][set_ones[0]] = whole["choices"][set_ones[0]]
        told["whole"] = set_ones[0]
    return told


async def as_csv(visit: Visit) -> web.Response:
    """What is shown, and more of it, as a file for a spreadsheet."""
    search, _ = _search(visit.query)
    found = await visit.api.get("/v1/audit", {**search, "limit": str(MOST_CSV)})
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(CSV)
    for one in found["audit"]:
        writer.writerow([_cell(_flat(one).get(name)) for name in CSV])
    response = render.page(file.getvalue(), kind="text/csv")
    response.headers["Content-Disposition"] = 'attachment; filename="decisions.csv"'
    return response


def _flat(one: Mapping[str, Any]) -> dict[str, Any]:
    """An exchange and how it ended in one line."""
    ending = one.get("completion") or {}
    fired = (*one["rules"], *ending.get("rules", ()))
    rules = " ".join(dict.fromkeys(rule["rule"] for rule in fired))
    return {**ending, **one, "rules": rules, "outcome": ending.get("outcome", "")}


def _cell(value: object) -> object:
    """A cell that no spreadsheet takes for a formula."""
    if isinstance(value, str):
        text = render.plain(value)
        return f"'{text}" if FORMULA.match(text) else text
    return value


async def tail(visit: Visit) -> web.StreamResponse:
    """Rows of decisions that match, as they arrive, as server-sent events."""
    search, _ = _search(visit.query)
    search.pop("to", None)
    url = URL.build(path="/decisions/tail", query=search)
    # Whoever signed in watches, whatever key the request carries.
    cookie = {"Host": visit.request.host, "Cookie": visit.request.headers.get("Cookie", "")}  # fmt: skip
    request = visit.request.clone(rel_url=url, headers=cookie)
    request[WHO] = visit.who
    return await api_tail.stream(request, lambda arrived: _events(visit, arrived))


def _events(visit: Visit, arrived: Arrived) -> str:
    rows = [
        msgspec.json.decode(msgspec.json.encode(shown(row))) for row in arrived.rows
    ]
    told = [_event("row", _row(visit, row)) for row in rows]
    if arrived.skipped:
        told.append(_event("skipped", str(arrived.skipped)))
    return "".join(told)


def _row(visit: Visit, row: Mapping[str, Any]) -> str:
    values = {"one": row, "query": {}, "fresh": True}
    return render.html("row.html", visit.language, values)


def _event(kind: str, text: str) -> str:
    lines = "".join(f"data: {line}\n" for line in text.splitlines())
    return f"event: {kind}\n{lines}\n"


async def one(visit: Visit) -> web.Response:
    """One decision, by itself; or as the panel beside the list."""
    detail = await _detail(visit, visit.named())
    template = "panel.html" if visit.only == "panel" else "decision.html"
    return visit.page(template, panel=detail, prompt=None)


async def _detail(visit: Visit, id: str) -> dict[str, Any]:
    """All that is known of a decision, but for what it takes a reason to open. Raises Refused."""
    row, explanation, marks, changes = await visit.both(
        visit.api.get(f"/v1/audit/{id}", {"prompt": "no"}),
        visit.api.get(f"/v1/audit/{id}/explanation"),
        visit.api.get(f"/v1/audit/{id}/marks"),
        visit.ask("audit.admin", "/v1/audit/admin", {"object": id, "limit": "20"}),
    )
    if isinstance(row, Refused):
        raise row
    return {
        "one": row,
        "why": explanation if isinstance(explanation, dict) else None,
        "marks": {mark["rule"]: mark for mark in marks["marks"]} if isinstance(marks, dict) else {},
        "changes": changes["entries"] if isinstance(changes, dict) else [],
        "curl": f'curl -H "X-API-Key: $EARTHFLOW_KEY" {_origin(visit)}/v1/audit/{id}',
        "steps": _steps(row),
    }  # fmt: skip


def _origin(visit: Visit) -> str:
    return f"{visit.request.url.origin()}"


def _steps(row: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What happened when: moments since the call's first byte."""
    ending, began = row.get("completion"), datetime.fromisoformat(row["time"])
    told = [(render.clock(began), f"decided: {row['status']}")]
    if ending is None:
        return told
    if ending["first_byte_ms"] is not None:
        told.append((_after(ending["first_byte_ms"]), "first byte of the answer"))
    told.append((_after(ending["duration_ms"]), f"over: {ending['outcome']}"))
    return told


def _after(ms: float) -> str:
    return f"+{timedelta(milliseconds=ms).total_seconds():.3f} s"


async def prompt(visit: Visit) -> web.Response:
    """A kept prompt, which is opened with a reason; both are in the audit of administration."""
    id, reason = visit.named(), visit.fields.get("reason", "").strip()
    detail = await _detail(visit, id)
    if not reason:
        return visit.page("decision.html", 400, panel=detail, prompt=None, problem="Say why you open it: it is written down.")  # fmt: skip
    opened = await visit.api.get(f"/v1/audit/{id}", {"reason": reason[:200]})
    return visit.page("decision.html", panel=detail, prompt=opened.get("prompt"), problem="")  # fmt: skip


async def mark(visit: Visit) -> web.Response:
    """Say whether a rule was right to fire."""
    id, fields = visit.named(), visit.fields
    body = {
        "verdict": fields.get("verdict", ""),
        "rule": fields.get("rule", ""),
        "note": fields.get("note", "")[:200],
    }
    await visit.api.send("POST", f"/v1/audit/{id}/marks", body)
    return visit.to(f"/decisions/{id}", {"done": "marked"})


async def save_view(visit: Visit) -> web.Response:
    """Keep a search under a name."""
    fields = visit.fields
    query = dict(parse_qsl(fields.get("query", "")))
    body = {
        "name": fields.get("name", "").strip(),
        "query": urlencode(_kept(query)),
        "shared": fields.get("shared") == "yes",
    }
    await visit.api.send("POST", "/v1/views", body)
    return visit.to("/decisions", {**_kept(query), "done": "view-saved"})


async def delete_view(visit: Visit) -> web.Response:
    """Delete a view of one's own."""
    await visit.api.send("DELETE", f"/v1/views/{visit.named()}")
    return visit.to("/decisions", {"done": "view-deleted"})
