"""`earthflow keys`: the keys of tenants; more, other and fewer of them."""

from typing import Annotated

import typer

from cli.output import Output, RowsOutput, emit, emit_rows
from cli.remote import control

app = typer.Typer(help="Keys of tenants: list, create, revoke, rotate.", no_args_is_help=True)

COLUMNS = ("id", "status", "created_at", "not_after", "replaced_by")
Tenant = Annotated[str, typer.Argument(help="The tenant's id.")]


@app.command("list")
def list_(tenant: Tenant, output: RowsOutput = "table") -> None:
    """The keys that a tenant has and had; never their secrets, which are nowhere."""
    emit_rows(COLUMNS, control().get(f"/v1/tenants/{tenant}/keys")["keys"], output)


@app.command()
def create(
    tenant: Tenant,
    expires_in: Annotated[int | None, typer.Option("--expires-in", help="Seconds until it ends by itself.")] = None,
    output: Output = "table",
) -> None:
    """One more key. It is shown here and never again."""
    emit(control().post(f"/v1/tenants/{tenant}/keys", {"expires_in": expires_in}), output)


@app.command()
def revoke(tenant: Tenant, key: Annotated[str, typer.Argument(help="The key's id.")], output: Output = "table") -> None:
    """End a key on every proxy, now."""
    emit(control().delete(f"/v1/tenants/{tenant}/keys/{key}"), output)


@app.command()
def rotate(
    tenant_id: Annotated[str | None, typer.Option("--tenant-id", help="Rotate the keys of one tenant (omit: of all).")] = None,
    revoke_after: Annotated[int, typer.Option("--revoke-after", help="Seconds before the old keys end.")] = 3600,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say whose keys would be rotated.")] = False,
    output: RowsOutput = "table",
) -> None:
    """New keys in place of old ones, which work on for a while. The new ones are shown here and never again."""
    body = {"tenant_id": tenant_id, "revoke_after": revoke_after, "dry_run": dry_run}
    columns = ("tenant",) if dry_run else ("tenant", "new", "api_key", "old", "old_until")
    emit_rows(columns, control().post("/v1/keys/rotate", body)["rotated"], output)
