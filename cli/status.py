"""`earthflow status`: the state of an Earthflow on one screen."""

import json
import urllib.parse
from datetime import UTC, datetime, timedelta
from typing import Any

import typer

from cli.client import Control, Refused
from cli.errors import CommandError
from cli.output import Output, emit
from cli.remote import control

DEGRADED = 3
HOUR = timedelta(hours=1)


def status(output: Output = "table") -> None:
    """Show health, tenants, and the last hour. Ends with 3 where something is wrong."""
    api = control()
    told = _told(api)
    if output == "json":
        typer.echo(json.dumps(told))
    else:
        emit({name: _line(value) for name, value in told.items()}, "table")
    if told["health"]["status"] != "OK":
        raise typer.Exit(DEGRADED)


def _told(api: Control) -> dict[str, Any]:
    since = urllib.parse.urlencode({"from": (datetime.now(UTC) - HOUR).isoformat()})
    stats = api.get(f"/v1/audit/stats?{since}")
    rotation = api.get("/v1/master")
    health = api.look("/health/ready")
    if not isinstance(health, dict) or "checks" not in health:
        raise CommandError(f"{api.url} is not an Earthflow: it has no health.")
    return {
        "url": api.url,
        "version": health["version"],
        "health": {
            "status": health["status"],
            **{name: check["status"] for name, check in health["checks"].items()},
        },
        "certificates": _certificates(api, health["checks"]),
        "backlog": _backlog(api),
        "keys_ending": _ending(_of(api, "/v1/keys/ending")),
        "tenants": len(api.get("/v1/tenants")["tenants"]),
        "last_hour": {
            "exchanges": stats["total"],
            **stats["by_status"],
            "failed": stats["by_outcome"].get("upstream_error", 0),
        },
        "top_rules": {
            one["rule"]: one["count"] for one in stats["top_triggered_rules"][:5]
        },
        "master_key": {"state": rotation["state"], "in_use": rotation["in_use"]},
    }


def _of(api: Control, path: str) -> dict[str, Any]:
    """What is at a path; nothing where control is of a version that has not got it."""
    try:
        found: dict[str, Any] = api.get(path)
    except Refused as error:
        if error.code != "not_found":
            raise
        return {"proxies": [], "count": None, "in_use": None}
    return found


def _ending(told: dict[str, Any]) -> dict[str, Any]:
    """Keys that end within a week, and how many of them are in use."""
    return {"in_a_week": told["count"], "in_use": told["in_use"]}


def _backlog(api: Control) -> dict[str, Any]:
    """What waits in the proxies, and which of them are away."""
    proxies = _of(api, "/v1/proxies")["proxies"]
    oldest = [one["oldest_unsent"] for one in proxies if one["oldest_unsent"]]
    return {
        "proxies": sum(not one["away"] for one in proxies),
        "away": sum(one["away"] for one in proxies),
        "unsent": sum(one["unsent_records"] for one in proxies),
        "oldest_seconds": round(max(oldest, default=0)),
        "spool_bytes": sum(one["spool_bytes"] for one in proxies),
        "unrecorded": sum(one["unrecorded"] for one in proxies),
        "in_flight": sum(one["in_flight"] for one in proxies),
    }


def _certificates(api: Control, checks: dict[str, Any]) -> dict[str, int]:
    """Days that certificates last: the root's, and those of a proxy where one is asked."""
    roots = api.get("/v1/ca")["roots"]
    days = {
        name: left
        for name, left in checks.get("certificates", {}).items()
        if name.endswith("_days")
    }
    for root in roots:
        if root["state"] == "in use":
            left = datetime.fromisoformat(root["not_after"]) - datetime.now(UTC)
            days["root_days"] = left.days
    return days


def _line(value: Any) -> Any:
    return (
        "  ".join(f"{name} {one}" for name, one in value.items()) or "none"
        if isinstance(value, dict)
        else value
    )
