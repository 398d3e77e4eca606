"""`earthflow rules lint` and `test`: whether rule files can be used, and whether their tests pass."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from cli.errors import USAGE, CommandError
from cli.output import Output
from cli.rules.report import (
    complaint_as_json,
    counted,
    result_as_json,
)
from cli.rules.sources import (
    INVALID,
    Engine,
    Only,
    Preset,
    Tenant,
    default_rules,
    library_of,
    read_sources,
)
from rules.complaint import BadRules, Complaint
from rules.layers import TENANTS
from rules.lint import advice
from rules.load import Library
from rules.sources import shipped
from rules.testing import Result, run


def lint(
    paths: Annotated[
        list[Path], typer.Argument(help="Rule files, or folders of them.")
    ],
    strict: Annotated[
        bool, typer.Option("--strict", help="Warnings fail, too.")
    ] = False,
    output: Output = "table",
) -> None:
    """Check rule files: what is wrong, and what could be better.

    Exit status 3: they cannot be used.
    """
    own = {name: text for path in paths for name, text in read_sources(path)}
    library = Library({**shipped(), **own}, portable=True)
    found: list[Complaint] = []
    try:
        library.check(["default"])
        for tenant in ("", *library.written.tenants):
            names = {
                name
                for name in own
                if name.startswith(TENANTS) == bool(tenant)
                and (not tenant or name == f"{TENANTS}{tenant}.yaml")
            }
            found += advice(library, names, datetime.now(UTC).date(), tenant=tenant)
    except BadRules as error:
        found = list(error.complaints)
    errors = sum(complaint.level == "error" for complaint in found)
    if output == "json":
        typer.echo(
            json.dumps(
                [complaint_as_json(complaint) for complaint in found],
                ensure_ascii=False,
            )
        )
    else:
        for complaint in found:
            typer.echo(f"{complaint}\n")
        typer.echo(
            f"{counted(len(own), 'file')}: {counted(errors, 'error')}, {counted(len(found) - errors, 'warning')}"
        )
    if errors or (strict and found):
        raise typer.Exit(INVALID)


def test(
    path: Annotated[
        Path | None,
        typer.Argument(help="A rule file or a folder; by default all rules."),
    ] = None,
    preset: Preset = "default",
    tenant: Tenant = "",
    only: Only = "*",
    engine: Engine = "portable",
    output: Output = "table",
) -> None:
    """Run the tests written in rules. Exit status 1: some fail."""
    own = dict(read_sources(path)) if path is not None else {}
    library = library_of(None if path is not None else default_rules(), own, engine)
    began = time.monotonic()
    results = list(
        _running(
            run(library, preset, tenant, only, set(own) if own else None),
            quiet=output == "json",
        )
    )
    failed = [result for result in results if result.why]
    rules = len({result.rule.id for result in results})
    if output == "json":
        body = {
            "rules": rules,
            "passed": len(results) - len(failed),
            "failed": [result_as_json(result) for result in failed],
        }
        typer.echo(json.dumps(body, ensure_ascii=False))
    else:
        for result in failed:
            typer.echo(
                f"FAILED {result.test.at.file}:{result.test.at.line} {result.rule.id}: it {result.why}"
            )
        tally = f"{len(failed)} failed, " if failed else ""
        typer.echo(
            f"{tally}{len(results) - len(failed)} passed: {counted(rules, 'rule')} in {time.monotonic() - began:.1f} s"
        )
    if not results:
        raise CommandError(f"No rule matches {only!r}, or none has tests.", USAGE)
    if failed:
        raise typer.Exit(1)


def _running(results: Iterator[Result], *, quiet: bool) -> Iterator[Result]:
    """The results as they arrive, with a line of dots for each file."""
    file = ""
    for result in results:
        if not quiet:
            if result.rule.at.file != file:
                file = result.rule.at.file
                typer.echo(f"\n{file} ", nl=False)
            typer.echo("F" if result.why else ".", nl=False)
        yield result
    if not quiet:
        typer.echo("\n")
