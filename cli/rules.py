"""`earthflow rules …`: what an author of rules needs. Works offline, on the shipped rules and the files one names."""

import json
import sys
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.text import Text

from cli.cases import try_cases
from cli.client import Control
from cli.output import Output, RowsOutput, console, emit_table
from cli.secrets_file import admin_key
from cli.settings import UpSettings
from cli.shown import complaint_as_json, counted, highlighted, line_of, result_as_json, verdict_as_json
from cli.trouble import USAGE, Trouble
from rules import cost, schema
from rules.complaint import BadRules, Complaint
from rules.evaluate import Verdict, evaluate
from rules.exchange import Exchange
from rules.lint import advice
from rules.load import PRESETS, SHIPPED, TENANTS, Library, shipped
from rules.recorded import exchange_from
from rules.rulebook import Rulebook
from rules.testing import Result, run

INVALID = 3  # the exit status for rules that cannot be used
KEY = b"earthflow rules try"  # makes the placeholders that are shown here; a tenant's own key makes its own

app = typer.Typer(no_args_is_help=True, help="Write, check and try rules.", rich_markup_mode=None)

Rules = Annotated[
    Path | None,
    typer.Option("--rules", help="A rule file or a folder of them; EARTHFLOW_RULES_DIR by default."),
]
Preset = Annotated[str, typer.Option("--preset", help=f"One of {', '.join(PRESETS)}.")]
Tenant = Annotated[str, typer.Option("--tenant", help="With the tenant's own file, tenants/<id>.yaml.")]
Answer = Annotated[bool, typer.Option("--answer", help="It is what a model answered, not what it was asked.")]
Cases = Annotated[
    Path | None,
    typer.Option(
        "--cases",
        help='JSON lines: texts, calls, answers (docs/rules.md, "Cases"); - for standard input.',
        allow_dash=True,
    ),
]
Only = Annotated[str, typer.Option("--only", help="Rules whose ids match this glob.")]
Engine = Annotated[
    Literal["portable", "hyperscan"],
    typer.Option("--engine", help="hyperscan takes seconds to compile the packs."),
]


@app.command()
def lint(
    paths: Annotated[list[Path], typer.Argument(help="Rule files, or folders of them.")],
    strict: Annotated[bool, typer.Option("--strict", help="Warnings fail, too.")] = False,
    output: Output = "table",
) -> None:
    """Say what is wrong with rule files, and what could be better. Exit status 3: they cannot be used."""
    own = {name: text for path in paths for name, text in _read(path)}
    library = Library({**shipped(), **own}, portable=True)
    found: list[Complaint] = []
    try:
        library.check(["default"])
        for tenant in ("", *library.tenants):
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
        typer.echo(json.dumps([complaint_as_json(complaint) for complaint in found], ensure_ascii=False))
    else:
        for complaint in found:
            typer.echo(f"{complaint}\n")
        typer.echo(
            f"{counted(len(own), 'file')}: {counted(errors, 'error')}, {counted(len(found) - errors, 'warning')}"
        )
    if errors or (strict and found):
        raise typer.Exit(INVALID)


@app.command()
def test(
    path: Annotated[
        Path | None, typer.Argument(help="A rule file or a folder; without, everything there is.")
    ] = None,
    preset: Preset = "default",
    tenant: Tenant = "",
    only: Only = "*",
    engine: Engine = "portable",
    output: Output = "table",
) -> None:
    """Run the tests written in rules. Exit status 1: some fail."""
    own = dict(_read(path)) if path is not None else {}
    library = _library(None if path is not None else _default_rules(), own, engine)
    began = time.monotonic()
    results = list(
        _running(run(library, preset, tenant, only, set(own) if own else None), quiet=output == "json")
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
        raise Trouble(f"No rule matches {only!r}, or none has tests.", USAGE)
    if failed:
        raise typer.Exit(1)


@app.command(name="try")
def try_(
    text: Annotated[
        str | None,
        typer.Argument(help="A prompt; without, standard input: a prompt or a recorded JSON body."),
    ] = None,
    rules: Rules = None,
    preset: Preset = "default",
    tenant: Tenant = "",
    model: Annotated[str, typer.Option("--model", help="As if the call named this model.")] = "",
    answer: Answer = False,
    cases: Cases = None,
    output: RowsOutput = "table",
) -> None:
    """Show which rules fire on a text, where, and why; with --cases, what the proxy makes of each line of a file."""
    if cases is not None:
        if text is not None or model or answer:
            raise Trouble(
                "--cases goes without a text, --model and --answer: each line of the file says what it is.",
                USAGE,
            )
        own, providers = rules or _default_rules(), UpSettings().providers
        sources = dict(_read(own)) if own is not None else {}
        job = {
            "sources": sources,
            "preset": preset,
            "tenant": tenant,
            "providers": str(providers.resolve()) if providers else None,
        }
        try_cases(cases, job, output)
        return
    if output in ("jsonl", "csv"):
        raise Trouble(f"-o {output} goes with --cases.", USAGE)
    book, exchange, verdict = _tried(
        text if text is not None else _stdin(), rules, preset, tenant, model, answer=answer
    )
    if output == "json":
        typer.echo(json.dumps(verdict_as_json(book, exchange, verdict), ensure_ascii=False))
        return
    console.print(Text(verdict.action, style="bold"), f"under {preset}, rules {book.version}")
    for number, part in enumerate(exchange.parts):
        marked = highlighted(part.text, number, verdict)
        if marked is not None:
            label = f"{part.role} {part.kind}" if len(exchange.parts) > 1 else ""
            console.print(Text(f"{label}: ") + marked if label else marked)
    for one in verdict.fired:
        console.print(Text(line_of(one)))


@app.command()
def explain(
    call: Annotated[
        Path, typer.Argument(help="A recorded JSON body, or - for standard input.", allow_dash=True)
    ],
    rules: Rules = None,
    preset: Preset = "default",
    tenant: Tenant = "",
    answer: Answer = False,
    output: Output = "table",
) -> None:
    """Explain one call: what was read, what fired, what follows, and in which order it was decided."""
    book, exchange, verdict = _tried(
        _stdin() if str(call) == "-" else call.read_text(), rules, preset, tenant, "", answer=answer
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
        f"rulebook   {preset} {book.version}, {len(asked.judges) if (asked := book.of(exchange.direction)) else 0} rules"
    )
    for one in verdict.fired:
        typer.echo(f"fired      {line_of(one)}")
    why = f"by {verdict.by.id}" if verdict.by else "nothing asks for more"
    typer.echo(f"verdict    {verdict.action} ({why})")
    if verdict.would:
        typer.echo(f"would be   {verdict.would}, if rules in monitor mode were enforced")
    for edit in verdict.edits:
        typer.echo(
            f"edit       literal {edit.literal}, characters {edit.start} to {edit.end} become {edit.text}"
        )


@app.command()
def diff(
    before: Annotated[Path, typer.Argument(help="A rule file or folder, or the name of a preset.")],
    after: Annotated[Path, typer.Argument(help="The same, for comparison.")],
    exchanges: Annotated[
        Path, typer.Argument(help="JSON lines: bodies, or prompts as strings; - for stdin.", allow_dash=True)
    ],
    output: Output = "table",
) -> None:
    """Compare two rulebooks over recorded exchanges. Exit status 1: they differ."""
    books = [_book_of(path) for path in (before, after)]
    lines = (_stdin() if str(exchanges) == "-" else exchanges.read_text()).splitlines()
    changed: list[dict[str, Any]] = []
    for number, line in enumerate(filter(str.strip, lines), 1):
        exchange = exchange_from(_prompt(line, number), datetime.now(UTC))
        old, new = (_outline(evaluate(book, exchange, key=KEY)) for book in books)
        if old != new:
            changed.append({"line": number, "before": old, "after": new})
    if output == "json":
        typer.echo(json.dumps({"exchanges": len(lines), "changed": changed}, ensure_ascii=False))
    else:
        rows = [
            (
                str(one["line"]),
                *("\n".join((one[side]["action"], *one[side]["rules"])) for side in ("before", "after")),
            )
            for one in changed
        ]
        if rows:
            emit_table(f"{before} against {after}", ("line", "before", "after"), rows)
        typer.echo(f"{len(changed)} of {counted(len(lines), 'exchange')} judged otherwise")
    if changed:
        raise typer.Exit(1)


@app.command()
def bench(
    rules: Rules = None,
    preset: Preset = "default",
    top: Annotated[int, typer.Option("--top", help="So many of the slowest.")] = 15,
    output: Output = "table",
) -> None:
    """Print what each rule costs, the slowest first."""
    library = _library(rules or _default_rules(), {}, "hyperscan")
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
    rows = [(one.rule, f"{one.microseconds:.1f}", f"{one.alarms:.1f}") for one in found[:top]]
    emit_table(
        "µs of one core for 16 KB, each rule by itself", ("rule", "µs", "false alarms of stage 1"), rows
    )
    typer.echo(f"all {len(found)} together: {total:.0f} µs for 16 KB")


@app.command()
def show(
    effective: Annotated[
        bool, typer.Option("--effective", help="After replacements and overrides, and from where.")
    ] = False,
    tenant: Tenant = "",
    preset: Annotated[str, typer.Option("--preset", help="Of the tenant, unless control can be asked.")] = "",
    rules: Rules = None,
    only: Only = "*",
    output: Output = "table",
) -> None:
    """List rules: as written, or as they take effect for a tenant and where each came from."""
    library = _library(rules or _default_rules(), {}, "portable")
    chosen = preset or _preset_of(tenant)
    rows = list(_effective(library, chosen, tenant, only) if effective else _written(library, only))
    if output == "json":
        typer.echo(json.dumps(rows, ensure_ascii=False))
        return
    columns = list(rows[0]) if rows else []
    title = (
        f"Rules of {f'tenant {tenant} under ' if tenant else ''}preset {chosen}"
        if effective
        else "Rules as written"
    )
    emit_table(title, columns, [[str(value) for value in row.values()] for row in rows])
    if effective:
        typer.echo(
            "Later replaces earlier: preset, operator's files by name, tenant's file. Overrides: operator's, tenant's, preset's."
        )


@app.command(name="schema")
def schema_() -> None:
    """Print the JSON Schema of rule files, for editors."""
    typer.echo(json.dumps(schema.schema(), indent=2, ensure_ascii=False))


# -- sources ----------------------------------------------------------------------------------------------------------


def _read(path: Path) -> Iterator[tuple[str, str]]:
    """Source names and texts of a file, or of a folder and its tenants."""
    if path.is_dir():
        files = [
            (file.relative_to(path).as_posix(), file)
            for place in (path, path / TENANTS)
            for file in sorted(place.glob("*.yaml"))
        ]
    elif path.exists():
        name = str(path)
        files = [(f"./{name}" if name.startswith((SHIPPED, TENANTS)) else name, path)]
    else:
        raise Trouble(f"There is no {path}.", USAGE)
    if not files:
        raise Trouble(f"There are no .yaml files in {path}.", USAGE)
    for name, file in files:
        try:
            yield name, file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise Trouble(f"{file} cannot be read: {error}", INVALID) from None


def _default_rules() -> Path | None:
    return UpSettings().rules_dir


def _library(rules: Path | None, own: Mapping[str, str], engine: str) -> Library:
    """Everything there is to judge by. Ends the command where it cannot be used."""
    sources = {**shipped(), **(dict(_read(rules)) if rules is not None else {}), **own}
    library = Library(sources, portable=engine == "portable")
    try:
        library.check(["default"])
    except BadRules as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(INVALID) from None
    return library


def _book_of(path: Path) -> Rulebook:
    if str(path) in PRESETS and not path.exists():
        return _library(None, {}, "portable").rulebook(str(path))
    return _library(path, {}, "portable").rulebook("default")


def _preset_of(tenant: str) -> str:
    """The preset that control knows for a tenant; `default` where it cannot be asked."""
    if not tenant:
        return "default"
    settings = UpSettings()
    key = admin_key(settings.state_dir, settings.admin_key.get_secret_value() if settings.admin_key else None)
    if key is not None:
        try:
            known = Control(f"http://127.0.0.1:{settings.dashboard_port}", key).get("/v1/tenants")["tenants"]
            return next((str(one["rules_preset"]) for one in known if one["id"] == tenant), "default")
        except Trouble:
            pass
    typer.echo(
        "Control cannot be asked for the tenant's preset; shown for `default`. Name another with --preset.",
        err=True,
    )
    return "default"


def _written(library: Library, only: str) -> Iterator[dict[str, Any]]:
    for name in sorted(library.sources):
        for rule in library.file(name).rules:
            if Path(rule.id).match(only):
                yield {
                    "id": rule.id,
                    "action": rule.action or "score",
                    "severity": rule.severity,
                    "mode": rule.mode,
                    "from": name,
                }


def _effective(library: Library, preset: str, tenant: str, only: str) -> Iterator[dict[str, Any]]:
    assembled = library.assemble(preset, tenant)
    for rule in assembled.rules.values():
        if Path(rule.id).match(only):
            patches = [
                f"{override.at.file}:{override.at.line}" for override in assembled.patches.get(rule.id, ())
            ]
            said = {
                "id": rule.id,
                "action": rule.action or "score",
                "severity": rule.severity,
                "mode": rule.mode,
                "priority": rule.weight,
            }
            yield {**said, "from": f"{rule.at.file}:{rule.at.line}", "overrides": ", ".join(patches)}


# -- trying -----------------------------------------------------------------------------------------------------------


def _tried(
    text: str, rules: Path | None, preset: str, tenant: str, model: str, *, answer: bool
) -> tuple[Rulebook, Exchange, Verdict]:
    try:
        book = _library(rules or _default_rules(), {}, "portable").rulebook(preset, tenant)
    except BadRules as error:
        raise Trouble(str(error), INVALID) from None
    exchange = exchange_from(
        text, datetime.now(UTC), answer=answer, tenant=tenant, **({"model": model} if model else {})
    )
    return book, exchange, evaluate(book, exchange, key=KEY)


def _stdin() -> str:
    return sys.stdin.buffer.read().decode("utf-8", "replace").removesuffix("\n")


def _prompt(line: str, number: int) -> str:
    try:
        value = json.loads(line)
    except ValueError:
        raise Trouble(f"Line {number} of the exchanges is not JSON.", USAGE) from None
    return value if isinstance(value, str) else line


def _outline(verdict: Verdict) -> dict[str, Any]:
    return {"action": verdict.action, "rules": [one.judge.id for one in verdict.fired]}


# -- saying -----------------------------------------------------------------------------------------------------------


def _running(results: Iterator[Result], *, quiet: bool) -> Iterator[Result]:
    """The results as they come, with a line of dots for each file."""
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
