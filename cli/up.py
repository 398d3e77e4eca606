"""`earthflow up`: everything on this machine, in one terminal, until Ctrl-C."""

import signal
import threading
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from cli.settings import UpSettings, load_env_file
from cli.stack import Stack
from cli.trouble import Trouble
from cli.trust import bundle_path

LOOK_SECONDS = 0.5


def up(
    env_file: Annotated[
        Path | None, typer.Option("--env-file", help="NAME=value lines to take as environment; ./.env is never read by itself.")
    ] = None,
) -> None:
    """Start engines, control and proxy here, and stay until Ctrl-C."""
    if env_file is not None:
        if not env_file.is_file():
            raise Trouble(f"There is no file {env_file}.")
        load_env_file(env_file)
    ended = interrupted()
    with Stack(UpSettings(), typer.echo) as stack:
        typer.echo(_welcome(stack))
        while not ended.wait(LOOK_SECONDS):
            if (service := stack.ended()) is not None:
                raise Trouble(f"{service.name} has ended by itself with status {service.process.returncode}; stopping the rest.")
        typer.echo("stopping …")
    typer.echo("stopped")


def interrupted() -> threading.Event:
    """An event that Ctrl-C or SIGTERM sets, in place of ending us on the spot; a second one ends us."""
    ended = threading.Event()

    def note(number: int, frame: FrameType | None) -> None:
        if ended.is_set():
            raise KeyboardInterrupt
        ended.set()

    for number in (signal.SIGINT, signal.SIGTERM):
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
    lines += ["    earthflow run -- python your_program.py", "", "Ctrl-C stops everything."]
    return "\n".join(lines)
