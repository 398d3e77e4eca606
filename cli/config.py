"""`earthflow config`: what the settings are, before a program starts with them."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from cli.errors import USAGE, CommandError
from cli.output import RowsOutput, emit_rows
from cli.plain import plain
from cli.settings import (
    ALIASES,
    UpSettings,
    environment,
    load_env_file,
    own_environment,
)
from contract.setting_names import NAMES, unknown
from contract.setting_report import report
from contract.settings import BAD_CONFIGURATION

app = typer.Typer(help="The settings: check.", no_args_is_help=True)

Program = Literal["proxy", "control", "up"]
MODULES: dict[Program, str] = {"proxy": "addons.settings", "control": "control.settings"}  # fmt: skip
COLUMNS = ("name", "value", "from", "program")


@app.callback()
def config() -> None:
    """Look at settings."""


@app.command()
def check(
    program: Annotated[
        Program | None,
        typer.Argument(
            help="Whose: proxy, control, or up (one machine); by default those of proxy and control."
        ),
    ] = None,
    env_file: Annotated[
        Path | None,
        typer.Option(
            "--env-file", help="Read this file first, as compose and systemd do."
        ),
    ] = None,
    output: RowsOutput = "table",
) -> None:
    """Print the settings in force and where each is from; say what is wrong or unknown.

    Secrets are stars. Ends with 78 where a program would not start.
    """
    written = _written(env_file) if env_file is not None else {}
    rows, problems = [], []
    for name in (program,) if program is not None else MODULES:
        found = _report(name)
        rows += [{**one, "program": name} for one in found["settings"]]
        problems += [f"{name}: {sentence}" for sentence in found["problems"]]
    if rows or output != "table":
        emit_rows(COLUMNS, rows, output)
    for sentence in unknown({**written, **environment()}):
        typer.echo(f"earthflow: {plain(sentence)}", err=True)
    for sentence in problems:
        typer.echo(f"earthflow {sentence}", err=True)
    if problems:
        raise typer.Exit(BAD_CONFIGURATION)


def _written(file: Path) -> dict[str, str]:
    """What a file has. Only settings of ours are set by it: another variable could make a program run something else."""
    try:
        return load_env_file(file, only=NAMES | ALIASES.keys())
    except OSError as error:
        raise CommandError(f"{file} cannot be read: {error.strerror}.", USAGE) from None
    except ValueError as error:
        why = "it is not UTF-8" if isinstance(error, UnicodeError) else error
        raise CommandError(f"{file} cannot be read: {why}.", USAGE) from None


def _report(program: Program) -> dict[str, Any]:
    """What the program itself says of its settings; it reads them as at a start."""
    if program == "up":
        return report(UpSettings)
    done = subprocess.run(
        [sys.executable, "-P", "-m", MODULES[program]],
        env=own_environment(program, environment()),
        capture_output=True,
        check=False,
    )
    try:
        found: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        sentence = (
            done.stderr.decode(errors="replace").strip().rpartition("\n")[2][:300]
        )
        raise CommandError(f"{program} cannot read its settings: {sentence}") from None
    return found
