"""`earthflow apply`: makes tenants, with keys and webhooks, what a file says."""

import json
import signal
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import track

from cli.client import Control, Refused
from cli.confirm import Yes, confirm
from cli.errors import FAILED, USAGE, CommandError
from cli.output import Output
from cli.plain import plain
from cli.remote import control
from cli.secrets_file import write_private
from contract.tenant_file import MOST_BYTES, BadFile, ExportOfRules, read_tenants

# Tenants, and bytes, of one request.
MOST_TENANTS, MOST_REQUEST = 500, 500_000
SHOWN = 200  # changes that are printed one by one
SECRET = {"new_keys", "new_webhooks"}
# Times that a request is sent which got no answer, and seconds between.
ATTEMPTS, PAUSE = 3, 2.0
SIGNS = {"create": "+", "change": "~", "delete": "-"}

Tenants = list[dict[str, Any]]


def apply(
    file: Annotated[
        Path,
        typer.Option("--file", "-f", help="YAML or JSON; - for standard input."),
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would be changed.")
    ] = False,
    prune: Annotated[
        bool,
        typer.Option(
            "--prune",
            help="End tenants that the file does not have, and remove webhooks that a tenant's list does not have.",
        ),
    ] = False,
    to: Annotated[
        Path | None,
        typer.Option(
            "--to",
            help="A new file for new keys and webhook secrets, as JSON, instead of showing them.",
        ),
    ] = None,
    yes: Yes = False,
    output: Output = "table",
) -> None:
    """Make tenants what a file says: what it names is created or changed, what it does not name stays.

    It shows what would be changed, asks, and then does it. A second run finishes what an interrupted one began.
    """
    if to is not None and to.exists():
        raise CommandError(f"{to} is there already; name a new file for the keys.", USAGE)  # fmt: skip
    wanted, api = _read(file), control()
    if prune and not wanted:
        raise CommandError(f"{file} has no tenants, and --prune would end them all. Nothing was changed.", USAGE)  # fmt: skip
    chunks = list(_chunks(wanted))
    found = [
        _ask(api, chunk, prune=prune, dry_run=True)
        for chunk in _along(chunks, "Comparing")
    ]
    pruned = _others(api, wanted) if prune else []
    planned = [one for chunk in found for one in chunk if one["action"] != "same"] + [
        {"id": id, "action": "delete"} for id in pruned
    ]
    same = sum(one["action"] == "same" for chunk in found for one in chunk)
    if dry_run or not planned:
        _tell(planned, same, output, dry_run=True)
        return
    if output == "table":
        _tell(planned, same, output, dry_run=True)
    confirm(f"This changes {len(planned)} tenants.", yes=yes)
    if to is not None:
        write_private(to, "")  # now, while nothing is lost
    busy = [
        chunk
        for chunk, said in zip(chunks, found, strict=True)
        if any(one["action"] != "same" for one in said)
    ]
    _carry_out(api, busy, pruned, prune=prune, to=to, same=same, output=output)


def _carry_out(
    api: Control,
    chunks: Sequence[Tenants],
    pruned: Sequence[str],
    *,
    prune: bool,
    to: Path | None,
    same: int,
    output: Output,
) -> None:
    done: Tenants = []
    try:
        with _between() as stopped:
            for chunk in _along(chunks, "Applying"):
                said = _ask(api, chunk, prune=prune, dry_run=False)
                done += [one for one in said if one["action"] != "same"]
                to = _hand_over(done, to)
                stopped()
            for id in _along(pruned, "Ending"):
                api.delete(f"/v1/tenants/{id}")
                done.append({"id": id, "action": "delete"})
                stopped()
    except (CommandError, KeyboardInterrupt) as error:
        _tell(done, same, output, dry_run=False, secrets=to is None)
        why = f" {error}" if isinstance(error, CommandError) else ""
        raise CommandError(
            f"It was interrupted after {len(done)} tenants, which are done.{why} Run it again: it finishes the rest.",
            FAILED,
        ) from None
    _tell(done, same, output, dry_run=False, secrets=to is None)
    if to is not None and to.stat().st_size == 0:
        to.unlink()


@contextmanager
def _between() -> Iterator[Callable[[], None]]:
    """Ctrl-C ends between two requests: of one that is under way nobody would have the keys. A second one ends at once."""
    wanted = False

    def end(*_: object) -> None:
        nonlocal wanted
        if wanted:
            raise KeyboardInterrupt
        wanted = True
        typer.echo("It ends after this request; Ctrl-C again ends it now.", err=True)

    def stopped() -> None:
        if wanted:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, end)
    try:
        yield stopped
    finally:
        signal.signal(signal.SIGINT, before)


def _read(file: Path) -> Tenants:
    try:
        return read_tenants(_content(file))
    except ExportOfRules as found:
        names = ", ".join(sorted(map(str, found.files))) or "none"
        raise CommandError(
            f"{file}: {found}: {names}. Write them into the folder of EARTHFLOW_RULES_DIR, each under its name; they take effect at once.",
            USAGE,
        ) from None
    except BadFile as error:
        raise CommandError(f"{file}: {error}. Nothing was changed.", USAGE) from None


def _content(file: Path) -> bytes:
    if str(file) != "-":
        with file.open("rb") as opened:
            return opened.read(MOST_BYTES + 1)
    if sys.stdin is None:
        raise CommandError("There is no standard input to read.", USAGE)
    return sys.stdin.buffer.read(MOST_BYTES + 1)


def _chunks(wanted: Tenants) -> Iterator[Tenants]:
    chunk: Tenants = []
    size = 0
    for one in wanted:
        length = len(json.dumps(one))
        if chunk and (len(chunk) == MOST_TENANTS or size + length > MOST_REQUEST):
            yield chunk
            chunk, size = [], 0
        chunk.append(one)
        size += length
    if chunk:
        yield chunk


def _ask(api: Control, chunk: Tenants, *, prune: bool, dry_run: bool) -> Tenants:
    """What control says of a request. Where no answer arrives it is asked for it again, under the same key: it is done once."""
    body = {"tenants": chunk, "prune": prune, "dry_run": dry_run}
    key = str(uuid.uuid4())
    for left in reversed(range(ATTEMPTS)):
        try:
            said: Tenants = api.post("/v1/tenants:apply", body, key)["tenants"]
        except Refused as error:
            raise CommandError(_named(str(error), chunk), error.status) from None
        except CommandError:
            if not left:
                raise
            time.sleep(PAUSE)
        else:
            return said
    raise AssertionError("the last attempt raises or returns")


def _named(sentence: str, chunk: Tenants) -> str:
    """A sentence with the tenant's id where it has a place in the list."""
    for number, one in enumerate(chunk):
        sentence = sentence.replace(f"`$.tenants[{number}]", f"`{one['id']}: $")
    return sentence


def _others(api: Control, wanted: Tenants) -> list[str]:
    """The live tenants that the file does not have."""
    named = {one["id"] for one in wanted}
    return [one["id"] for one in api.get("/v1/tenants")["tenants"] if one["id"] not in named]  # fmt: skip


def _hand_over(done: Tenants, to: Path | None) -> Path | None:
    """Put all new secrets so far into a private file; the file, or None where there is none, or it cannot be written any more."""
    made = [
        {"tenant": one["id"], "keys": one.get("new_keys", []), "webhooks": one.get("new_webhooks", [])}
        for one in done
        if one.get("new_keys") or one.get("new_webhooks")
    ]  # fmt: skip
    if to is None or not made:
        return to
    try:
        write_private(to, json.dumps(made, indent=2, ensure_ascii=False) + "\n")
    except CommandError as error:
        typer.echo(f"earthflow: {error} The new keys are shown instead.", err=True)
        return None
    return to


def _tell(
    changes: Tenants, same: int, output: Output, *, dry_run: bool, secrets: bool = False
) -> None:
    """Say what was changed, or would be. `secrets` that are shown nowhere else are never left out."""
    counts = {
        action: sum(one["action"] == action for one in changes) for action in SIGNS
    }
    if not secrets:
        changes = [{name: told for name, told in one.items() if name not in SECRET} for one in changes]  # fmt: skip
    if output == "json":
        typer.echo(json.dumps({"dry_run": dry_run, **counts, "same": same, "tenants": changes}, ensure_ascii=False))  # fmt: skip
        return
    shown = [
        one
        for number, one in enumerate(changes)
        if number < SHOWN or any(map(one.get, SECRET))
    ]
    for one in shown:
        for line in _lines(one):
            typer.echo(line)
    if len(changes) > len(shown):
        typer.echo(f"… and {len(changes) - len(shown)} more")
    words = ("to create", "to change", "to end") if dry_run else ("created", "changed", "ended")  # fmt: skip
    numbers = ", ".join(f"{count:,} {word}" for count, word in zip(counts.values(), words, strict=True))  # fmt: skip
    typer.echo(f"{numbers}, {same:,} unchanged.")


def _lines(one: Mapping[str, Any]) -> Iterator[str]:
    yield f"{SIGNS[one['action']]} {plain(one['id'])}"
    before, after = one.get("before", {}), one.get("after", {})
    for name in dict.fromkeys((*before, *after)):
        old = f"{_shown(before[name])} -> " if name in before else ""
        yield f"    {name}: {old}{_shown(after.get(name))}"
    for key in one.get("new_keys", ()):
        yield f"    new key {key['id']} {plain(key['name'])}: {key['api_key']}"
    for hook in one.get("new_webhooks", ()):
        yield f"    secret of {plain(hook['url'])}: {hook['secret']}"


def _shown(value: object) -> str:
    return plain(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))  # fmt: skip


def _along[One](these: Sequence[One], what: str) -> Iterable[One]:
    """The same, with progress on standard error where a person looks on and it takes long."""
    console = Console(stderr=True)
    hidden = not console.is_terminal or len(these) < 2
    return track(these, what, console=console, transient=True, disable=hidden)
