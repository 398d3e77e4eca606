"""`earthflow doctor`: which clients use the proxy and trust it, which do not trust its
CA, and which bypass it.

Without a program it tries the clients on PATH, against a host that only the proxy can
answer. With one, it runs it and reports what the proxy saw of it.
"""

import asyncio
import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from cli.client import Control
from cli.errors import CommandError
from cli.output import Output, emit_rows, emit_table
from cli.production import BACKUPS, Item, checklist
from cli.relay import Relay
from cli.run import client_environment, way_to_proxy
from cli.settings import UpSettings
from contract.probe import PROBE_HOST, SEEN

Finding = Literal["seen", "distrusts", "goes around", "unopened", "unclear"]
URL = f"https://{PROBE_HOST}/"
PATIENCE = 20.0  # seconds for a client's probe
RECORDED = 5.0  # seconds for a record to get into the audit
CHECK_FAILED = 3
MEANS: dict[Finding, str] = {
    "seen": "its calls go through the proxy and are judged",
    "distrusts": "it uses the proxy and does not trust the CA: give it the CA file (earthflow env)",
    "goes around": 'it does not use the proxy: see README.md, "Connect a client yourself"',
    "unopened": "it uses the proxy, which does not open this host",
    "unclear": "the proxy saw it, but nothing was recorded",
}


@dataclass(frozen=True, slots=True)
class Probe:
    """A kind of client, and the command by which it fetches a URL.

    It is installed where `needs` ends with 0.
    """

    name: str
    command: Sequence[str]
    needs: Sequence[str] = ()


PYTHON = {
    "httpx": f"import httpx; print(httpx.get('{URL}').text)",
    "requests": f"import requests; print(requests.get('{URL}', timeout=10).text)",
    "urllib": f"import urllib.request; print(urllib.request.urlopen('{URL}', timeout=10).read().decode())",
    "aiohttp": "import asyncio, aiohttp\nasync def main():\n async with aiohttp.ClientSession(trust_env=True) as s:\n"
    f"  async with s.get('{URL}') as r: print(await r.text())\nasyncio.run(main())",
}
PROBES = (
    Probe("curl", ("curl", "-sS", "-m", "10", URL)),
    Probe("wget", ("wget", "-qO-", "-T", "10", "-t", "1", URL)),
    *(
        Probe(
            f"python {name}",
            ("python3", "-c", code),
            ("python3", "-c", f"import {name}"),
        )
        for name, code in PYTHON.items()
    ),
    Probe(
        "node fetch",
        ("node", "-e", f"fetch('{URL}').then(r => r.text()).then(console.log)"),
    ),
    Probe(
        "deno fetch",
        ("deno", "eval", f"console.log(await (await fetch('{URL}')).text())"),
    ),
    Probe(
        "bun fetch", ("bun", "-e", f"console.log(await (await fetch('{URL}')).text())")
    ),
)


@dataclass
class Watched:
    """A relay in a thread of ours, and the hosts that were requested through it."""

    hosts: list[str] = field(default_factory=list)
    port: int = 0


def doctor(
    context: typer.Context,
    port: Annotated[
        int | None,
        typer.Option(
            "--port",
            help="The proxy's port on this machine, if not EARTHFLOW_PORT or 8443.",
        ),
    ] = None,
    production: Annotated[
        bool,
        typer.Option(
            "--production",
            help="Go through the checklist of the deployment guide instead.",
        ),
    ] = False,
    backups: Annotated[
        Path, typer.Option("--backups", help="With --production: where backups are.")
    ] = BACKUPS,
    output: Output = "table",
) -> None:
    """Check which clients use the proxy:  earthflow doctor   or, for one program:
    earthflow doctor -- python program.py
    """
    if production:
        _go_through(checklist(backups), output)
        return
    settings = UpSettings()
    way = way_to_proxy(settings, port)
    with _relay(Relay(way)) as watched:
        told = client_environment(settings, "", watched.port)
        if not _proxy_answers(told, watched):
            raise CommandError(
                f"The proxy at {way.host}:{way.port} does not answer, or does not know this key. See /health/ready."
            )
        if context.args:
            control = Control(
                f"{'https' if way.tls else 'http'}://{way.host}:{way.port}",
                way.key,
                way.context,
            )
            found, status = _of_program(context.args, told, watched, control)
        else:
            found = {
                probe.name: _try(probe, told, watched)
                for probe in PROBES
                if _is_there(probe)
            }
            status = 0
    if output == "json":
        typer.echo(json.dumps(found))
    else:
        emit_table(
            "What the proxy sees",
            ("client" if not context.args else "host", "", "that is"),
            _rows(found),
        )
    if status or not set(found.values()) <= {"seen", "unopened"} or not found:
        raise typer.Exit(status or CHECK_FAILED)


def _go_through(items: Sequence[Item], output: Output) -> None:
    """Show a checklist. Ends with 3 where an item failed."""
    rows = [item._asdict() for item in items]
    emit_rows(Item._fields, rows, output)
    if any(item.state == "failed" for item in items):
        raise typer.Exit(CHECK_FAILED)


def _rows(found: dict[str, Finding]) -> list[tuple[str, str, str]]:
    return [(name, finding, MEANS[finding]) for name, finding in found.items()]


@contextmanager
def _relay(relay: Relay) -> Iterator[Watched]:
    watched = Watched()
    relay.seen = watched.hosts.append
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    watched.port = asyncio.run_coroutine_threadsafe(relay.start(), loop).result()
    yield watched
    loop.call_soon_threadsafe(loop.stop)
    thread.join()


def _is_there(probe: Probe) -> bool:
    if shutil.which(probe.command[0]) is None:
        return False
    return (
        not probe.needs
        or subprocess.run(
            probe.needs, capture_output=True, check=False, timeout=PATIENCE
        ).returncode
        == 0
    )


def _try(probe: Probe, told: dict[str, str], watched: Watched) -> Finding:
    """Let a client fetch the probe's URL."""
    watched.hosts.clear()
    try:
        said = subprocess.run(
            probe.command,
            env=told,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        ).stdout
    except subprocess.TimeoutExpired:
        said = ""
    if SEEN in said:
        return "seen"
    return "distrusts" if PROBE_HOST in watched.hosts else "goes around"


def _proxy_answers(told: dict[str, str], watched: Watched) -> bool:
    """Whether the proxy sees a client that is certainly right: Python's own."""
    return (
        _try(Probe("", (sys.executable, "-c", PYTHON["urllib"])), told, watched)
        == "seen"
    )


def _of_program(
    command: Sequence[str], told: dict[str, str], watched: Watched, control: Control
) -> tuple[dict[str, Finding], int]:
    """Run a program; what the proxy saw of each of its hosts, and its status."""
    watched.hosts.clear()
    began = datetime.now(UTC)
    try:
        status = subprocess.run(
            command, env=told, stdout=sys.stderr, check=False
        ).returncode  # only our own answer counts
    except OSError as error:
        raise CommandError(
            f"{command[0]} cannot be run: {error.strerror}.", 127
        ) from None
    hosts = list(dict.fromkeys(watched.hosts))
    found: dict[str, Finding] = {}
    deadline = time.monotonic() + RECORDED
    while True:
        rows = [
            row
            for row in control.get("/v1/audit?limit=1000")["audit"]
            if _time(row) >= began
        ]
        found = {
            host: _finding([row for row in rows if row["host"] == host])
            for host in hosts
        }
        if "unclear" not in found.values() or time.monotonic() > deadline:
            break
        time.sleep(0.2)
    if not hosts:
        typer.echo(
            "The proxy saw no call: the program made none, or it bypasses the proxy.",
            err=True,
        )
        found = {command[0]: "goes around"}
    return found, status if status > 0 else 128 - status if status else 0


def _time(row: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(row["time"])


def _finding(rows: list[dict[str, Any]]) -> Finding:
    reasons = {row["reason"] for row in rows}
    if reasons - {"distrust", "tunnelled"}:
        return "seen"
    return (
        "distrusts"
        if "distrust" in reasons
        else "unopened"
        if "tunnelled" in reasons
        else "unclear"
    )
