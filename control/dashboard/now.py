"""Now: how much is decided, what was blocked and why, what is new, and whether anything is wrong with Earthflow itself."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from aiohttp import web
from yarl import URL

from control.dashboard.calls import Refused
from control.dashboard.charts import STATUSES, Column, Limit
from control.dashboard.visit import Visit


class Range(NamedTuple):
    """A range of time back from now: how long, in which steps, and how a step is called."""

    length: timedelta
    step: str
    label: str


RANGES: Mapping[str, Range] = {
    "1h": Range(timedelta(hours=1), "1m", "%H:%M"),
    "24h": Range(timedelta(hours=24), "1h", "%H:%M"),
    "7d": Range(timedelta(days=7), "6h", "%d %b"),
    "30d": Range(timedelta(days=30), "1d", "%d %b"),
}
# The guide's thresholds (9.2).
BLOCK_WARNING, BLOCK_CRITICAL, ERROR_WARNING, ADDED_WARNING = 0.10, 0.30, 0.01, 500.0
SOON_DAYS, LATE_DAYS = 30, 7  # before its end the CA is to be renewed
LAG_SECONDS = 30  # a record is in PostgreSQL within one or two
NEW = timedelta(days=1)
READ = ("sign_ins.", "audit.export", "rules.export", "tries.", "views.")


class Sign(NamedTuple):
    """A light of the strip: its name, how it stands (good, warn, bad, off), and in words."""

    name: str
    state: str
    words: str
    href: str = ""


async def show(visit: Visit) -> web.Response:
    """The page."""
    wanted = visit.query.get("range", "24h")
    range = wanted if wanted in RANGES else "24h"
    tenant = visit.some("tenant")
    length, step, label = RANGES[range]
    now = datetime.now(UTC)
    since = {"from": (now - length).isoformat(), **tenant}
    activity, rules, changes, strip = await visit.both(
        visit.api.get("/v1/audit/activity", {**since, "step": step}),
        visit.api.get("/v1/audit/rules", since),
        visit.ask("audit.admin", "/v1/audit/admin", {"limit": "40", **tenant}),
        signs(visit),
    )
    return visit.page(
        "now.html",
        ranges=list(RANGES),
        range=range,
        tenant=visit.query.get("tenant", ""),
        signs=strip,
        figures=_figures(activity, length),
        charts=_charts(activity, label, tenant),
        rules=_of(rules, "rules"),
        fresh=_fresh(_of(rules, "rules"), now),
        changes=_changed(_of(changes, "entries")),
        problem=activity if isinstance(activity, Refused) else None,
    )


def _of(told: Any, name: str) -> list[Any]:
    return list(told[name]) if isinstance(told, dict) else []


def _changed(entries: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The last entries that tell of a change, and not of who came and read."""
    return [
        one
        for one in entries
        if not one["action"].startswith(READ) and not one["after"].get("dry_run")
    ][:6]


def _fresh(rules: Sequence[Mapping[str, Any]], now: datetime) -> list[Mapping[str, Any]]:  # fmt: skip
    """Rules that fired for the first time since yesterday."""
    return [
        one
        for one in rules
        if one["count"] and datetime.fromisoformat(one["first_at"]) > now - NEW
    ]


def _figures(activity: Any, length: timedelta) -> dict[str, Any]:
    """The figures at the top, each with the state of its threshold."""
    if isinstance(activity, Refused):
        return {}
    whole = activity["whole"]
    total = sum(whole["by_status"].values())
    ended = sum(whole["by_outcome"].values())
    blocked = whole["by_status"].get("BLOCK", 0) / total if total else 0.0
    failed = whole["by_outcome"].get("upstream_error", 0) / ended if ended else 0.0
    added = whole["added_ms"]
    return {
        "total": total,
        "rate": total / length.total_seconds(),
        "by_status": {one: whole["by_status"].get(one, 0) for one in reversed(STATUSES)},
        "blocked": blocked,
        "blocked_state": "bad" if blocked > BLOCK_CRITICAL else "warn" if blocked > BLOCK_WARNING else "good",
        "failed": failed,
        "failed_state": "warn" if failed > ERROR_WARNING else "good",
        "added": added,
        "added_state": "warn" if added and added[1] > ADDED_WARNING else "good",
        "input_tokens": whole["input_tokens"],
        "output_tokens": whole["output_tokens"],
    }  # fmt: skip


def _charts(activity: Any, label: str, tenant: Mapping[str, str]) -> dict[str, Any]:
    """What the charts are drawn from, step by step."""
    if isinstance(activity, Refused):
        return {}
    step = timedelta(seconds=activity["step_seconds"])
    columns, rows = [], []
    for point in activity["points"]:
        at = datetime.fromisoformat(point["at"])
        counts = [point["by_status"].get(one, 0) for one in STATUSES]
        closer = {"from": at.isoformat(), "to": (at + step).isoformat(), **tenant}
        columns.append(Column(at.strftime(label), counts, _decisions(closer)))
        total, ended = sum(counts), sum(point["by_outcome"].values())
        failed = point["by_outcome"].get("upstream_error", 0)
        rows.append(
            {
                "at": at,
                "counts": counts,
                "total": total,
                "blocked": counts[0] / total if total else None,
                "failed": failed / ended if ended else None,
                "added": point["added_ms"][1] if point["added_ms"] else None,
            }
        )
    return {
        "columns": columns,
        "rows": rows,
        "labels": [one.label for one in columns],
        "statuses": STATUSES,
        "block_limits": [Limit(BLOCK_WARNING, "10 %"), Limit(BLOCK_CRITICAL, "30 %")],
        "error_limits": [Limit(ERROR_WARNING, "1 %")],
        "added_limits": [Limit(ADDED_WARNING, "500 ms")],
    }


def _decisions(query: Mapping[str, str]) -> str:
    return str(URL.build(path="/decisions", query=dict(query)))


async def signs(visit: Visit) -> list[Sign]:
    """The strip of health: what works, and in words what does not."""
    if not visit.may("fleet.read"):
        return []
    health, proxies, ending, hooks = await visit.both(
        _health(visit),
        visit.ask("fleet.read", "/v1/proxies"),
        visit.ask("fleet.read", "/v1/keys/ending"),
        visit.ask("webhooks.read", "/v1/webhooks", {"limit": "200"}),
    )
    told = [_check(name, health.get(name, {})) for name in ("postgres", "redis", "ingest", "rules")]  # fmt: skip
    told += _of_proxies(proxies["proxies"] if proxies else [])
    if hooks and hooks["webhooks"]:
        told.append(_of_webhooks(hooks["webhooks"]))
    if ending and ending["in_use"]:
        told.append(Sign("keys", "warn", f"{ending['in_use']} keys in use end within a week.", "/tenants"))  # fmt: skip
    return told


async def _health(visit: Visit) -> dict[str, Any]:
    try:
        told = await visit.api.get("/health/ready")
    except Refused as refused:
        told = refused.body
    checks: dict[str, Any] = told.get("checks", {})
    return checks


NAMES = {"postgres": "PostgreSQL", "redis": "Redis", "ingest": "Ingest", "rules": "Rules"}  # fmt: skip
STATES = {"OK": "good", "DEGRADED": "warn", "DOWN": "bad"}


def _check(name: str, check: Mapping[str, Any]) -> Sign:
    state = STATES.get(check.get("status", ""), "off")
    href = "/rules" if name == "rules" else "/system"
    return Sign(NAMES[name], state, check.get("detail", ""), href)


def _of_proxies(proxies: Sequence[Mapping[str, Any]]) -> list[Sign]:
    """Of all proxies together: how many are there, what waits in them, and how long their CA lasts."""
    if not proxies:
        return [Sign("Proxies", "bad", "No proxy told of itself in the last week.", "/system")]  # fmt: skip
    away = [one["proxy"] for one in proxies if one["away"]]
    there = [one for one in proxies if not one["away"]]
    words = f"{len(there)} of {len(proxies)}" + (f"; away: {', '.join(away[:3])}" if away else "")  # fmt: skip
    told = [Sign("Proxies", "bad" if not there else "warn" if away else "good", words, "/system")]  # fmt: skip
    told.append(_spool(there))
    lasting = [one["certificate_days"] for one in there if one["certificate_days"] is not None]  # fmt: skip
    if lasting:
        days = min(lasting)
        state = "bad" if days < LATE_DAYS else "warn" if days < SOON_DAYS else "good"
        told.append(Sign("CA", state, f"{days:.0f} days left of the issuer", "/system"))
    return told


def _of_webhooks(hooks: Sequence[Mapping[str, Any]]) -> Sign:
    waiting, dead = sum(one["waiting"] for one in hooks), sum(one["dead"] for one in hooks)  # fmt: skip
    failing = [one["id"] for one in hooks if one["state"] != "working"]
    words = f"{waiting} wait"
    words += f", {dead} given up" if dead else ""
    words += f"; failing: {', '.join(failing[:3])}" if failing else ""
    return Sign("Webhooks", "warn" if dead or failing else "good", words, "/delivery")


def _spool(there: Sequence[Mapping[str, Any]]) -> Sign:
    """What waits in the proxies, or is lost."""
    unsent = sum(one["unsent_records"] for one in there)
    oldest = max((one["oldest_unsent"] or 0.0 for one in there), default=0.0)
    full = [one["proxy"] for one in there if one["spool_full"]]
    lost = sum(one["unrecorded"] for one in there)
    state, words = "good", f"{unsent} records wait"
    if oldest > LAG_SECONDS:
        state, words = "warn", f"{words}, the oldest for {oldest:.0f} s; they are on the proxies' disks"  # fmt: skip
    if full:
        state, words = "bad", f"full on {', '.join(full[:3])}"
    if lost:
        state, words = "bad", f"{lost} exchanges could not be recorded"
    return Sign("Spool", state, words, "/system")
