"""`earthflow keys master`: the rotation of the master key."""

import sys
from typing import Annotated

import typer

from cli.confirm import Yes, confirm
from cli.errors import USAGE, CommandError
from cli.output import Output, emit
from cli.remote import control

app = typer.Typer(
    help="The rotation of the master key: status, verify, finalize, abort.",
    no_args_is_help=True,
)

NewKey = Annotated[
    str,
    typer.Option(
        "--new-key",
        help="The new key, or - to read it from standard input, where no other program sees it.",
    ),
]


def read(written: str) -> str:
    """A key as given on standard input or in a file.

    Raises CommandError where there is none.
    """
    key = sys.stdin.readline().strip() if written == "-" else written
    if not key:
        raise CommandError(
            "There is no new key: use --new-key KEY, or --new-key - and standard input.",
            USAGE,
        )
    return key


def rotate(new_key: str, output: Output) -> None:
    """Begin a rotation, and print the next steps."""
    emit(control().post("/v1/master/rotate", {"new_key": read(new_key)}), output)
    typer.echo(
        "Both keys open everything now. Set EARTHFLOW_MASTER_KEY to the new one everywhere, start control again, then the proxies "
        "(`docker compose up -d`), and end with: earthflow keys master finalize",
        err=True,
    )


@app.command()
def status(output: Output = "table") -> None:
    """Show which master keys open the database, by their ids, and which one control
    runs with.
    """
    emit(control().get("/v1/master"), output)


@app.command()
def verify(new_key: NewKey, output: Output = "table") -> None:
    """Open every stored secret with this key, and do nothing else."""
    emit(control().post("/v1/master/verify", {"new_key": read(new_key)}), output)


@app.command()
def finalize(yes: Yes = False, output: Output = "table") -> None:
    """End a rotation: only the new key opens from now on."""
    confirm("From now on the old master key opens nothing.", yes=yes)
    emit(control().post("/v1/master/finalize", {}), output)


@app.command()
def abort(output: Output = "table") -> None:
    """Undo a rotation: only the old key opens, as before."""
    emit(control().post("/v1/master/abort", {}), output)
