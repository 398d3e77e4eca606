"""`earthflow rules try --cases FILE`: what the proxy would make of each line of a file, read and judged as the proxy does it."""

import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import IO, Any

import typer
from rich.console import Console
from rich.progress import track

from cli.output import RowsFormat, emit_rows, plain
from cli.settings import environment
from cli.trouble import FAILED, USAGE, Trouble

PROGRAM = (
    sys.executable,
    "-m",
    "addons.cases",
)  # the proxy's reading is the proxy's; commands start it and do not import it
COLUMNS = ("id", "result", "action", "by", "rules", "coverage", "unreadable", "leaves", "left")


def try_cases(file: Path, job: Mapping[str, Any], output: RowsFormat) -> None:
    """Judge and show every case; `job` is an addons.cases.Job. Ends with status 1 where one of them is not right."""
    outcomes = list(_judged(file, job))
    if not outcomes:
        raise Trouble(f"There is no case in {_name(file)}.", USAGE)
    results = Counter(outcome["result"].partition(" (")[0].partition(":")[0] for outcome in outcomes)
    if output == "table":
        for outcome in outcomes:
            typer.echo(_line(outcome))
        told = ", ".join(f"{result} {count}" for result, count in sorted(results.items()) if result != "ok")
        typer.echo(f"{results['ok']} of {len(outcomes)} right" + (f": {told}" if told else ""))
    else:
        emit_rows(COLUMNS, outcomes, output)
    if results["ok"] < len(outcomes):
        raise typer.Exit(FAILED)


def _judged(file: Path, job: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The outcome of each case. Raises Trouble at a line that is none."""
    with tempfile.TemporaryFile() as told:
        told.write(json.dumps(job).encode() + b"\n")
        count = _copy(file, told)
        told.seek(0)
        process = subprocess.Popen(
            PROGRAM, stdin=told, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
        )
        with process:
            assert process.stdout is not None and process.stderr is not None
            yield from map(json.loads, _shown(process.stdout, count))
            said = process.stderr.read().decode().strip()
    if process.returncode:
        raise Trouble(
            f"{_name(file)}, {said}" if process.returncode == USAGE else said, max(process.returncode, FAILED)
        )


def _name(file: Path) -> str:
    return "standard input" if str(file) == "-" else str(file)


def _copy(file: Path, to: IO[bytes]) -> int:
    """Write a file's lines, or those of standard input, and say how many there are."""
    try:
        with nullcontext(sys.stdin.buffer) if str(file) == "-" else file.open("rb") as lines:
            return sum(bool(to.write(line.rstrip(b"\n") + b"\n")) for line in lines)
    except OSError as error:
        raise Trouble(f"{file} cannot be read: {error.strerror}.", USAGE) from None


def _shown(lines: IO[bytes], count: int) -> Iterator[bytes]:
    """The lines as they come, with a bar for who looks on."""
    console = Console(stderr=True)
    return iter(
        track(lines, "judging", total=count, console=console, transient=True, disable=not console.is_terminal)
    )


def _line(outcome: Mapping[str, Any]) -> str:
    rules = " ".join(f"{one['id']}:{one['action']}" for one in outcome["rules"])
    return plain(f"{outcome['result']:<28} {outcome['id']:<38} {outcome['action']:<7} {rules}").rstrip()
