"""`earthflow webhooks`: where decisions are sent, and the log of deliveries."""

from typing import Annotated

import typer

from cli.confirm import Yes, confirm
from cli.output import Output, RowsOutput, emit, emit_rows
from cli.remote import control

app = typer.Typer(
    help="Webhooks: list, create, update, delete, test, deliveries, replay, new-secret.",
    no_args_is_help=True,
)

COLUMNS = ("id", "url", "statuses", "state", "failures", "tried_again_at", "disabled")
LOG = (
    "id",
    "state",
    "events",
    "attempts",
    "status",
    "error",
    "took_ms",
    "created_at",
    "due_at",
)
NOT_DELIVERED = 3
Id = Annotated[str, typer.Argument(help="The webhook's id.")]
Url = Annotated[str | None, typer.Option("--url", help="https://…")]
Statuses = Annotated[
    list[str] | None,
    typer.Option(
        "--status", help="ALLOW, FLAG, REDACT, BLOCK; several times for several."
    ),
]


@app.command("list")
def list_(
    tenant: Annotated[str, typer.Argument(help="The tenant's id.")],
    output: RowsOutput = "table",
) -> None:
    """List a tenant's webhooks."""
    emit_rows(
        COLUMNS, control().get(f"/v1/tenants/{tenant}/webhooks")["webhooks"], output
    )


@app.command()
def create(
    tenant: Annotated[str, typer.Argument(help="The tenant's id.")],
    url: Annotated[str, typer.Argument(help="https://…")],
    status: Statuses = None,
    output: Output = "table",
) -> None:
    """Send decisions to this URL: by default those with BLOCK.

    The secret is shown here and never again.
    """
    emit(
        control().post(
            f"/v1/tenants/{tenant}/webhooks",
            {"url": url, "statuses": status or ["BLOCK"]},
        ),
        output,
    )


@app.command()
def update(
    webhook: Id, url: Url = None, status: Statuses = None, output: Output = "table"
) -> None:
    """Change the given values; a webhook that is disabled or rests is tried again."""
    said = {"url": url, "statuses": status or None}
    emit(
        control().patch(
            f"/v1/webhooks/{webhook}",
            {name: value for name, value in said.items() if value is not None},
        ),
        output,
    )


@app.command()
def delete(webhook: Id, yes: Yes = False, output: Output = "table") -> None:
    """Delete a webhook, its waiting deliveries and its log."""
    confirm(f"This removes {webhook}, what waits for it and its log.", yes=yes)
    emit(control().delete(f"/v1/webhooks/{webhook}"), output)


@app.command()
def test(webhook: Id, output: Output = "table") -> None:
    """Send a message of type `test` now. Ends with 3 where it was not accepted."""
    got = control().post(f"/v1/webhooks/{webhook}/test", {})
    emit(got, output)
    if not got["delivered"]:
        raise typer.Exit(NOT_DELIVERED)


@app.command()
def deliveries(
    webhook: Id,
    limit: Annotated[
        int, typer.Option("--limit", min=1, max=1000, help="The most to list.")
    ] = 50,
    output: RowsOutput = "table",
) -> None:
    """List deliveries with their results, newest first."""
    emit_rows(
        LOG,
        control().get(f"/v1/webhooks/{webhook}/deliveries?limit={limit}")["deliveries"],
        output,
    )


@app.command()
def replay(
    webhook: Id,
    delivery: Annotated[
        str | None,
        typer.Argument(help="The delivery's id; by default all that were given up."),
    ] = None,
    output: Output = "table",
) -> None:
    """Send again: one delivery, or all that were given up."""
    emit(
        control().post(f"/v1/webhooks/{webhook}/replay", {"delivery": delivery}), output
    )


@app.command("new-secret")
def new_secret(webhook: Id, output: Output = "table") -> None:
    """Make a new secret.

    It is shown here and never again; the old one also signs for a day.
    """
    emit(control().post(f"/v1/webhooks/{webhook}/secret", {}), output)
