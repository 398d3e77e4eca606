"""`earthflow audit migrate` and `audit import`: logs of an older version, and logs of
another database.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from cli.errors import USAGE, CommandError
from cli.migrate import lines
from cli.migrate import migrate as convert
from cli.output import Output, emit
from cli.remote import control

INCOMPLETE = 3  # exit status: done, except for some lines
SHOWN = 20  # rejected lines that are printed
# Bytes of one import request; control takes at most 1 MB.
BATCH_BYTES = 500_000


def migrate(
    source: Annotated[Path, typer.Option("--input", help="A JSONL file of version 1.")],
    target: Annotated[
        Path, typer.Option("--output", help="The JSONL file of version 2 to write.")
    ],
    from_version: Annotated[int, typer.Option("--from-version")] = 1,
    to_version: Annotated[int, typer.Option("--to-version")] = 2,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Read everything and count; write nothing."),
    ] = False,
    form: Annotated[
        Literal["table", "json"],
        typer.Option("-o", help="How the counts are shown: table or json."),
    ] = "table",
) -> None:
    """Turn an audit log of version 1 into one of version 2.

    Unreadable lines go to OUTPUT.rejected; then it ends with 3.
    """
    if (from_version, to_version) != (1, 2):
        raise CommandError("Only --from-version 1 --to-version 2 is known.", USAGE)
    if not source.is_file():
        raise CommandError(f"There is no file {source}.", USAGE)
    partial = target.with_name(target.name + ".partial")
    rejected = target.with_name(target.name + ".rejected")
    if not dry_run and any(
        path.exists() and path.samefile(source) for path in (target, partial, rejected)
    ):
        raise CommandError(
            "--input and --output are the same file, or the input is where rejected lines are kept; name another output.",
            USAGE,
        )
    with ExitStack() as opened:
        written = rejects = None
        if not dry_run:
            written = opened.enter_context(partial.open("wb"))
            rejects = opened.enter_context(_private(rejected))
        bar = opened.enter_context(_progress())
        task = bar.add_task(source.name, total=source.stat().st_size)
        counts = convert(
            source, written, rejects, lambda size: bar.advance(task, size), _Rejected()
        )
    if not dry_run:
        partial.replace(target)
        if not counts.rejected:
            rejected.unlink()
    summary = {
        **vars(counts),
        "output": None if dry_run else str(target),
        "kept_aside": str(rejected) if counts.rejected and not dry_run else None,
    }
    emit(summary, form)
    if counts.rejected:
        raise typer.Exit(INCOMPLETE)


class _Rejected:
    """Prints the first rejected lines, and that there are more."""

    def __init__(self) -> None:
        self._count = 0

    def __call__(self, number: int, why: str) -> None:
        self._count += 1
        if self._count <= SHOWN:
            typer.echo(f"line {number}: {why}", err=True)
        elif self._count == SHOWN + 1:
            typer.echo("…", err=True)


def _private(path: Path) -> BinaryIO:
    """A new file that only its owner can read: rejected lines may hold prompts."""
    return open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")


def take_in(
    source: Annotated[
        Path,
        typer.Argument(
            help="A JSONL file of version 2, of `audit migrate` or `audit export`."
        ),
    ],
    output: Output = "table",
) -> None:
    """Store the records of a file.

    Existing records stay as they are. Ends with 3 where lines were refused.
    """
    if not source.is_file():
        raise CommandError(f"There is no file {source}.", USAGE)
    api, total = control(), {"read": 0, "stored": 0, "known": 0, "refused": 0}
    with source.open("rb") as file, _progress() as bar:
        task = bar.add_task(source.name, total=source.stat().st_size)
        for first, batch, size in _batches(file):
            done = api.post_lines("/v1/audit/import", batch)
            for name in total:
                total[name] += len(done["refused"]) if name == "refused" else done[name]
            for one in done["refused"]:
                typer.echo(f"line {first + one['line'] - 1}: {one['why']}", err=True)
            bar.advance(task, size)
    emit(total, output)
    if total["refused"]:
        raise typer.Exit(INCOMPLETE)


def _batches(file: Any) -> Iterator[tuple[int, bytes, int]]:
    """The number of the first line, some lines together, and their bytes of the file."""
    first, batch, size = 1, bytearray(), 0
    for number, line, took in lines(file):
        if batch and len(batch) + took > BATCH_BYTES:
            yield first, bytes(batch), size
            first, batch, size = number, bytearray(), 0
        batch += (line if line is not None else b"too long") + b"\n"
        size += took
    if batch:
        yield first, bytes(batch), size


def _progress() -> Progress:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
    )
    return Progress(
        *columns,
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
        transient=True,
    )
