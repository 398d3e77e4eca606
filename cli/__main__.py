"""The command tree, on one screen."""

import errno
import io
import sys
from typing import Annotated

import typer
from pydantic import ValidationError

from cli.command_tree import Commands
from cli.errors import FAILED, CommandError
from contract.settings import explain, refuse_start
from contract.version import VERSION

app = typer.Typer(
    name="earthflow",
    cls=Commands,
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _say_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"earthflow {VERSION}")
        raise typer.Exit


@app.callback()
def earthflow(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_say_version, is_eager=True, help="Print the version."
        ),
    ] = False,
    context: Annotated[
        str | None,
        typer.Option(
            "--context", help="Which Earthflow to speak to; see `earthflow context`."
        ),
    ] = None,
) -> None:
    """See, judge and record what leaves for AI providers."""
    if context is not None:
        from cli import (
            remote,  # here, since most commands that say no context do without
        )

        remote.said.append(context)


def main() -> None:
    """`earthflow`."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(
            stream, io.TextIOWrapper
        ):  # a terminal that cannot show a character gets its number, in JSON too
            stream.reconfigure(errors="backslashreplace")
    try:
        app()
    except ValidationError as error:
        refuse_start("earthflow", explain(error))
    except CommandError as trouble:
        typer.echo(f"earthflow: {trouble}", err=True)
        sys.exit(trouble.status)
    except OSError as error:
        if error.filename is None and error.errno != errno.ENOSPC:
            raise
        what = error.filename or "A file"
        sentence = f"{what} cannot be read or written: {error.strerror}."
        typer.echo(f"earthflow: {sentence}", err=True)
        sys.exit(FAILED)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
