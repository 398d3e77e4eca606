"""How a command prints: data on standard output, as a table for people or JSON for programs; all else on standard error."""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

Format = Literal["table", "json"]
Output = Annotated[Format, typer.Option("--output", "-o", help="table or json.")]

WIDTH = 140  # columns where there is no terminal to ask

console = Console() if sys.stdout.isatty() else Console(width=WIDTH)


def emit(value: Mapping[str, Any], output: Format) -> None:
    """One thing, as a list of its properties."""
    if output == "json":
        typer.echo(json.dumps(value, ensure_ascii=False))
        return
    width = max(len(name) for name in value)
    for name, text in value.items():
        typer.echo(f"{name:<{width}}  {text}")


def emit_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Rows under headings; no markup is read from cells."""
    table = Table(title=title, title_justify="left", show_lines=True)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(table)
