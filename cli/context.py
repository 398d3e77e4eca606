"""`earthflow context`: names for several Earthflows, each with its URL, its key and, if
needed, its CA.

`~/.config/earthflow/config.toml` has the URLs; keys are in files beside it that only
their owner can read.
"""

import json
import os
import re
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from cli.errors import USAGE, CommandError
from cli.output import RowsOutput, emit_rows
from cli.secrets_file import write_private
from cli.settings import UpSettings

app = typer.Typer(
    help="Several Earthflows by name: list, add, use, remove.", no_args_is_help=True
)

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
Name = Annotated[str, typer.Argument(help="Of the context.")]


class Context(NamedTuple):
    """One Earthflow."""

    name: str
    url: str
    key: str | None
    ca: str | None


def chosen(said: str | None) -> Context | None:
    """The context named by --context or EARTHFLOW_CONTEXT, else the one in use, else
    None. Raises CommandError where it is unknown.
    """
    known = _read()
    name = said or UpSettings().context or known.get("current")
    if not name:
        return None
    found = known.get("contexts", {}).get(name)
    if found is None:
        raise CommandError(
            f"There is no context {name}. `earthflow context list` shows all.",
            USAGE,
        )
    key = _key_file(name)
    return Context(
        name,
        found["url"],
        key.read_text().strip() if key.exists() else None,
        found.get("ca"),
    )


@app.command("list")
def list_(output: RowsOutput = "table") -> None:
    """List the contexts, never their keys."""
    known = _read()
    rows = [
        {
            "name": name,
            "url": one["url"],
            "ca": one.get("ca"),
            "in_use": name == known.get("current"),
            "has_key": _key_file(name).exists(),
        }
        for name, one in sorted(known.get("contexts", {}).items())
    ]
    emit_rows(("name", "url", "ca", "in_use", "has_key"), rows, output)


@app.command()
def add(
    name: Name,
    url: Annotated[
        str,
        typer.Option(
            "--url", help="The API's URL: https://host:8443, or http://host:8080."
        ),
    ],
    key: Annotated[
        str | None,
        typer.Option(
            "--key",
            help="- to read the key from standard input: a command line shows it to others.",
        ),
    ] = None,
    ca: Annotated[
        Path | None,
        typer.Option("--ca", help="PEM file of the CA that signed its certificate."),
    ] = None,
) -> None:
    """Add an Earthflow under a name, or replace it. The first one is used from now on."""
    there = new(name, url, ca)
    if key not in (None, "-"):
        raise CommandError("Give the key by standard input: --key -", USAGE)
    keep(there)
    if key is not None:
        keep_key(name, sys.stdin.readline().strip())


def new(name: str, url: str, ca: Path | None) -> Context:
    """A context without a key, which nothing has yet. Raises CommandError."""
    if not NAME.fullmatch(name):
        raise CommandError("A context's name has letters, digits, - and _.", USAGE)
    if not re.fullmatch(r"https?://[^@\s]+", url):
        raise CommandError("--url is like https://host:8443.", USAGE)
    return Context(name, url.rstrip("/"), None, str(ca.absolute()) if ca else None)


def keep(context: Context) -> None:
    """Add a context, or replace it. The first one is used from now on."""
    _key_file(context.name).unlink(missing_ok=True)  # it is for another URL
    known = _read()
    one = {"url": context.url, **({"ca": context.ca} if context.ca else {})}
    contexts = {**known.get("contexts", {}), context.name: one}
    _write(known.get("current") or context.name, contexts)


def keep_key(name: str, key: str | None, *, signed_in: bool = False) -> None:
    """Keep the key of a context, or none; whether it came by signing in is kept, too. Raises CommandError."""
    mark = _key_file(name).with_name(f"{name}.signed-in")
    if key is None:
        _key_file(name).unlink(missing_ok=True)
    else:
        write_private(_key_file(name), key + "\n")
    if signed_in:
        write_private(mark, "")
    else:
        mark.unlink(missing_ok=True)


def has_lasting_key(name: str) -> bool:
    """Whether a context has a key that did not come by signing in: it is nowhere else."""
    file = _key_file(name)
    return file.exists() and not file.with_name(f"{name}.signed-in").exists()


def try_to_keep(name: str) -> None:
    """Raises CommandError where no key of a context could be kept."""
    trial = _key_file(name).with_name(f"{name}.trial")
    write_private(trial, "")
    trial.unlink()


@app.command()
def use(name: Name) -> None:
    """Use this context from now on."""
    chosen(name)
    _write(name, _read()["contexts"])


@app.command()
def remove(name: Name) -> None:
    """Remove a context, and its key."""
    chosen(name)
    known = _read()
    keep_key(name, None)
    left = {other: one for other, one in known["contexts"].items() if other != name}
    _write(known.get("current") if known.get("current") != name else None, left)


def _folder() -> Path:
    return UpSettings().config_dir


def _key_file(name: str) -> Path:
    return _folder() / "keys" / name


def _read() -> dict[str, Any]:
    try:
        return tomllib.loads((_folder() / "config.toml").read_text())
    except FileNotFoundError:
        return {}
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise CommandError(
            f"{_folder() / 'config.toml'} cannot be read: {error}. Correct the file, or remove it."
        ) from None


def _write(current: str | None, contexts: Mapping[str, Mapping[str, str]]) -> None:
    lines = (
        [f"current = {json.dumps(current, ensure_ascii=False)}", ""] if current else []
    )
    for name, one in sorted(contexts.items()):
        lines += [
            f"[contexts.{name}]",
            *(
                f"{field} = {json.dumps(value, ensure_ascii=False)}"
                for field, value in one.items()
            ),
            "",
        ]
    (_folder() / "keys").mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = _folder() / f"config.toml.{os.getpid()}"
    temporary.write_text("\n".join(lines))
    temporary.replace(_folder() / "config.toml")
