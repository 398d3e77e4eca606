"""`earthflow up`: everything on this machine, in one terminal, until Ctrl-C."""

import signal
import threading
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from cli.errors import CommandError
from cli.settings import UpSettings, load_env_file
from cli.stack import Stack
from cli.trust import bundle_path

LOOK_SECONDS = 0.5


def up(
    env_file: Annotated[
        Path | None,
        typer.Option(
            "--env-file",
            help="File of NAME=value lines for the environment; ./.env is not read by itself.",
        ),
    ] = None,
) -> None:
    """Start engines, control and proxy here, and stay until Ctrl-C."""
    if env_file is not None:
        if not env_file.is_file():
            raise CommandError(f"There is no file {env_file}.")
        load_env_file(env_file)
    end_on_signals()
    with Stack(UpSettings(), typer.echo) as stack:
        ended = interrupted()
        typer.echo(_welcome(stack))
        while not ended.wait(LOOK_SECONDS):
            if (news := stack.ended()) is not None:
                raise CommandError(
                    f"{news}; stopping the rest. It said why in {stack.log}."
                )
        typer.echo("stopping …")
    typer.echo("stopped")


SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def end_on_signals() -> None:
    """During the start: a signal ends us at once, and what was started is stopped."""

    def end(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    for number in SIGNALS:
        signal.signal(number, end)


def interrupted() -> threading.Event:
    """After the start: an event that a signal sets. A second signal ends us at once."""
    ended = threading.Event()

    def note(number: int, frame: FrameType | None) -> None:
        if ended.is_set():
            raise SystemExit(128 + number)
        ended.set()

    for number in SIGNALS:
        signal.signal(number, note)
    return ended


def _welcome(stack: Stack) -> str:
    lines = ["", "Earthflow is up. In another terminal:", ""]
    if stack.new_key is not None:
        lines += [
            f"    export HTTPS_PROXY=http://key:{stack.new_key}@127.0.0.1:{stack.port}",
            f"    export SSL_CERT_FILE={bundle_path(stack.settings.state_dir)}",
            "",
            "(the key of tenant `default`, shown once), or let it be set for one program:",
            "",
        ]
    lines += [
        "    earthflow run -- python your_program.py",
        "",
        "Ctrl-C stops everything.",
    ]
    return "\n".join(lines)
