"""`earthflow keys`: list, create, revoke and rotate the keys of tenants and of staff, which is every other role."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from cli import master_keys
from cli.confirm import Yes, confirm
from cli.errors import USAGE, CommandError
from cli.listing import Limit, Search, query_of
from cli.output import Output, RowsOutput, emit, emit_rows
from cli.remote import control
from cli.secrets_file import CLIENT_KEY, follow_rotation, write_private
from cli.settings import UpSettings
from contract.keys import BINDABLE, StaffRole

app = typer.Typer(
    help="Keys: list, create, revoke, rotate; the master key.", no_args_is_help=True
)
app.add_typer(master_keys.app, name="master")

COLUMNS = (
    "id",
    "role",
    "tenants",
    "name",
    "status",
    "created_at",
    "last_used_at",
    "not_after",
    "replaced_by",
)
Tenant = Annotated[
    str | None,
    typer.Argument(
        help="The tenant's id; without one: keys of staff, which is every other role."
    ),
]
Name = Annotated[str, typer.Option("--name", help="What it is for.")]


@app.command("list")
def list_(
    tenant: Tenant = None,
    search: Search = None,
    limit: Limit = None,
    output: RowsOutput = "table",
) -> None:
    """List keys, ended ones as well, never their secrets, which are stored nowhere."""
    query = query_of(search=search, limit=limit)
    emit_rows(COLUMNS, control().get(f"{_of(tenant)}?{query}")["keys"], output)


@app.command()
def create(
    tenant: Tenant = None,
    role: Annotated[
        StaffRole | None,
        typer.Option("--role", help="Without a tenant: what the key may do."),
    ] = None,
    bound_to: Annotated[
        list[str] | None,
        typer.Option(
            "--tenant",
            help="With --role: a tenant that the key of an operator or auditor is bound to. May be repeated.",
        ),
    ] = None,
    name: Name = "",
    expires_in: Annotated[
        int | None,
        typer.Option("--expires-in", help="Seconds until it ends by itself."),
    ] = None,
    output: Output = "table",
) -> None:
    """Create a key. It is shown here and never again."""
    if (tenant is None) == (role is None):
        roles = ", ".join(get_args(StaffRole))
        raise CommandError(f"Name a tenant's id, or --role, one of {roles}.", USAGE)
    if bound_to and role not in BINDABLE:
        raise CommandError(f"--tenant goes with --role {' or '.join(BINDABLE)}.", USAGE)
    body: dict[str, object] = {"name": name, "expires_in": expires_in}
    body |= {"role": role} if role else {}
    body |= {"tenants": bound_to} if bound_to else {}  # an older control knows of none
    emit(control().post(_of(tenant), body), output)


@app.command()
def revoke(
    key: Annotated[str, typer.Argument(help="The key's id.")],
    tenant: Annotated[
        str | None,
        typer.Option(
            "--tenant",
            help="The tenant's id; without one: a key of staff.",
        ),
    ] = None,
    yes: Yes = False,
    output: Output = "table",
) -> None:
    """Revoke a key on every proxy, now."""
    confirm(f"This ends the key {key} at once, for good.", yes=yes)
    emit(control().delete(f"{_of(tenant)}/{key}"), output)


@app.command()
def rotate(
    tenant_id: Annotated[
        str | None,
        typer.Option(
            "--tenant-id", help="Rotate the keys of one tenant (omit: of all)."
        ),
    ] = None,
    revoke_after: Annotated[
        int, typer.Option("--revoke-after", help="Seconds before the old keys end.")
    ] = 3600,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show whose keys would be rotated.")
    ] = False,
    rotate_master: Annotated[
        bool,
        typer.Option(
            "--rotate-master", help="Rotate the master key instead; with --new-key."
        ),
    ] = False,
    new_key: Annotated[
        str,
        typer.Option("--new-key", help="The new master key, or - for standard input."),
    ] = "",
    to: Annotated[
        Path | None,
        typer.Option(
            "--to",
            help="A new file for the new keys, as JSON, instead of showing them. For timers, whose output is logged.",
        ),
    ] = None,
    output: RowsOutput = "table",
) -> None:
    """Replace keys; the old ones still work for a while.

    New keys are shown here and never again.
    """
    if rotate_master and (dry_run or tenant_id):
        raise CommandError(
            "--rotate-master rotates the master key: it goes without --dry-run and --tenant-id.",
            USAGE,
        )
    if rotate_master:
        master_keys.rotate(new_key, "json" if output == "json" else "table")
        return
    if new_key:
        raise CommandError("--new-key belongs to --rotate-master.", USAGE)
    body = {"tenant_id": tenant_id, "revoke_after": revoke_after, "dry_run": dry_run}
    columns = (
        ("tenant",) if dry_run else ("tenant", "new", "api_key", "old", "old_until")
    )
    if to is not None and not dry_run:
        _rotate_into(to, body)
        return
    rotated = control().post("/v1/keys/rotate", body)["rotated"]
    if not dry_run:
        _follow(rotated)
    emit_rows(columns, rotated, output)


def _rotate_into(path: Path, body: Mapping[str, object]) -> None:
    """Rotate, and put the new keys into a private file, which is made before. Raises CommandError."""
    if path.exists():
        raise CommandError(
            f"{path} has keys already. Give them to their users, delete it, and run this again; nothing was rotated."
        )
    write_private(path, "")
    try:
        rotated = control().post("/v1/keys/rotate", body)["rotated"]
    except CommandError:
        path.unlink()
        raise
    write_private(path, json.dumps(rotated, indent=2) + "\n")
    _follow(rotated)
    typer.echo(f"Rotated {len(rotated)} keys; the new ones are in {path}.", err=True)


def _follow(rotated: Iterable[Mapping[str, Any]]) -> None:
    state = UpSettings().state_dir
    if follow_rotation(state, rotated):
        typer.echo(
            f"`earthflow run` uses the new key in {state / CLIENT_KEY}.", err=True
        )


def _of(tenant: str | None) -> str:
    return f"/v1/tenants/{tenant}/keys" if tenant else "/v1/keys"
