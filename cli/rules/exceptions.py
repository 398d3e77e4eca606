"""`earthflow rules except`: the smallest exception for what a rule found, from a decision; shown, confirmed, and undone."""

import sys
from typing import Annotated, Any, Literal

import typer

from cli.client import Control, Refused
from cli.confirm import Yes, confirm
from cli.errors import USAGE, CommandError
from cli.output import Output, emit
from cli.remote import control

By = Annotated[
    Literal["value", "anywhere", "tool", "path", "role"],
    typer.Option(
        "--for",
        help="The value where it stood, or anywhere; or all that the rule finds there.",
    ),
]
DAYS = 7  # that control looks back


def except_(
    id: Annotated[str, typer.Argument(help="The exchange, as `earthflow audit search` lists it.")],
    by: By = "value",
    reason: Annotated[str | None, typer.Option("--reason", help="Why; the layer's history shows it.")] = None,
    rule: Annotated[str | None, typer.Option("--rule", help="The rule, where several fired.")] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Take out the exceptions that were made from this exchange.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what it would be.")] = False,
    yes: Yes = False,
    output: Output = "table",
) -> None:  # fmt: skip
    """Make the smallest exception for what a rule found in an exchange. A value is read from standard input where the prompt
    is not kept; only its hash under the tenant's key is stored.
    """
    api, path = control(), f"/v1/audit/{id}/exceptions"
    if undo:
        if dry_run:
            raise CommandError("--undo goes without --dry-run.", USAGE)
        undone = api.delete(path)
        emit(undone, output) if output == "json" else typer.echo(
            f"{undone['removed']} taken out; version {undone['version']} takes effect on every proxy."
        )
        return
    if reason is None:
        raise CommandError("Say why with --reason.", USAGE)
    if not (yes or dry_run or sys.stdin.isatty()):
        raise CommandError("There is no terminal to ask; use --yes, after a look with --dry-run.", USAGE)  # fmt: skip
    body = {"by": by, "reason": reason, "rule": rule, "dry_run": True}
    proposed, body = _proposed(api, path, body)
    if not (output == "json" and (dry_run or yes)):
        _show(proposed)
    if dry_run:
        emit(proposed, output) if output == "json" else None
        return
    confirm("This takes effect on every proxy.", yes=yes)
    made = api.post(path, {**body, "dry_run": False, "after": proposed["version"]})
    if output == "json":
        emit(made, output)
        return
    typer.echo(
        f"Version {made['version']} of {made['layer']} takes effect on every proxy. Undo: earthflow rules except {id} --undo"
    )


def _proposed(
    api: Control, path: str, body: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The exception as control proposes it, and the body that does; the value is asked for where control does not know it."""
    try:
        return api.post(path, body), body
    except Refused as error:
        if error.code != "value_needed":
            raise
    body = {**body, "value": _value()}
    return api.post(path, body), body


def _value() -> str:
    if sys.stdin.isatty():
        value: str = typer.prompt("What was found", hide_input=True, err=True)
        return value
    value = sys.stdin.read().strip("\r\n")
    if not value:
        raise CommandError("The prompt is not kept: give what was found on standard input.", USAGE)  # fmt: skip
    return value


def _show(proposed: dict[str, Any]) -> None:
    """The exception, and what records say it would let pass, on standard error."""
    effect = proposed["effect"]
    said = [
        proposed["override"].rstrip(),
        f"{proposed['rule']} fired in {effect['exchanges']} exchanges of the last {DAYS} days{' at least' if effect['cut'] else ''}.",
        f"It would find nothing in {effect['passes']} of them{_becomes(effect)}.",
    ]
    if effect["unknown"]:
        said.append(
            f"Of {effect['unknown']} it is not known: records do not hold all that was found, nor what a score would come to."
        )
    typer.echo("\n".join(said), err=True)


def _becomes(effect: dict[str, Any]) -> str:
    told = ", ".join(f"{count} {status}" for status, count in effect["becomes"].items())
    return f", which would be {told}" if told else ""
