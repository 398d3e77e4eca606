"""What commands that list things have in common."""

from typing import Annotated
from urllib.parse import urlencode

import typer

Search = Annotated[
    str | None,
    typer.Option("--search", help="Of those whose id or name has this text."),
]
Limit = Annotated[
    int | None,
    typer.Option("--limit", min=1, max=1000, help="The most to list; by default all."),
]


def query_of(**told: object) -> str:
    """What of this was given, as a query."""
    return urlencode({name: value for name, value in told.items() if value is not None})
