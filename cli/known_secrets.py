"""`earthflow secrets`: values of a tenant's own that its proxies look for. They are read from standard input, a variable or a file,
never from the command line, and never shown again.
"""

import io
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from cli.confirm import Yes, confirm
from cli.errors import USAGE, CommandError
from cli.output import Output, RowsOutput, emit, emit_rows
from cli.remote import control
from cli.settings import environment

if TYPE_CHECKING:
    from rules.rulebook import Rulebook

app = typer.Typer(
    help="Known secrets: add, import, list, remove. They are found as they are, wherever they stand.",
    no_args_is_help=True,
)

COLUMNS = ("name", "any_case", "created_at")
Tenant = Annotated[str, typer.Argument(help="The tenant's id.")]
SEPARATORS = re.compile(r"[^a-z0-9.]+")


class Variable(NamedTuple):
    """A variable of a file, with what is taken of its value; empty where nothing is, and why."""

    name: str
    value: str
    why: str = ""


@app.command()
def add(
    tenant: Tenant,
    name: Annotated[
        str, typer.Argument(help="By which audit and placeholders speak of it.")
    ],
    from_env: Annotated[
        str, typer.Option("--from-env", help="The variable that has the value.")
    ] = "",
    any_case: Annotated[
        bool, typer.Option("--any-case", help="Capitals or not, as in host names.")
    ] = False,
    output: RowsOutput = "table",
) -> None:
    """Add a value, from standard input or a variable; one of the same name is replaced."""
    value = _of_variable(from_env) if from_env else _from_input()
    secret = {"name": name, "value": value, "any_case": any_case}
    _put(tenant, [secret])
    rows = [one for one in _listed(tenant) if one["name"] == name]
    emit_rows(COLUMNS, rows, output)


@app.command("import")
def import_(
    tenant: Tenant,
    file: Annotated[
        Path,
        typer.Argument(
            help="An env file: lines of NAME=value; - for standard input.",
            allow_dash=True,
        ),
    ],
    only: Annotated[
        list[str] | None,
        typer.Option("--only", help="A variable, several times for several."),
    ] = None,
    all_: Annotated[
        bool,
        typer.Option("--all", help="All variables, not only those that look secret."),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would be added.")
    ] = False,
    output: RowsOutput = "table",
) -> None:
    """Add the values of an env file that the shipped rules take for secrets, or those that are named."""
    variables = _read(file)
    if missing := set(only or ()) - variables.keys():
        raise CommandError(f"{file} has no {', '.join(sorted(missing))}.", USAGE)
    chosen = {name: variables[name] for name in only} if only else variables
    taken = list(_taken(chosen, everything=all_ or bool(only)))
    names = _names(one.name for one in taken if one.value)
    there = {str(one["name"]) for one in _listed(tenant)}
    if names and not dry_run:
        values = {one.name: one.value for one in taken}
        _put(
            tenant, [{"name": name, "value": values[of]} for of, name in names.items()]
        )
    would = "would be " if dry_run else ""
    rows = [
        {
            "variable": one.name,
            "name": (name := names.get(one.name, "")),
            "result": f"{would}{'replaced' if name in there else 'added'}"
            if name
            else f"left out: {one.why}",
        }
        for one in taken
    ]
    emit_rows(("variable", "name", "result"), rows, output)


@app.command("list")
def list_(tenant: Tenant, output: RowsOutput = "table") -> None:
    """List a tenant's known secrets by name, never their values."""
    emit_rows(COLUMNS, _listed(tenant), output)


@app.command()
def remove(
    tenant: Tenant,
    name: Annotated[str, typer.Argument(help="The secret's name.")],
    yes: Yes = False,
    output: Output = "table",
) -> None:
    """Forget a value: proxies no longer look for it."""
    confirm(f"{name} will no longer be found.", yes=yes)
    emit(control().delete(f"/v1/tenants/{tenant}/secrets/{name}"), output)


def _listed(tenant: str) -> list[Mapping[str, object]]:
    found: list[Mapping[str, object]] = control().get(f"/v1/tenants/{tenant}/secrets")[
        "secrets"
    ]
    return found


def _put(tenant: str, secrets: Iterable[Mapping[str, object]]) -> None:
    control().patch(f"/v1/tenants/{tenant}/secrets", {"secrets": list(secrets)})


def _of_variable(name: str) -> str:
    value = environment().get(name)
    if value is None:
        raise CommandError(f"There is no variable {name}.", USAGE)
    return value


def _from_input() -> str:
    if sys.stdin.isatty():
        value: str = typer.prompt("The value", hide_input=True, err=True)
        return value
    return sys.stdin.read().strip("\r\n")


def _read(file: Path) -> dict[str, str]:
    from dotenv import dotenv_values  # its import takes as long as the rest

    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text("utf-8")
        values = dotenv_values(stream=io.StringIO(text), interpolate=False)
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{file} cannot be read: {error}", USAGE) from None
    found = {name: value for name, value in values.items() if value}
    if not found:
        raise CommandError(f"{file} has no line like NAME=value.", USAGE)
    return found


def _taken(variables: Mapping[str, str], *, everything: bool) -> Iterator[Variable]:
    """Each variable, with what is taken of its value."""
    from rules.known import complaint

    book = None if everything else _shipped()
    for name, value in variables.items():
        secret = value if book is None else _secret_in(name, value, book)
        why = complaint(secret) if secret else "looks like no secret; --only takes it"
        yield Variable(name, "" if why else secret, f"it {why}" if why else "")


def _shipped() -> "Rulebook":
    from rules.load import build  # takes a second, with its rules
    from rules.sources import shipped

    typer.echo("Asking the shipped rules which values are secrets.", err=True)
    return build("default", shipped(), portable=True)


def _secret_in(name: str, value: str, book: "Rulebook") -> str:
    """What the rules would take out of `NAME=value`, as far as it is of the value; the longest."""
    from rules.evaluate import evaluate
    from rules.exchange import Exchange, Part

    text, first = f"{name}={value}", len(name) + 1
    part = Part(text, "user", "text", 0)
    verdict = evaluate(book, Exchange(parts=(part,)))
    spans = [
        (max(start, first), end)
        for one in verdict.fired
        if one.rule.action == "redact"
        for finding in one.findings
        for _, start, end in finding.places
    ]
    return max((text[start:end] for start, end in spans), key=len, default="")


def _names(variables: Iterable[str]) -> dict[str, str]:
    """A name for each variable; where two would have the same, a number tells them apart."""
    names: dict[str, str] = {}
    for variable in variables:
        plain = SEPARATORS.sub("-", variable.lower()).strip("-.")[:56] or "secret"
        taken, number, name = set(names.values()), 1, plain
        while name in taken:
            number += 1
            name = f"{plain}-{number}"
        names[variable] = name
    return names
