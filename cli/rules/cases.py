"""`earthflow rules try --cases FILE`: what the proxy would do with each line of a file."""

import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import IO, Any

import typer
from rich.console import Console
from rich.progress import track

import cli
from cli.errors import FAILED, USAGE, CommandError
from cli.output import RowsFormat, emit_rows
from cli.plain import plain
from cli.settings import environment

# The proxy reads calls: commands start its program and do not import it. It starts in
# the folder of our packages, so that nothing in the user's own folder is taken for one
# of them.
PROGRAM = (sys.executable, "-m", "addons.cases")
PLACE = Path(cli.__file__).resolve().parents[1]
COLUMNS = (
    "id",
    "result",
    "action",
    "by",
    "rules",
    "coverage",
    "unreadable",
    "leaves",
    "left",
)


def try_cases(file: Path, job: Mapping[str, Any], output: RowsFormat) -> None:
    """Judge and print every case; `job` is an addons.cases.case.Job.

    Ends with status 1 where one is not right.
    """
    results: Counter[str] = Counter()
    unknown: Counter[str] = Counter()

    def counted(outcomes: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        for outcome in outcomes:
            results[outcome["result"].partition(" (")[0].partition(":")[0]] += 1
            unknown.update(outcome.pop("unknown"))
            yield outcome

    _show(counted(_judged(file, job)), output)
    total = results.total()
    if not total:
        raise CommandError(f"There is no case in {_name(file)}.", USAGE)
    if output == "table":
        wrong = ", ".join(
            f"{result} {count}"
            for result, count in sorted(results.items())
            if result != "ok"
        )
        typer.echo(
            f"{results['ok']} of {total} right" + (f": {wrong}" if wrong else "")
        )
    if unknown:
        typer.echo(
            f"unknown fields, ignored: {plain(', '.join(sorted(unknown)))}", err=True
        )
    if results["ok"] < total:
        raise typer.Exit(FAILED)


def _show(outcomes: Iterable[dict[str, Any]], output: RowsFormat) -> None:
    """Print outcomes as they arrive; JSON is one list."""
    if output == "json":
        emit_rows(COLUMNS, list(outcomes), output)
        return
    for number, outcome in enumerate(outcomes):
        if output == "table":
            typer.echo(_line(outcome))
        else:
            row = {**outcome, "rules": _rules(outcome)} if output == "csv" else outcome
            emit_rows(COLUMNS, [row], output, head=number == 0)


def _judged(file: Path, job: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The outcome of each case. Raises CommandError at a line that is none."""
    with tempfile.TemporaryFile() as told, tempfile.TemporaryFile() as errors:
        told.write(json.dumps(job).encode() + b"\n")
        count = _copy(file, told)
        told.seek(0)
        process = subprocess.Popen(
            PROGRAM,
            stdin=told,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=environment(),
            cwd=PLACE,
        )
        with process:
            assert process.stdout is not None
            yield from map(json.loads, _watched(process.stdout, count))
        errors.seek(0)
        said = errors.read().decode("utf-8", "replace").strip()
    if process.returncode:
        at = (
            f"{_name(file)}, "
            if process.returncode == USAGE and said.startswith("line ")
            else ""
        )
        raise CommandError(
            f"{at}{said or f'judging ended with status {process.returncode}'}",
            max(process.returncode, FAILED),
        )


def _name(file: Path) -> str:
    return "standard input" if str(file) == "-" else str(file)


def _copy(file: Path, to: IO[bytes]) -> int:
    """Write the lines of a file, or of standard input; how many there are."""
    try:
        opened = nullcontext(sys.stdin.buffer) if str(file) == "-" else file.open("rb")
    except OSError as error:
        raise CommandError(f"{file} cannot be read: {error.strerror}.", USAGE) from None
    try:
        with opened as lines:
            return sum(bool(to.write(line.rstrip(b"\n") + b"\n")) for line in lines)
    except OSError as error:
        raise CommandError(
            f"{_name(file)} cannot be read or copied: {error.strerror}.", USAGE
        ) from None


def _watched(lines: IO[bytes], count: int) -> Iterator[bytes]:
    """The lines as they arrive, with a progress bar for a person."""
    console = Console(stderr=True)
    # on a terminal, the outcomes show the progress
    hidden = not console.is_terminal or sys.stdout.isatty()
    return iter(
        track(
            lines,
            "judging",
            total=count,
            console=console,
            transient=True,
            disable=hidden,
        )
    )


def _rules(outcome: Mapping[str, Any]) -> str:
    return " ".join(f"{one['id']}:{one['action']}" for one in outcome["rules"])


def _line(outcome: Mapping[str, Any]) -> str:
    line = f"{outcome['result']:<28} {outcome['id']:<38} {outcome['action']:<7} {_rules(outcome)}"
    return plain(line).rstrip()
