"""`earthflow rules show` and `schema`: the rules as written or in effect, and their JSON Schema."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.client import Control
from cli.errors import CommandError
from cli.output import Output, emit_table
from cli.rules.sources import (
    Only,
    Rules,
    Tenant,
    default_rules,
    library_of,
)
from cli.secrets_file import admin_key
from cli.settings import UpSettings
from rules import schema
from rules.load import Library


def show(
    effective: Annotated[
        bool,
        typer.Option("--effective", help="As they take effect, and from which file."),
    ] = False,
    tenant: Tenant = "",
    preset: Annotated[
        str,
        typer.Option(
            "--preset", help="The tenant's preset; by default control is asked."
        ),
    ] = "",
    rules: Rules = None,
    only: Only = "*",
    output: Output = "table",
) -> None:
    """List rules: as written, or as they take effect for a tenant and where each comes
    from.
    """
    library = library_of(rules or default_rules(), {}, "portable")
    chosen = preset or _preset_of(tenant)
    rows = list(
        _effective(library, chosen, tenant, only)
        if effective
        else _written(library, only)
    )
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


def schema_() -> None:
    """Print the JSON Schema of rule files, for editors."""
    typer.echo(json.dumps(schema.schema(), indent=2, ensure_ascii=False))


def _preset_of(tenant: str) -> str:
    """The preset that control has for a tenant; `default` where control cannot be
    asked.
    """
    if not tenant:
        return "default"
    settings = UpSettings()
    key = admin_key(
        settings.state_dir,
        settings.admin_key.get_secret_value() if settings.admin_key else None,
    )
    if key is not None:
        try:
            known = Control(f"http://127.0.0.1:{settings.dashboard_port}", key).get(
                "/v1/tenants"
            )["tenants"]
            return next(
                (str(one["rules_preset"]) for one in known if one["id"] == tenant),
                "default",
            )
        except CommandError:
            pass
    typer.echo(
        "Control cannot be asked for the tenant's preset, so this is `default`. Use --preset for another.",
        err=True,
    )
    return "default"


def _written(library: Library, only: str) -> Iterator[dict[str, Any]]:
    for name in sorted(library.written.texts):
        for rule in library.written.file(name).rules:
            if Path(rule.id).match(only):
                yield {
                    "id": rule.id,
                    "action": rule.action or "score",
                    "severity": rule.severity,
                    "mode": rule.mode,
                    "from": name,
                }


def _effective(
    library: Library, preset: str, tenant: str, only: str
) -> Iterator[dict[str, Any]]:
    assembled = library.written.assemble(preset, tenant)
    for rule in assembled.rules.values():
        if Path(rule.id).match(only):
            patches = [
                f"{override.at.file}:{override.at.line}"
                for override in assembled.patches.get(rule.id, ())
            ]
            said = {
                "id": rule.id,
                "action": rule.action or "score",
                "severity": rule.severity,
                "mode": rule.mode,
                "priority": rule.weight,
            }
            yield {
                **said,
                "from": f"{rule.at.file}:{rule.at.line}",
                "overrides": ", ".join(patches),
            }
