"""`earthflow rules diff` and `bench`: two rulebooks over the same calls, and what each rule costs."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.errors import USAGE, CommandError
from cli.output import Output, emit_table
from cli.rules.report import (
    counted,
)
from cli.rules.sources import (
    KEY,
    Preset,
    Rules,
    default_rules,
    library_of,
    read_stdin,
)
from rules import cost
from rules.evaluate import evaluate
from rules.rulebook import Rulebook
from rules.sample_exchange import exchange_from
from rules.sources import PRESETS
from rules.verdict import Verdict


def diff(
    before: Annotated[
        Path, typer.Argument(help="A rule file or folder, or the name of a preset.")
    ],
    after: Annotated[Path, typer.Argument(help="The same, for comparison.")],
    exchanges: Annotated[
        Path,
        typer.Argument(
            help="JSON lines: bodies, or prompts as strings; - for stdin.",
            allow_dash=True,
        ),
    ],
    output: Output = "table",
) -> None:
    """Compare two rulebooks over recorded exchanges. Exit status 1: they differ."""
    books = [_book_of(path) for path in (before, after)]
    lines = (
        read_stdin() if str(exchanges) == "-" else exchanges.read_text()
    ).splitlines()
    changed: list[dict[str, Any]] = []
    for number, line in enumerate(filter(str.strip, lines), 1):
        exchange = exchange_from(_prompt(line, number), datetime.now(UTC))
        old, new = (_outline(evaluate(book, exchange, key=KEY)) for book in books)
        if old != new:
            changed.append({"line": number, "before": old, "after": new})
    if output == "json":
        typer.echo(
            json.dumps(
                {"exchanges": len(lines), "changed": changed}, ensure_ascii=False
            )
        )
    else:
        rows = [
            (
                str(one["line"]),
                *(
                    "\n".join((one[side]["action"], *one[side]["rules"]))
                    for side in ("before", "after")
                ),
            )
            for one in changed
        ]
        if rows:
            emit_table(f"{before} against {after}", ("line", "before", "after"), rows)
        typer.echo(
            f"{len(changed)} of {counted(len(lines), 'exchange')} judged otherwise"
        )
    if changed:
        raise typer.Exit(1)


def bench(
    rules: Rules = None,
    preset: Preset = "default",
    top: Annotated[
        int, typer.Option("--top", help="How many of the slowest rules to show.")
    ] = 15,
    output: Output = "table",
) -> None:
    """Print what each rule costs, the slowest first."""
    library = library_of(rules or default_rules(), {}, "hyperscan")
    found = sorted(cost.costs(library, preset), key=lambda one: -one.microseconds)
    total = cost.whole(library, preset)
    if output == "json":
        each = [
            {
                "rule": one.rule,
                "us_per_16kb": round(one.microseconds, 2),
                "alarms_per_16kb": round(one.alarms, 2),
            }
            for one in found
        ]
        typer.echo(json.dumps({"rulebook_us_per_16kb": round(total, 1), "rules": each}))
        return
    rows = [
        (one.rule, f"{one.microseconds:.1f}", f"{one.alarms:.1f}")
        for one in found[:top]
    ]
    emit_table(
        "µs of one core for 16 KB, each rule by itself",
        ("rule", "µs", "false alarms of stage 1"),
        rows,
    )
    typer.echo(f"all {len(found)} together: {total:.0f} µs for 16 KB")


def _book_of(path: Path) -> Rulebook:
    if str(path) in PRESETS and not path.exists():
        return library_of(None, {}, "portable").rulebook(str(path))
    return library_of(path, {}, "portable").rulebook("default")


def _prompt(line: str, number: int) -> str:
    try:
        value = json.loads(line)
    except ValueError:
        raise CommandError(
            f"Line {number} of the exchanges is not JSON.", USAGE
        ) from None
    return value if isinstance(value, str) else line


def _outline(verdict: Verdict) -> dict[str, Any]:
    return {"action": verdict.action, "rules": [one.rule.id for one in verdict.fired]}
