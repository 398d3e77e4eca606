"""Before something is lost, somebody must want it: a person who is asked, or a script that says --yes."""

import sys
from typing import Annotated

import typer

from cli.trouble import USAGE, Trouble

Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


def confirm(what: str, *, yes: bool, typed: str = "") -> None:
    """Ask whether to do `what`; where something is `typed`, for exactly that. Raises Trouble where nobody says so."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise Trouble(f"{what} Nobody can be asked here; say --yes.", USAGE)
    if typed:
        agreed = (
            typer.prompt(f"{what} Type {typed} to go on", default="", show_default=False, err=True) == typed
        )
    else:
        agreed = typer.confirm(f"{what} Go on?", err=True)
    if not agreed:
        raise Trouble("Nothing was done.", USAGE)
