"""`earthflow login` and `logout`: a key of one's own for the command, by the organisation's single sign-on, kept with a context."""

import re
import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer

from cli import context, remote
from cli.client import Control, Refused
from cli.context import Context
from cli.errors import USAGE, CommandError
from cli.output import Output, emit

# What ends the wait. Nothing else does: control may start again meanwhile.
OVER = ("login_ended", "no_sign_in")


def login(
    url: Annotated[
        str | None,
        typer.Option(
            "--url", help="Of an Earthflow that has no context yet: it gets one."
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option("--name", help="Of that context; by default the URL's host."),
    ] = None,
    ca: Annotated[
        Path | None,
        typer.Option("--ca", help="PEM file of the CA that signed its certificate."),
    ] = None,
    output: Output = "table",
) -> None:
    """Get a key by signing in at a browser, here or on another machine. It ends within a working day."""
    there = _of_url(url, name, ca) if url is not None else _in_use()
    if context.has_lasting_key(there.name):
        raise CommandError(
            f"The context {there.name} has a key that signing in would replace. Give another name (--name), or remove it first.",
            USAGE,
        )
    context.try_to_keep(there.name)
    control = remote.with_key(there.url, "", there.ca)
    waiting = control.post("/sign-in/logins", {})
    typer.echo(f"Open {waiting['url']} and give this code: {waiting['user_code']}", err=True)  # fmt: skip
    got = _waited(control, waiting)
    if url is not None:
        context.keep(there)
        context.use(there.name)
    context.keep_key(there.name, got.pop("api_key"), signed_in=True)
    if there.key is not None:
        with suppress(CommandError):  # it ends by itself within an hour
            _sign_out(there)
    emit({"context": there.name, **got}, output)


def logout(output: Output = "table") -> None:
    """End the key that `earthflow login` got for the context in use."""
    there = _in_use()
    if there.key is None:
        raise CommandError(f"The context {there.name} has no key.", USAGE)
    ended = _sign_out(there)
    context.keep_key(there.name, None)
    emit({"context": there.name, "ended": ended}, output)


def _sign_out(there: Context) -> str | None:
    """End a key that came by signing in: its id; None where it has ended already, or is another."""
    try:
        told = remote.with_key(there.url, there.key or "", there.ca).post("/sign-out", {})  # fmt: skip
    except Refused as error:
        if error.code not in ("unauthorized", "no_sign_in"):
            raise
        return None
    return str(told["ended"])


def _of_url(url: str, name: str | None, ca: Path | None) -> Context:
    host = urlsplit(url).hostname or ""
    named = name or re.sub(r"[^A-Za-z0-9_-]", "-", host)
    return context.new(named, url, ca)


def _in_use() -> Context:
    found = context.chosen(remote.said[-1] if remote.said else None)
    if found is None:
        raise CommandError(
            "There is no context to log in to: `earthflow login --url https://host` makes one.",
            USAGE,
        )
    return found


def _waited(control: Control, waiting: dict[str, Any]) -> dict[str, Any]:
    """The key, once somebody signed in. Raises CommandError where nobody does in time."""
    deadline = time.monotonic() + waiting["expires_in"]
    while time.monotonic() < deadline:
        time.sleep(waiting["interval"])
        try:
            got: dict[str, Any] = control.post("/sign-in/logins/poll", {"code": waiting["code"]})  # fmt: skip
        except Refused as error:
            if error.code in OVER:
                raise
        except CommandError:
            continue
        else:
            return got
    raise CommandError("Nobody signed in within the time. Log in again.")
