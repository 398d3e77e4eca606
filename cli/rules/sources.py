"""The rule sources of a command, and the options that name them."""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal

import typer

from cli.errors import USAGE, CommandError
from cli.settings import UpSettings
from rules.complaint import BadRules
from rules.layers import TENANTS
from rules.load import Library
from rules.sources import PRESETS, SHIPPED, shipped

INVALID = 3  # exit status for rules that cannot be used

# makes the placeholders that are printed; each tenant has a key of its own
KEY = b"earthflow rules try"

Rules = Annotated[
    Path | None,
    typer.Option(
        "--rules",
        help="A rule file or a folder of them; EARTHFLOW_RULES_DIR by default.",
    ),
]

Preset = Annotated[str, typer.Option("--preset", help=f"One of {', '.join(PRESETS)}.")]

Tenant = Annotated[
    str, typer.Option("--tenant", help="Add the tenant's own file, tenants/<id>.yaml.")
]

Answer = Annotated[
    bool,
    typer.Option("--answer", help="The text is a model's answer, not a prompt."),
]

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


def read_sources(path: Path) -> Iterator[tuple[str, str]]:
    """Source names and texts of a file, or of a folder with its tenants."""
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
        raise CommandError(f"There is no {path}.", USAGE)
    if not files:
        raise CommandError(f"There are no .yaml files in {path}.", USAGE)
    for name, file in files:
        try:
            yield name, file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"{file} cannot be read: {error}", INVALID) from None


def default_rules() -> Path | None:
    """The rules of EARTHFLOW_RULES_DIR."""
    return UpSettings().rules_dir


def library_of(rules: Path | None, own: Mapping[str, str], engine: str) -> Library:
    """All rules. Ends the command where they cannot be used."""
    sources = {
        **shipped(),
        **(dict(read_sources(rules)) if rules is not None else {}),
        **own,
    }
    library = Library(sources, portable=engine == "portable")
    try:
        library.check(["default"])
    except BadRules as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(INVALID) from None
    return library


def read_stdin() -> str:
    """Standard input as text, without its last line end."""
    return sys.stdin.buffer.read().decode("utf-8", "replace").removesuffix("\n")
