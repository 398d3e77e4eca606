"""Output of commands: data on standard output, as a table or JSON; all else on standard
error.
"""

import csv
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.plain import plain

Format = Literal["table", "json"]
RowsFormat = Literal["table", "json", "jsonl", "csv"]
Output = Annotated[Format, typer.Option("--output", "-o", help="table or json.")]
RowsOutput = Annotated[
    RowsFormat, typer.Option("--output", "-o", help="table, json, jsonl or csv.")
]

# Columns of a terminal below which a table's column is unreadable; it has three of lines and space around.
NARROWEST_COLUMN = 11
# Of a table with lines around each cell, which takes a millisecond for a row; more are plain columns.
MOST_ROWS = 300
WIDTH = 140  # columns where there is no terminal

console = Console() if sys.stdout.isatty() else Console(width=WIDTH)


def emit(value: Mapping[str, Any], output: Format) -> None:
    """One thing, as a list of its properties."""
    if output == "json":
        typer.echo(json.dumps(value, ensure_ascii=False))
        return
    width = max(len(name) for name in value)
    for name, text in value.items():
        typer.echo(f"{name:<{width}}  {_cell(text)}")


def emit_rows(
    columns: Sequence[str],
    rows: Sequence[Mapping[str, Any]],
    output: RowsFormat,
    *,
    head: bool = True,
) -> None:
    """Things of one kind.

    A table and CSV have these `columns`; CSV with or without its `head`.
    """
    if output == "json":
        typer.echo(json.dumps(rows, ensure_ascii=False))
    elif output == "jsonl":
        for row in rows:
            typer.echo(json.dumps(row, ensure_ascii=False))
    elif output == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        if head:
            writer.writerow(columns)
        writer.writerows(
            [_field(row.get(column)) for column in columns] for row in rows
        )
    else:
        emit_table(
            "",
            columns,
            [[_cell(row.get(column)) for column in columns] for row in rows],
        )


def _cell(value: object) -> str:
    """A value for a person. Control characters are written out."""
    if value is None:
        return ""
    text = (
        ", ".join(map(str, value))
        if isinstance(value, list)
        else json.dumps(value)
        if isinstance(value, dict)
        else str(value)
    )
    return plain(text)


def _field(value: object) -> str:
    """A cell of CSV. What a spreadsheet would compute is marked as text."""
    text = _cell(value)
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def emit_table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]
) -> None:
    """Rows under headings. Cells are no markup. Where the terminal is too narrow for that, one row is a few lines."""
    if rows and console.width < NARROWEST_COLUMN * len(columns):
        console.print(title) if title else None
        width = max(map(len, columns))
        for row in rows:
            for name, cell in zip(columns, row, strict=True):
                if cell:
                    console.print(Text(f"{name:<{width}}  {cell}"))
            console.print()
        return
    if len(rows) > MOST_ROWS:
        console.print(title) if title else None
        _emit_lines([columns, *rows])
        return
    table = Table(title=title or None, title_justify="left", show_lines=True)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(table)


def _emit_lines(rows: Sequence[Sequence[str]]) -> None:
    """Columns with two spaces between."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = zip(row, widths, strict=True)
        typer.echo("  ".join(f"{cell:<{width}}" for cell, width in cells).rstrip())
