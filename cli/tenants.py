"""`earthflow tenants`: who may call, by which rules, and how much."""

from typing import Annotated, Any, Literal

import typer

from cli.confirm import Yes, confirm
from cli.errors import USAGE, CommandError
from cli.listing import Limit, Search, query_of
from cli.output import Output, RowsOutput, emit, emit_rows
from cli.remote import control

app = typer.Typer(
    help="Tenants: list, show, create, update, delete.", no_args_is_help=True
)

Preset = Annotated[
    str | None, typer.Option("--preset", help="default, strict or monitor.")
]
Name = Annotated[str | None, typer.Option("--name", help="What people call it.")]
TokensPerDay = Annotated[
    int | None, typer.Option("--max-tokens-per-day", help="As providers count them.")
]
Retention = Annotated[
    int | None,
    typer.Option(
        "--retention-days",
        help="Days that its audit is kept, if fewer than AUDIT_RETENTION_DAYS.",
    ),
]
PerMinute = Annotated[
    int | None, typer.Option("--max-requests-per-minute", help="Its own limit.")
]
UnknownHosts = Annotated[
    str | None,
    typer.Option(
        "--unknown-hosts", help="tunnel or deny: hosts that are not an AI provider's."
    ),
]
Labels = Annotated[
    list[str] | None,
    typer.Option(
        "--label",
        help="NAME=VALUE, several times for several; replaces all labels.",
    ),
]
COLUMNS = (
    "id",
    "name",
    "rules_preset",
    "max_requests_per_minute",
    "keys",
    "created_at",
)


@app.command("list")
def list_(
    search: Search = None,
    state: Annotated[
        Literal["live", "ended", "all"],
        typer.Option("--state", help="live, ended or all."),
    ] = "live",
    limit: Limit = None,
    output: RowsOutput = "table",
) -> None:
    """List tenants, oldest first."""
    query = query_of(search=search, state=state, limit=limit)
    emit_rows(COLUMNS, control().get(f"/v1/tenants?{query}")["tenants"], output)


@app.command()
def show(tenant: str, output: Output = "table") -> None:
    """Show one tenant."""
    emit(control().get(f"/v1/tenants/{tenant}"), output)


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What people call it.")],
    id: Annotated[
        str | None,
        typer.Option("--id", help="The tenant's id; by default a random one."),
    ] = None,
    preset: Preset = None,
    max_requests_per_minute: PerMinute = None,
    max_tokens_per_day: TokensPerDay = None,
    retention_days: Retention = None,
    unknown_hosts: UnknownHosts = None,
    label: Labels = None,
    output: Output = "table",
) -> None:
    """Create a tenant. Its key is shown here and never again."""
    body = {
        "name": name,
        "id": id,
        **_said(
            None,
            preset,
            max_requests_per_minute,
            max_tokens_per_day,
            retention_days,
            unknown_hosts,
            label,
        ),
    }
    emit(control().post("/v1/tenants", body), output)


@app.command()
def update(
    tenant: str,
    name: Name = None,
    preset: Preset = None,
    max_requests_per_minute: PerMinute = None,
    max_tokens_per_day: TokensPerDay = None,
    retention_days: Retention = None,
    unknown_hosts: UnknownHosts = None,
    label: Labels = None,
    output: Output = "table",
) -> None:
    """Change the given values, and leave the rest."""
    body = _said(
        name,
        preset,
        max_requests_per_minute,
        max_tokens_per_day,
        retention_days,
        unknown_hosts,
        label,
    )
    if not body:
        raise CommandError(
            "Nothing to change. For example: --max-requests-per-minute 5000", USAGE
        )
    emit(control().patch(f"/v1/tenants/{tenant}", body), output)


@app.command()
def delete(
    tenant: str,
    yes: Yes = False,
    output: Output = "table",
) -> None:
    """End a tenant: its keys stop at once, its audit stays."""
    confirm(f"This ends {tenant} for good.", yes=yes, typed=tenant)
    emit(control().delete(f"/v1/tenants/{tenant}"), output)


def _said(
    name: str | None,
    preset: str | None,
    per_minute: int | None,
    tokens: int | None,
    retention: int | None,
    unknown_hosts: str | None,
    labels: list[str] | None,
) -> dict[str, Any]:
    values = {
        "name": name,
        "rules_preset": preset,
        "max_requests_per_minute": per_minute,
        "max_tokens_per_day": tokens,
        "retention_days": retention,
        "unknown_hosts": unknown_hosts,
        "labels": dict(map(_label, labels)) if labels else None,
    }
    return {key: value for key, value in values.items() if value is not None}


def _label(written: str) -> tuple[str, str]:
    name, equals, value = written.partition("=")
    if not equals:
        raise CommandError(f"A label is NAME=VALUE, not {written}.", USAGE)
    return name, value
