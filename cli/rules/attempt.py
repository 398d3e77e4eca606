"""`earthflow rules try` and `explain`: which rules fire on a text or a call, and why."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from cli.errors import USAGE, CommandError
from cli.output import Output, RowsFormat, RowsOutput, console
from cli.rules.cases import try_cases
from cli.rules.report import (
    highlighted,
    line_of,
    verdict_as_json,
)
from cli.rules.sources import (
    INVALID,
    KEY,
    Answer,
    Cases,
    Preset,
    Rules,
    Tenant,
    default_rules,
    library_of,
    read_sources,
    read_stdin,
)
from cli.settings import UpSettings
from rules.complaint import BadRules
from rules.evaluate import evaluate
from rules.exchange import Exchange
from rules.overlaps import overlaps
from rules.rulebook import Rulebook
from rules.sample_exchange import exchange_from
from rules.verdict import Verdict


def try_(
    text: Annotated[
        str | None,
        typer.Argument(
            help="A prompt; by default standard input has a prompt or a recorded JSON body."
        ),
    ] = None,
    rules: Rules = None,
    preset: Preset = "default",
    tenant: Tenant = "",
    model: Annotated[
        str, typer.Option("--model", help="As if the call named this model.")
    ] = "",
    answer: Answer = False,
    cases: Cases = None,
    output: RowsOutput = "table",
) -> None:
    """Show which rules fire on a text, where, and why; with --cases, what the proxy
    would do with each line of a file.
    """
    if cases is not None:
        if text is not None or model or answer:
            raise CommandError(
                "--cases goes without a text, --model and --answer: each line of the file says what it is.",
                USAGE,
            )
        _try_cases(cases, rules, preset, tenant, output)
        return
    if output in ("jsonl", "csv"):
        raise CommandError(f"-o {output} goes with --cases.", USAGE)
    book, exchange, verdict = _tried(
        text if text is not None else read_stdin(),
        rules,
        preset,
        tenant,
        model,
        answer=answer,
    )
    if output == "json":
        typer.echo(
            json.dumps(verdict_as_json(book, exchange, verdict), ensure_ascii=False)
        )
        return
    console.print(
        Text(verdict.action, style="bold"), f"under {preset}, rules {book.version}"
    )
    for number, part in enumerate(exchange.parts):
        marked = highlighted(part.text, number, verdict)
        if marked is not None:
            label = f"{part.role} {part.kind}" if len(exchange.parts) > 1 else ""
            console.print(Text(f"{label}: ") + marked if label else marked)
    for one in verdict.fired:
        console.print(Text(line_of(one)))


def _try_cases(
    cases: Path, rules: Path | None, preset: str, tenant: str, output: RowsFormat
) -> None:
    own, providers = rules or default_rules(), UpSettings().providers
    job = {
        "sources": dict(read_sources(own)) if own is not None else {},
        "preset": preset,
        "tenant": tenant,
        "providers": str(providers.resolve()) if providers else None,
    }
    try_cases(cases, job, output)


def explain(
    call: Annotated[
        Path,
        typer.Argument(
            help="A recorded JSON body, or - for standard input.", allow_dash=True
        ),
    ],
    rules: Rules = None,
    preset: Preset = "default",
    tenant: Tenant = "",
    answer: Answer = False,
    output: Output = "table",
) -> None:
    """Explain one call: what was read, which rules fired, what follows, and in which
    order it was decided.
    """
    book, exchange, verdict = _tried(
        read_stdin() if str(call) == "-" else call.read_text(),
        rules,
        preset,
        tenant,
        "",
        answer=answer,
    )
    told = verdict_as_json(book, exchange, verdict)
    if output == "json":
        typer.echo(json.dumps(told, ensure_ascii=False))
        return
    typer.echo(
        f"read       {len(exchange.parts)} texts, coverage {told['coverage']}, about {exchange.tokens} tokens"
    )
    typer.echo(
        f"history    {f'the first {exchange.old} texts' if exchange.old else 'none'} (history: {book.history})"
    )
    typer.echo(
        f"rulebook   {preset} {book.version}, {len(asked.rules) if (asked := book.of(exchange.direction)) else 0} rules"
    )
    for one in verdict.fired:
        typer.echo(f"fired      {line_of(one)}")
    why = f"by {verdict.by.id}" if verdict.by else "nothing asks for more"
    typer.echo(f"verdict    {verdict.action} ({why})")
    if verdict.would:
        typer.echo(
            f"would be   {verdict.would}, if rules in monitor mode were enforced"
        )
    if verdict.would_strict:
        typer.echo(f"would be   {verdict.would_strict}, under the preset strict")
    for loser, winner in overlaps(verdict.fired):
        typer.echo(
            f"overlap    {winner.id} (priority {winner.priority}) replaces what {loser.id} (priority {loser.priority}) finds, too"
        )
    for edit in verdict.edits:
        typer.echo(
            f"edit       literal {edit.literal}, characters {edit.start} to {edit.end} become {edit.text}"
        )


def _tried(
    text: str, rules: Path | None, preset: str, tenant: str, model: str, *, answer: bool
) -> tuple[Rulebook, Exchange, Verdict]:
    try:
        book = library_of(rules or default_rules(), {}, "portable").rulebook(
            preset, tenant
        )
    except BadRules as error:
        raise CommandError(str(error), INVALID) from None
    exchange = exchange_from(
        text,
        datetime.now(UTC),
        answer=answer,
        tenant=tenant,
        **({"model": model} if model else {}),
    )
    return book, exchange, evaluate(book, exchange, key=KEY)
