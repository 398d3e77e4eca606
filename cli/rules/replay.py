"""`earthflow rules replay`: what recorded exchanges would have become under other rules."""

import json
import re
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.errors import USAGE, CommandError
from cli.output import Output, emit_table
from cli.remote import control
from cli.rules.layers import Exceptions, Own, Whose, text_of

AGO = re.compile(r"(\d{1,4})([mhd])")
UNITS = {"m": "minutes", "h": "hours", "d": "days"}
# Why it is not known what an exchange would have become exactly.
REASONS = {
    "new_rules": "rules are new, or look for something else: without its prompt nobody knows what they would find",
    "exceptions": "a new exception may take away what was found: what it was is not recorded",
    "places": "whether what is found can be replaced where it stands, or stood in an earlier turn, is not recorded",
    "other_rules": "it was recorded under rules that are not known any more (other files, or other known secrets), and without its prompt",
    "prompt_cut": "its prompt is kept in part",
    "kept_by_older": "its prompt was kept by an earlier version, which kept less",
    "kept_by_newer": "its prompt was kept by a later version",
    "head": "what stands in its head is not kept: a rule found something there, or could now",
    "many_findings": "its record has more findings than are recorded with their places",
    "signed": "some of its texts were bound to a signature that was known, and some to one that was not",
    "stream": "what a stream would have become cannot be said: it was judged piece by piece, and cut where a rule blocked",
    "refused_before": "it held what an earlier call was refused for, which its proxy remembered",
    "record_cut": "its record was cut",
}
NAMED = 10  # exchanges that a table names


def replay(
    file: Annotated[
        Path | None,
        typer.Argument(
            help="A rule file, or - for standard input; what the layer would say.",
            allow_dash=True,
        ),
    ] = None,
    version: Annotated[
        int | None,
        typer.Option("--version", help="Or the layer as of this version."),
    ] = None,
    tenant: Whose = None,
    own: Own = False,
    exceptions: Exceptions = False,
    since: Annotated[
        str, typer.Option("--since", help="From when on: 30m, 12h, 7d, or a time.")
    ] = "7d",
    until: Annotated[
        str | None, typer.Option("--until", help="Up to when; by default now.")
    ] = None,
    output: Output = "table",
) -> None:
    """Replay recorded exchanges with a layer that says something else. Nothing is changed.

    Where prompts are kept (AUDIT_HASH_PROMPTS=false) calls are judged again; else by what records hold.
    """
    if (file is None) == (version is None):
        raise CommandError("Give a rule file, or --version.", USAGE)
    if tenant is None and (own or exceptions):
        raise CommandError("--own and --exceptions go with --tenant: whose it is.", USAGE)  # fmt: skip
    body = {
        "layer": "own" if own else "exceptions" if exceptions else "tenant" if tenant else "all",
        "tenant": tenant,
        "text": text_of(file) if file is not None else None,
        "version": version,
        "since": time_of(since),
        "until": time_of(until) if until is not None else None,
    }  # fmt: skip
    told = _all(body)
    if output == "json":
        typer.echo(json.dumps(told, ensure_ascii=False))
    else:
        _print(told)


def time_of(written: str) -> str:
    """A time as the API takes it: `7d` is that long ago. Raises CommandError."""
    ago = AGO.fullmatch(written)
    try:
        if ago is not None:
            before = timedelta(**{UNITS[ago[2]]: int(ago[1])})
            return (datetime.now(UTC) - before).isoformat()
        return datetime.fromisoformat(written).isoformat()
    except (ValueError, OverflowError):
        raise CommandError(f"{written} is no time: write 7d, 12h, 30m or 2026-02-01T00:00:00Z.", USAGE) from None  # fmt: skip


def _all(body: dict[str, Any]) -> dict[str, Any]:
    """All pages of a replay as one."""
    api, cursor, shows = control(), None, sys.stderr.isatty()
    outcomes, unknown = Counter[tuple[str, ...]](), Counter[str]()
    exchanges, again = 0, 0
    changed: list[dict[str, Any]] = []
    while True:
        page = api.post("/v1/rules/replays", {**body, "cursor": cursor})
        exchanges += page["exchanges"]
        again += page["judged_again"]
        for one in page["outcomes"]:
            outcomes[one["of"], one["was"], one["low"], one["high"]] += one["count"]
        unknown.update(page["unknown"])
        changed += page["changed"]
        cursor = page["next"]
        if shows:
            typer.echo(f"\r{exchanges:,} exchanges", err=True, nl=cursor is None)
        if cursor is None:
            break
    names = ("of", "was", "low", "high")
    return {
        "from": page["from"],
        "to": page["to"],
        "exchanges": exchanges,
        "judged_again": again,
        "outcomes": [{**dict(zip(names, key, strict=True)), "count": count} for key, count in sorted(outcomes.items())],
        "unknown": dict(unknown),
        "changed": changed,
    }  # fmt: skip


def _print(told: dict[str, Any]) -> None:
    """A table of what becomes of what, and in sentences what is not known."""
    rows = [
        (
            "calls" if one["of"] == "request" else "answers",
            one["was"],
            one["low"] if one["low"] == one["high"] else f"{one['low']} to {one['high']}",
            f"{one['count']:,}",
        )
        for one in told["outcomes"]
    ]  # fmt: skip
    title = f"{told['from'][:16]} to {told['to'][:16]} UTC"
    if rows:
        emit_table(title, ("of", "was", "would be", "how many"), rows)
    again = f"{told['judged_again']:,} of them judged again by their kept prompts"
    typer.echo(f"{told['exchanges']:,} exchanges, {again}.")
    for reason, count in sorted(told["unknown"].items(), key=lambda one: -one[1]):
        typer.echo(f"{count:,} not known exactly: {REASONS.get(reason, reason)}.")
    surely = sum(one["count"] for one in told["outcomes"] if one["low"] == one["high"] != one["was"])  # fmt: skip
    typer.echo(f"{surely:,} would surely be something else{':' if surely else '.'}")
    for one in told["changed"][:NAMED]:
        typer.echo(f"  {one['id']}  {one['tenant']}  {one['was']} -> {one['now']}")
