"""The command tree, on one screen."""

import contextlib
import io
import os
import sys
import traceback
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from pydantic import ValidationError

from cli.command_tree import Commands
from cli.errors import FAILED, FAULT, CommandError
from cli.plain import plain
from cli.processes import tighten_umask
from cli.settings import environment
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
    """`earthflow`. Whatever happens, it ends with a sentence and a status."""
    tighten_umask()
    nowhere = open(os.devnull, "w")  # noqa: SIM115  (until the end)
    sys.stdout, sys.stderr = sys.stdout or nowhere, sys.stderr or nowhere  # closed ones
    for stream in (sys.stdout, sys.stderr):
        if isinstance(
            stream, io.TextIOWrapper
        ):  # a terminal that cannot show a character gets its number, in JSON too
            stream.reconfigure(errors="backslashreplace")
    try:
        status = _run()
        sys.stdout.flush()  # here, where a full disk can still be said
    except OSError as error:
        status = _end(_about_file(error), FAILED)
    if status:
        _leave(status)


def _run() -> int:
    """Run the command; its status."""
    try:
        app()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(bool(ended.code))
    except ValidationError as error:
        refuse_start("earthflow", explain(error))
    except CommandError as trouble:
        return _end(str(trouble), trouble.status)
    except KeyboardInterrupt:
        return 130
    except OSError:
        raise
    except Exception as error:
        if environment().get("EARTHFLOW_LOG_LEVEL", "").upper() == "DEBUG":
            raise
        place = traceback.extract_tb(error.__traceback__)[-1]
        return _end(
            f"This is a fault of Earthflow ({type(error).__name__} at {Path(place.filename).name}:{place.lineno}). "
            "With EARTHFLOW_LOG_LEVEL=DEBUG it shows where it came from.",
            FAULT,
        )
    return 0


def _about_file(error: OSError) -> str:
    what = error.filename or "What was to be read or written"
    return f"{what} cannot be used: {error.strerror or type(error).__name__}."


def _end(sentence: str, status: int) -> int:
    with contextlib.suppress(OSError):  # standard error may be full, too
        shown = "\n".join(map(plain, sentence.split("\n")))
        typer.echo(f"earthflow: {shown}", err=True)
    return status


def _leave(status: int) -> NoReturn:
    """End with this status; what a full disk did not take is given up, since the interpreter would try again and say so."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(status)


if __name__ == "__main__":
    main()
