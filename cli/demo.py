"""`earthflow demo`: what Earthflow does, on real engines, with real AI clients and
pretend providers.

Everything runs on loopback, in a folder of its own. Each scene is one program, run as
`earthflow run` would run it. The table shows what it sent, what the provider received,
what the client got, and what the audit has. A surprise ends it with status 1.
"""

import json
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import sample_traffic
from cli.errors import CommandError
from cli.output import emit_table
from cli.processes import wait_until
from cli.run import client_environment
from cli.secrets_file import ADMIN, CLIENT_KEY
from cli.settings import UpSettings, settings_of
from cli.stack import Stack
from cli.state_folder import claim, make
from cli.up import end_on_signals, interrupted

if TYPE_CHECKING:
    from cli.pretend import Providers

# For a record to get into the audit; a busy machine takes seconds.
AUDIT_SECONDS = 20.0
# For one client; importing an SDK takes some seconds alone.
CLIENT_SECONDS = 60.0
# lines of the services' log that are shown after a surprise; the log is deleted with
# the folder
SHOWN_LOG = 40
AWS_KEY = "AKIAQYLPMN5HHHFPZAM2"

OPENAI = """
import sys, openai
try:
    answer = openai.OpenAI(api_key="sk-demo").chat.completions.create(
        model="gpt-5.2", messages=[{"role": "user", "content": sys.argv[1]}])
    print(answer.choices[0].message.content)
except openai.APIStatusError as error:
    print(type(error).__name__, error.message)
"""
ANTHROPIC = """
import sys, anthropic
try:
    answer = anthropic.Anthropic(api_key="sk-demo").messages.create(
        model="claude-sonnet-5", max_tokens=64, messages=[{"role": "user", "content": sys.argv[1]}])
    print(answer.content[0].text)
except anthropic.APIStatusError as error:
    print(type(error).__name__, error.message)
"""
ANTHROPIC_STREAM = """
import sys, anthropic
with anthropic.Anthropic(api_key="sk-demo").messages.stream(
        model="claude-sonnet-5", max_tokens=64, messages=[{"role": "user", "content": sys.argv[1]}]) as stream:
    print(" | ".join(stream.text_stream))
"""


@dataclass(frozen=True, slots=True)
class Scene:
    """One call: its client, its text, and what is expected.

    The provider must never receive `must_not_arrive`.
    """

    client: str
    prompt: str
    action: str
    command: tuple[str, ...]
    must_not_arrive: str = ""
    stream: bool = False


def _python(source: str, prompt: str) -> tuple[str, ...]:
    return (sys.executable, "-c", source, prompt)


def _curl(prompt: str) -> tuple[str, ...]:
    body = json.dumps(
        {"model": "gpt-5.2", "messages": [{"role": "user", "content": prompt}]}
    )
    url = "https://api.openai.com/v1/chat/completions"
    return (
        "curl",
        "-sS",
        "-H",
        "Content-Type: application/json",
        "-H",
        "Authorization: Bearer sk-demo",
        "-d",
        body,
        url,
    )


def scenes() -> list[Scene]:
    """The scenes, in order."""
    allowed, leaky = "Name three rivers.", f"Why does my key {AWS_KEY} not work?"
    marked, streamed = "STRICTLY CONFIDENTIAL: sum up the merger.", "Count to five."
    shared = "TLP:RED Sum up the report on the intrusion."
    return [
        Scene("openai SDK", allowed, "ALLOW", _python(OPENAI, allowed)),
        Scene("openai SDK", leaky, "REDACT", _python(OPENAI, leaky), AWS_KEY),
        Scene(
            "anthropic SDK", marked, "BLOCK", _python(ANTHROPIC, marked), "CONFIDENTIAL"
        ),
        Scene(
            "anthropic SDK, streamed",
            streamed,
            "ALLOW",
            _python(ANTHROPIC_STREAM, streamed),
            stream=True,
        ),
        Scene("curl", shared, "BLOCK", _curl(shared), "intrusion"),
        Scene("curl", allowed, "ALLOW", _curl(allowed)),
    ]


def demo(
    once: Annotated[
        bool,
        typer.Option(
            "--once", help="End after the table: status 0 if all was as expected."
        ),
    ] = False,
) -> None:
    """Watch real AI clients talk through Earthflow to pretend providers."""
    missing = [name for name in ("openai", "anthropic") if find_spec(name) is None] + (
        [] if shutil.which("curl") else ["curl"]
    )
    if missing:
        raise CommandError(
            f"The demo drives real clients, and these are not here: {', '.join(missing)}. `make demo` installs the Python ones."
        )
    # imported here, so that other commands do not wait for aiohttp
    from cli.pretend import (
        Providers,
    )

    with _folder() as state, ExitStack() as stack:
        end_on_signals()
        claim(state)  # while it is empty: then the folder counts as ours
        providers = stack.enter_context(Providers(state))
        typer.echo(
            f"providers   pretended on 127.0.0.1:{providers.port}, TLS under a CA of their own"
        )
        settings = _settings(state, once)
        extra = {
            "EARTHFLOW_UPSTREAM_MAP": providers.upstream_map,
            "EARTHFLOW_UPSTREAM_CA": str(providers.ca_file),
        }
        house = stack.enter_context(Stack(settings, typer.echo, extra))
        ended = interrupted()
        surprises = play(house, providers)
        for surprise in surprises:
            typer.echo(f"not as expected: {surprise}", err=True)
        if surprises:
            typer.echo(
                "".join(house.log.read_text().splitlines(keepends=True)[-SHOWN_LOG:]),
                err=True,
            )
        if not surprises:
            typer.echo(
                "All as expected: nothing redacted or blocked reached a provider, and every call is in the audit."
            )
        made = sample_traffic.give(house.control)
        typer.echo(
            f"dashboard   {house.control.url}   with {made} exchanges of a day that were made up, and what you saw"
        )
        if not once:
            typer.echo(_try_next(house))
            ended.wait()
    if surprises:
        raise typer.Exit(1)


def play(house: Stack, providers: "Providers") -> list[str]:
    """Run every scene and print the table; every surprise as a sentence."""
    told = client_environment(
        house.settings, (house.settings.state_dir / CLIENT_KEY).read_text(), house.port
    )
    rows, surprises = [], []
    for number, scene in enumerate(scenes(), 1):
        typer.echo(f"scene {number}     {scene.client}: {scene.prompt}", err=True)
        before, known = len(providers.heard), {row["id"] for row in _rows(house)}
        client = subprocess.run(
            scene.command,
            env=told,
            capture_output=True,
            text=True,
            timeout=CLIENT_SECONDS,
            check=False,
        )
        shown = (
            client.stdout.strip()
            or client.stderr.strip().splitlines()[-1:]
            or ["nothing"]
        )
        got = shown if isinstance(shown, str) else shown[0]
        received = [heard.body.decode() for heard in providers.heard[before:]]
        row = _audited(house, known)
        rows.append(
            [scene.client, scene.prompt, _prompts(received), _short(got), _told_by(row)]
        )
        surprises += [
            f"scene {number}: {text}" for text in _surprises(scene, received, row)
        ]
    emit_table(
        "What went through Earthflow",
        ["client", "it sent", "the provider received", "it got back", "the audit says"],
        rows,
    )
    return surprises


def _surprises(
    scene: Scene, received: list[str], row: dict[str, Any] | None
) -> Iterator[str]:
    if row is None:
        yield "no record in the audit"
        return
    if row["status"] != scene.action:
        yield f"{row['status']} instead of {scene.action}"
    if len(received) != (0 if scene.action == "BLOCK" else 1):
        yield f"the provider received {len(received)} calls"
    if scene.must_not_arrive and any(
        scene.must_not_arrive in body for body in received
    ):
        yield "what must not arrive has arrived"
    if row["stream"] != scene.stream:
        yield "a stream was not recorded as one, or the reverse"
    if scene.action != "BLOCK" and row["completion"].get("output_tokens") is None:
        yield "the answer's tokens were not counted"


def _rows(house: Stack) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = house.control.get("/v1/audit?limit=100")["audit"]
    return rows


def _audited(house: Stack, known: set[str]) -> dict[str, Any] | None:
    """The new record, once it is complete."""
    new: list[dict[str, Any]] = []

    def there() -> bool:
        new[:] = [
            row
            for row in _rows(house)
            if row["id"] not in known and row["completion"] is not None
        ]
        return bool(new)

    return new[0] if wait_until(there, AUDIT_SECONDS) else None


def _prompts(received: list[str]) -> str:
    return (
        "; ".join(json.loads(body)["messages"][0]["content"] for body in received)
        or "nothing"
    )


def _short(text: str) -> str:
    return text if len(text) <= 160 else text[:160] + " …"


def _told_by(row: dict[str, Any] | None) -> str:
    if row is None:
        return "nothing"
    rules = ", ".join(fired["rule"] for fired in row["rules"])
    completion = row["completion"]
    counted = completion.get("output_tokens") is not None
    end = (
        f"{completion['input_tokens']}+{completion['output_tokens']} tokens"
        if counted
        else completion["outcome"]
    )
    return "\n".join(
        filter(
            None,
            (
                row["status"],
                rules,
                f"coverage {row['coverage']}",
                end,
                "streamed" if row["stream"] else "",
            ),
        )
    )


@contextmanager
def _folder() -> Iterator[Path]:
    """The demo's own state folder, deleted afterwards, unless EARTHFLOW_STATE_DIR names
    one.
    """
    if "state_dir" in UpSettings().model_fields_set:
        folder = UpSettings().state_dir
        make(folder)
        yield folder
        return
    with tempfile.TemporaryDirectory(
        prefix="earthflow-demo-", ignore_cleanup_errors=True
    ) as made:
        yield Path(made)


def _settings(state: Path, once: bool) -> UpSettings:
    wanted = UpSettings()
    return (
        settings_of(state)
        if once
        else settings_of(state, _free(wanted.port), _free(wanted.dashboard_port))
    )


def _free(port: int) -> int:
    """The port, or 0 (any) where it is taken."""
    with socket.socket() as probe:
        return port if probe.connect_ex(("127.0.0.1", port)) else 0


def _try_next(house: Stack) -> str:
    admin = house.settings.state_dir / "secrets.env"
    return f"""
It stays up. Open {house.control.url} in a browser and sign in by the admin key:

    {house.secrets[ADMIN]}

Or try, in another terminal:

    export EARTHFLOW_STATE_DIR={house.settings.state_dir} EARTHFLOW_PORT={house.port}; source {admin}
    earthflow run -- curl -s https://api.openai.com/v1/chat/completions -d '{{"model":"m","messages":[{{"role":"user","content":"hi"}}]}}'
    curl -s -H "X-API-Key: $EARTHFLOW_ADMIN_API_KEY" "http://localhost:{house.port}/v1/audit?limit=5"
    curl -s http://localhost:{house.port}/health/ready

Ctrl-C stops everything and removes the demo's folder."""
