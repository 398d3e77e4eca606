"""`earthflow rules show` and `schema`: the rules as written or in effect, and their JSON Schema."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.client import Control
from cli.errors import CommandError
from cli.output import Output, emit_table
from cli.remote import control
from cli.rules.sources import (
    Only,
    Rules,
    Tenant,
    default_rules,
    library_of,
)
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
    api = _reached() if effective or (tenant and not preset) else None
    chosen = preset or _preset_of(api, tenant)
    layers = _layers_of(api, tenant) if effective else {}
    library = library_of(rules or default_rules(), layers, "portable")
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
            "Later replaces earlier: preset; operator's files by name, layer for all; tenant's file, operator's layer for it, exceptions. "
            "Overrides: operator's, tenant's, preset's. The tenant's own layer only tightens."
        )


def schema_() -> None:
    """Print the JSON Schema of rule files, for editors."""
    typer.echo(json.dumps(schema.schema(), indent=2, ensure_ascii=False))


def _reached() -> Control | None:
    """Control, whose preset and layers count; None where it cannot be asked, which is said."""
    try:
        api = control()
        api.get("/v1/rules/layers")
    except CommandError as error:
        typer.echo(
            f"These are files alone, without layers, and the preset is `default` unless --preset names one: {error}",
            err=True,
        )
        return None
    return api


def _preset_of(api: Control | None, tenant: str) -> str:
    """The preset that control has for a tenant; `default` where it knows none."""
    if api is None or not tenant:
        return "default"
    try:
        return str(api.get(f"/v1/tenants/{tenant}")["rules_preset"])
    except CommandError:
        return "default"


def _layers_of(api: Control | None, tenant: str) -> dict[str, str]:
    """The layers that concern a tenant, by the names of their sources."""
    if api is None:
        return {}
    paths = ["/v1/rules/layers/all"]
    if tenant:
        known = api.get(f"/v1/rules/layers?tenant={tenant}")["layers"]
        paths += [_path_of(one) for one in known if one["tenant"] == tenant]
    found = [api.get(path) for path in paths]
    return {one["source"]: one["text"] for one in found if one["text"]}


def _path_of(layer: Mapping[str, Any]) -> str:
    """Where the API has a tenant's layer of a kind."""
    kind = {"tenant": "layer"}.get(layer["layer"], layer["layer"])
    return f"/v1/tenants/{layer['tenant']}/rules/{kind}"


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
