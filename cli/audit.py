"""`earthflow audit`: search, show, count, follow or export what was decided."""

import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

import typer

from cli.archive import migrate, take_in
from cli.client import Control
from cli.output import Output, RowsOutput, emit, emit_rows
from cli.plain import plain
from cli.remote import control

app = typer.Typer(
    help="The audit: search, show, explain, mark, marks, stats, tail, admin, quarantine, export, import, migrate.",
    no_args_is_help=True,
)
app.command()(migrate)
app.command("import")(take_in)

# Rows of a page of an export; rows of one look of `tail`, and seconds between looks.
PAGE, LOOK, LOOK_SECONDS = 500, 100, 1.0
COLUMNS = (
    "time",
    "tenant",
    "status",
    "provider",
    "model",
    "host",
    "rules",
    "outcome",
    "id",
)

ADMIN_COLUMNS = (
    "at",
    "actor",
    "address",
    "action",
    "object",
    "tenant",
    "outcome",
    "before",
    "after",
)

Tenant = Annotated[str | None, typer.Option("--tenant", help="Of one tenant.")]
Status = Annotated[
    str | None, typer.Option("--status", help="ALLOW, FLAG, REDACT or BLOCK.")
]
Rule = Annotated[
    str | None,
    typer.Option("--rule", help="Where this rule fired, on the call or on its answer."),
]
Provider = Annotated[str | None, typer.Option("--provider", help="To this provider.")]
Host = Annotated[str | None, typer.Option("--host", help="To this host.")]
Model = Annotated[str | None, typer.Option("--model", help="To this model.")]
Reason = Annotated[
    str | None, typer.Option("--reason", help="policy, too_large, distrust, …")
]
Text = Annotated[
    str | None,
    typer.Option("--text", help="Where this text is in the reason or in a rule's id."),
]
Since = Annotated[
    str | None, typer.Option("--from", help="Not before, such as 2026-02-01T00:00:00Z.")
]
Until = Annotated[str | None, typer.Option("--to", help="Before.")]


@app.command()
def search(
    tenant: Tenant = None, status: Status = None, rule: Rule = None, provider: Provider = None, host: Host = None, model: Model = None,
    reason: Reason = None, text: Text = None, since: Since = None, until: Until = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="The most to list.")] = 50,
    output: RowsOutput = "table",
) -> None:  # fmt: skip
    """List the newest exchanges that match."""
    query = _query(locals())
    rows = control().get(f"/v1/audit?{query}&limit={limit}")["audit"]
    emit_rows(
        COLUMNS,
        rows if output.startswith("json") else [_flat(row) for row in rows],
        output,
    )


@app.command()
def show(
    exchange: Annotated[str, typer.Argument(help="The id of a decision.")],
    output: Output = "table",
) -> None:
    """Show one exchange, with its prompt where the audit keeps prompts."""
    emit(control().get(f"/v1/audit/{exchange}"), output)


@app.command()
def explain(
    exchange: Annotated[str, typer.Argument(help="The id of a decision.")],
    output: Output = "table",
) -> None:
    """Say what led to a decision: which rules fired, where, and what else counted."""
    told = control().get(f"/v1/audit/{exchange}/explanation")
    if output == "json":
        emit(told, "json")
        return
    typer.echo(f"{told['status']}  {plain(told['tenant'])}  {told['id']}")
    for sentence in told["why"]:
        typer.echo(plain(sentence))
    for fired in told["rules"]:
        _tell(fired)
    if told["rules_changed"]:
        typer.echo("The tenant's rules have changed since; what is said of rules is of today's.")  # fmt: skip
    if any(fired["where"] for fired in told["rules"]):
        typer.echo(f"\nWhere a rule was wrong: earthflow rules except {told['id']} --rule RULE --reason WHY")  # fmt: skip


def _tell(fired: Mapping[str, Any]) -> None:
    """A rule that fired, on lines of its own."""
    on = "the answer" if fired["on_answer"] else "the call"
    times = "once" if fired["count"] == 1 else f"{fired['count']} times"
    would = ", and would do so if it were enforced" if fired["would"] else ""
    typer.echo()
    typer.echo(plain(f"{fired['rule']}  {fired['action']}, {fired['severity']}, {times} on {on}{would}"))  # fmt: skip
    lines = [fired["message"], *fired["where"]]
    if fired["action_now"]:
        lines.append(f"It is in {fired['source']}: {fired['action_now']}.")
        lines += [f"Changed by {change}" for change in fired["changes"]]
    else:
        lines.append("There is no such rule for this tenant now.")
    for line in filter(None, lines):
        typer.echo(f"  {plain(line)}")


@app.command()
def mark(
    exchange: Annotated[str, typer.Argument(help="The id of a decision.")],
    verdict: Annotated[
        Literal["false-positive", "true-positive", "none"],
        typer.Option("--as", help="What its rules' firing was; none takes it back."),
    ],
    rule: Annotated[
        str | None, typer.Option("--rule", help="Of this rule alone.")
    ] = None,
    note: Annotated[
        str, typer.Option("--note", help="Why; shown to whoever reads the audit.")
    ] = "",
    output: RowsOutput = "table",
) -> None:
    """Say of the rules that fired on an exchange that they were right to, or not."""
    body = {"verdict": verdict.replace("-", "_"), "rule": rule, "note": note}
    found = control().post(f"/v1/audit/{exchange}/marks", body)["marks"]
    emit_rows(("rule", "verdict", "note", "actor", "at"), found, output)


@app.command()
def marks(
    tenant: Tenant = None,
    since: Since = None,
    until: Until = None,
    output: RowsOutput = "table",
) -> None:
    """Count by rule how often it was marked as right to fire, or not."""
    found = control().get(f"/v1/audit/marks?{_query(locals())}")["rules"]
    emit_rows(("rule", "false_positives", "true_positives"), found, output)


@app.command()
def export(
    tenant: Tenant = None, status: Status = None, rule: Rule = None, provider: Provider = None, host: Host = None, model: Model = None,
    reason: Reason = None, text: Text = None, since: Since = None, until: Until = None,
    output: Annotated[Literal["jsonl", "csv"], typer.Option("--output", "-o", help="jsonl or csv.")] = "jsonl",
) -> None:  # fmt: skip
    """Write all exchanges that match, newest first, page by page: any number in flat
    memory.
    """
    query, head = _query(locals()), True
    for page in _pages(control(), query):
        if output == "csv":
            emit_rows(COLUMNS, [_flat(row) for row in page], "csv", head=head)
            head = False
        else:
            emit_rows(COLUMNS, page, "jsonl")


@app.command()
def stats(
    tenant: Tenant = None,
    since: Since = None,
    until: Until = None,
    output: Output = "table",
) -> None:
    """Show counts, rates, and the rules that fired most."""
    emit(control().get(f"/v1/audit/stats?{_query(locals())}"), output)


@app.command()
def tail(
    tenant: Tenant = None,
    status: Status = None,
    rule: Rule = None,
    count: Annotated[
        int | None, typer.Option("--count", help="End after this many.")
    ] = None,
    output: Annotated[
        Literal["text", "jsonl"],
        typer.Option("--output", "-o", help="text or jsonl."),
    ] = "text",
) -> None:
    """Follow decisions as they are made, until Ctrl-C."""
    query, api, shown = _query(locals()), control(), 0
    begun = urlencode({"from": datetime.now(UTC).isoformat()})
    seen: set[str] = set()
    while count is None or shown < count:
        time.sleep(LOOK_SECONDS)
        rows: list[dict[str, Any]] = []
        for page in _pages(api, f"{query}&{begun}", LOOK):
            new = [row for row in page if row["id"] not in seen]
            rows = [*reversed(new), *rows]
            if len(new) < len(page):
                break
        for row in rows[: None if count is None else count - shown]:
            if output == "jsonl":
                emit_rows(COLUMNS, [row], "jsonl")
            else:
                typer.echo(
                    "  ".join(
                        plain(str(value))
                        for name, value in _flat(row).items()
                        if value and name != "id"
                    )
                )
        shown += len(rows)
        seen |= {row["id"] for row in rows}
        # Records arrive nearly in order; one that is a minute older has arrived.
        if rows:
            begun = urlencode(
                {
                    "from": (
                        datetime.fromisoformat(rows[-1]["time"]) - timedelta(minutes=1)
                    ).isoformat()
                }
            )


@app.command()
def quarantine(
    replay: Annotated[bool, typer.Option("--replay", help="Store those that are records for this version of control.")] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="The most to list.")] = 50,
    output: RowsOutput = "table",
) -> None:  # fmt: skip
    """List what arrived and is no record, and why: forged, or of another version."""
    if replay:
        said = control().post("/v1/quarantine/replay", {})
        emit(said, "json" if output.startswith("json") else "table")
        return
    found = control().get(f"/v1/quarantine?limit={limit}")["quarantine"]
    emit_rows(("arrived_at", "entry", "reason", "bytes", "signed"), found, output)


@app.command()
def admin(
    actor: Annotated[str | None, typer.Option("--actor", help="By this key's id; or environment, control, host.")] = None,
    object: Annotated[str | None, typer.Option("--object", help="The id of what was changed.")] = None,
    action: Annotated[str | None, typer.Option("--action", help="Such as keys.revoke, or keys for all of these.")] = None,
    tenant: Tenant = None,
    outcome: Annotated[str | None, typer.Option("--outcome", help="done, forbidden, not_found, …")] = None,
    since: Since = None, until: Until = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="The most to list.")] = 50,
    output: RowsOutput = "table",
) -> None:  # fmt: skip
    """List who changed what, newest first."""
    asked = locals() | {"from": since, "to": until}
    names = ("actor", "object", "action", "tenant", "outcome", "from", "to")
    query = urlencode({name: asked[name] for name in names if asked[name]})
    rows = control().get(f"/v1/audit/admin?{query}&limit={limit}")["entries"]
    emit_rows(ADMIN_COLUMNS, rows, output)


def _query(told: Mapping[str, Any]) -> str:
    names = {"since": "from", "until": "to"}
    sought = (
        "tenant",
        "status",
        "rule",
        "provider",
        "host",
        "model",
        "reason",
        "text",
        "since",
        "until",
    )
    return urlencode(
        {
            names.get(name, name): told[name]
            for name in sought
            if told.get(name) is not None
        }
    )


def _pages(
    api: Control, query: str, limit: int = PAGE
) -> Iterator[list[dict[str, Any]]]:
    cursor: str | None = ""
    while cursor is not None:
        page = api.get(f"/v1/audit?{query}&limit={limit}{cursor}")
        yield page["audit"]
        cursor = f"&{urlencode({'cursor': page['next']})}" if page["next"] else None


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """An exchange as a line or a table row."""
    completion = row["completion"] or {}
    rules = [fired["rule"] for fired in (*row["rules"], *completion.get("rules", ()))]
    outcome = completion.get("outcome", "")
    if missing := row.get("missing"):
        outcome = f"{missing['exchanges']} exchanges are not recorded"
    return {
        **{name: row.get(name) for name in COLUMNS},
        "rules": " ".join(dict.fromkeys(rules)),
        "outcome": outcome,
    }
