"""Asks before something is lost: a person answers, or a script passes --yes."""

import sys
from typing import Annotated

import typer

from cli.errors import USAGE, CommandError

Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


def confirm(what: str, *, yes: bool, typed: str = "") -> None:
    """Ask whether to do `what`; with `typed`, the person must type exactly that.

    Raises CommandError for no.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise CommandError(f"{what} There is no terminal to ask; use --yes.", USAGE)
    if typed:
        agreed = (
            typer.prompt(
                f"{what} Type {typed} to continue",
                default="",
                show_default=False,
                err=True,
            )
            == typed
        )
    else:
        agreed = typer.confirm(f"{what} Continue?", err=True)
    if not agreed:
        raise CommandError("Nothing was done.", USAGE)
