"""`earthflow rules put`, `get`, `history`, `revert` and `layers`: rules that control keeps, beside the operator's files."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.client import Refused
from cli.errors import USAGE, CommandError
from cli.output import Output, RowsOutput, emit, emit_rows
from cli.remote import control
from cli.rules.sources import INVALID

Whose = Annotated[
    str | None,
    typer.Option("--tenant", help="The layer of this tenant; by default that for all."),
]
Own = Annotated[
    bool,
    typer.Option("--own", help="The tenant's own layer, which only tightens."),
]
Exceptions = Annotated[
    bool,
    typer.Option("--exceptions", help="The exceptions that were made for the tenant."),
]
Reason = Annotated[str, typer.Option("--reason", help="Why; the history shows it.")]
After = Annotated[
    int | None,
    typer.Option("--after", help="Only if this version is in force."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only prove it.")]
COLUMNS = ("layer", "tenant", "version", "bytes", "reason", "actor", "at")
VERSIONS = ("version", "reason", "actor", "at")


def put(
    file: Annotated[
        Path,
        typer.Argument(help="A rule file, or - for standard input.", allow_dash=True),
    ],
    reason: Reason,
    tenant: Whose = None,
    own: Own = False,
    after: After = None,
    dry_run: DryRun = False,
    output: Output = "table",
) -> None:
    """Put a layer of rules in force on every proxy, once it and its tests are proven with all other rules."""
    text = text_of(file)
    body = {"text": text, "reason": reason, "after": after, "dry_run": dry_run}
    _change(path_of(tenant, own=own), body, output)


def revert(
    version: Annotated[int, typer.Argument(help="The version to go back to.")],
    reason: Reason,
    tenant: Whose = None,
    own: Own = False,
    after: After = None,
    dry_run: DryRun = False,
    output: Output = "table",
) -> None:
    """Put an earlier version of a layer in force again, as a new version."""
    body = {"version": version, "reason": reason, "after": after, "dry_run": dry_run}
    _change(path_of(tenant, own=own), body, output)


def get(
    tenant: Whose = None,
    own: Own = False,
    exceptions: Exceptions = False,
    version: Annotated[
        int | None, typer.Option("--version", help="Of an earlier version.")
    ] = None,
    output: Output = "table",
) -> None:
    """Print the text of a layer, for a file."""
    query = f"?version={version}" if version is not None else ""
    path = path_of(tenant, own=own, exceptions=exceptions)
    found = control().get(path + query)
    if output == "json":
        emit(found, output)
    else:
        typer.echo(found["text"], nl=False)


def history(
    tenant: Whose = None,
    own: Own = False,
    exceptions: Exceptions = False,
    output: RowsOutput = "table",
) -> None:
    """List the versions of a layer: when, by whom, and why."""
    found = control().get(path_of(tenant, own=own, exceptions=exceptions))
    emit_rows(VERSIONS, found["history"], output)


def layers(
    tenant: Annotated[str | None, typer.Option("--tenant", help="Only this tenant's.")] = None,
    output: RowsOutput = "table",
) -> None:  # fmt: skip
    """List all layers, with the version of each that is in force."""
    query = f"?tenant={tenant}" if tenant is not None else ""
    emit_rows(COLUMNS, control().get(f"/v1/rules/layers{query}")["layers"], output)


def text_of(file: Path) -> str:
    """A rule file, or standard input. Raises CommandError."""
    try:
        return sys.stdin.read() if str(file) == "-" else file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{file} cannot be read: {error}", USAGE) from None


def path_of(tenant: str | None, *, own: bool, exceptions: bool = False) -> str:
    """Where the API has a layer. Raises CommandError."""
    if own and exceptions:
        raise CommandError("--own and --exceptions are two layers; name one.", USAGE)
    kind = "own" if own else "exceptions" if exceptions else "layer"
    if tenant is not None:
        return f"/v1/tenants/{tenant}/rules/{kind}"
    if kind != "layer":
        raise CommandError(f"--{kind} goes with --tenant: whose it is.", USAGE)
    return "/v1/rules/layers/all"


def _change(path: str, body: Mapping[str, object], output: Output) -> None:
    """Have a layer changed, or only proven, and say what is in force."""
    try:
        layer: dict[str, Any] = control().post(path, body)
    except Refused as error:
        if error.code == "bad_rules":
            raise CommandError(str(error), INVALID) from None
        raise
    if output == "json":
        emit(layer, output)
        return
    stays = f"version {layer['version']} of it stays in force"
    done = f"version {layer['version']} is in force; each proxy uses it once it has built its rules"
    typer.echo(f"{layer['source']}: {f'proven; {stays}' if body['dry_run'] else done}")
