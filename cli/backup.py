"""`earthflow backup` and `earthflow restore`. The work is control's; here is what is asked of it,
and of which deployment: that of the environment, or what `earthflow up` keeps.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from cli import secrets_file
from cli.engines import Engines
from cli.errors import USAGE, CommandError
from cli.output import Output, emit
from cli.settings import ELSEWHERE, UpSettings, environment
from contract.backup import Job

SHORTEST = 12  # characters of a passphrase
PROGRAM = (sys.executable, "-m", "control.backup")
# The variables of a deployment; all are settings of ours.
PREFIXES = ("EARTHFLOW_", "POSTGRES_", "REDIS_", "TLS_", "RATE_LIMIT_", "WEBHOOK_", "AUDIT_")  # fmt: skip

PassphraseFile = Annotated[
    Path | None,
    typer.Option(
        "--passphrase-file",
        help="A file that has the passphrase; asked for if not given.",
    ),
]


def backup(
    to: Annotated[
        str,
        typer.Option(
            "--to", help="A file, a folder for a dated file, or - for standard output."
        ),
    ],
    passphrase_file: PassphraseFile = None,
    keep: Annotated[
        int | None,
        typer.Option(
            "--keep", min=1, help="In a folder: how many of the newest stay there."
        ),
    ] = None,
    output: Output = "table",
) -> None:
    """Back up everything: database, CA, secrets, settings, rules. It runs beside the traffic."""
    if to == "-" and sys.stdout.isatty():
        raise CommandError("A backup is no text: lead it into a file.", USAGE)
    if keep is not None and not Path(to).is_dir():
        raise CommandError("--keep is for a folder, and this is a file.", USAGE)
    passphrase = _passphrase(passphrase_file, new=True)
    _ask({"do": "backup", "file": to, "passphrase": passphrase, "keep": keep}, output)


def restore(
    file: Annotated[Path | None, typer.Argument(help="The backup.")] = None,
    passphrase_file: PassphraseFile = None,
    drill: Annotated[
        bool,
        typer.Option(
            "--drill",
            help="Restore into a database that is dropped afterwards, and compare; nothing changes.",
        ),
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace what is there.")
    ] = False,
    env_to: Annotated[
        Path | None,
        typer.Option(
            "--env-to",
            help="Write the backup's settings and secrets to this new file, and do nothing else.",
        ),
    ] = None,
    accept_old_keys: Annotated[
        bool,
        typer.Option(
            "--accept-old-keys",
            help="Let keys work that were revoked after the backup, where no proxy is left that knows.",
        ),
    ] = False,
    output: Output = "table",
) -> None:
    """Restore a backup into an empty database. Stop control before.

    Keys that were revoked after the backup stay revoked: control serves nothing until a
    proxy that ran before has told which keys it knows.
    """
    if file is None and not accept_old_keys:
        raise CommandError("Name the backup, or --accept-old-keys.", USAGE)
    if file is None:
        _ask({"do": "accept"}, output)
        return
    job = {
        "do": "env" if env_to else "drill" if drill else "restore",
        "file": str(file),
        "passphrase": _passphrase(passphrase_file),
        "replace": replace,
        "accept_old_keys": accept_old_keys,
        "env_to": str(env_to or ""),
    }
    _ask(job, output)


def _ask(job: dict[str, Any], output: Output) -> None:
    """Have control do a job, and show its result. Raises typer.Exit where it fails."""
    with _deployment() as (told, where):
        asked = msgspec.convert({**where, **job}, type=Job)
        done = subprocess.run(
            PROGRAM,
            env=told,
            input=msgspec.json.encode(asked),
            stdout=None if job.get("file") == "-" else subprocess.PIPE,
            check=False,
        )
    if done.returncode:
        raise typer.Exit(done.returncode)
    if done.stdout:
        emit(json.loads(done.stdout), output)


@contextmanager
def _deployment() -> Iterator[tuple[dict[str, str], dict[str, Any]]]:
    """The environment in which the database is reachable, and what else a Job says of the
    deployment on this machine.
    """
    settings, told = UpSettings(), environment()
    own = {name: value for name, value in told.items() if value and name.startswith(PREFIXES)}  # fmt: skip
    where = {
        "settings": {**secrets_file.read(settings.state_dir), **own},
        "ca": str(settings.state_dir / "ca"),
        "rules": str(settings.rules_dir) if settings.rules_dir else None,
        "providers": str(settings.providers) if settings.providers else None,
    }
    if not settings.own_postgres:
        yield told, where
        return
    # Where `up` runs, its PostgreSQL is used; else it is started for a while.
    with Engines(settings.model_copy(update={"redis_host": "none"})) as engines:
        own_database = {**ELSEWHERE, "EARTHFLOW_DATABASE_URL": engines.database_url}
        yield {**told, **own_database}, where


def _passphrase(file: Path | None, *, new: bool = False) -> str:
    """The passphrase. A new one has a shortest length, and is asked for twice."""
    try:
        text = (
            typer.prompt(
                "Passphrase", hide_input=True, confirmation_prompt=new, err=True
            )
            if file is None
            else file.read_text().strip("\r\n")
        )
    except OSError as error:
        raise CommandError(f"{file} cannot be read: {error.strerror}.") from None
    if new and len(text) < SHORTEST:
        raise CommandError(f"The passphrase must have at least {SHORTEST} characters.")
    return str(text)
