"""Every client, allowed, redacted and blocked: what arrives, what its user sees, and that a block is one request."""

import os
import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from cli.pretend import Given
from cli.processes import wait_until
from tests.clients import npm, sdks
from tests.clients.tools import TOOLS, answer, reply_with, shape_of, stream
from tests.support.conformance import CASES, Cell, given
from tests.support.house import AWS_KEY, PATIENCE, RESTRICTED, House, Tenant

PYTHON = os.environ.get("EARTHFLOW_CLIENTS", "")
MODULES = Path(PYTHON).parents[1] / "npm" if PYTHON else Path()
PRIVATE_KEY = RESTRICTED
CALLS = [*sdks.SDKS, *npm.SDKS, *TOOLS]
STREAMS = {
    **{
        name: shape
        for name, (shape, _) in (*sdks.STREAMS.items(), *npm.STREAMS.items())
    },
    **{name: tool.shape for name, tool in TOOLS.items()},
}
Done = subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    with House() as house:
        house.providers.answer = answer
        house.providers.reply = reply_with(
            lambda: stream("openai-responses", ["You wrote a message."])
        )
        yield house


@pytest.fixture
def tenant(house: House) -> Tenant:
    return house.tenant()


@pytest.fixture
def say(tenant: Tenant, tmp_path: Path) -> Callable[..., Done]:
    """Have a client say something."""

    def run(name: str, prompt: str, *, streams: bool = False) -> Done:
        told, command = tenant.environment(), _command(name, prompt, streams)
        if name in TOOLS:
            for file, text in TOOLS[name].files.items():
                (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / file).write_text(text)
            told |= {"HOME": str(tmp_path), **TOOLS[name].environment}
        (tmp_path / "work").mkdir(exist_ok=True)
        return subprocess.run(
            command,
            env=told,
            cwd=tmp_path / "work",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    return run


def _command(name: str, prompt: str, streams: bool) -> Sequence[str]:
    if name in TOOLS:
        program, *words = TOOLS[name].command(prompt)
        return [str(MODULES / "node_modules" / ".bin" / program), *words]
    if name in npm.SDKS:
        file = (
            MODULES
            / f"{re.sub('[^a-z]+', '-', name.lower())}{'-stream' if streams else ''}.mjs"
        )
        file.write_text(
            npm.PROXIED + (npm.STREAMS[name][1] if streams else npm.SDKS[name])
        )
        return ["node", str(file), prompt]
    return [
        PYTHON,
        "-c",
        f"import sys\nprompt = sys.argv[1]\n{sdks.STREAMS[name][1] if streams else sdks.SDKS[name]}",
        prompt,
    ]


def judged(
    tenant: Tenant, wanted: Callable[[dict[str, Any]], bool]
) -> list[dict[str, Any]]:
    """The records of what the client said to its model, once there is one that is wanted; its own matters are none."""
    rows: list[dict[str, Any]] = []

    def there() -> bool:
        found = tenant.house.stack.control.get(
            f"/v1/audit?tenant={tenant.id}&limit=1000"
        )["audit"]
        rows[:] = [
            row
            for row in found
            if row["method"] in ("POST", "MESSAGE")
            and row["unreadable"] != ["unknown_path"]
        ]
        return any(row["completion"] and wanted(row) for row in rows)

    assert wait_until(there, PATIENCE), rows
    return rows


def heard(house: House, since: int) -> list[bytes]:
    """What arrived of what the client said to its model."""
    return [
        one.body
        for one in house.providers.heard[since:]
        if one.method in ("POST", "MESSAGE") and b'"generate":false' not in one.body
    ]


def named(done: Done) -> set[str]:
    """The decisions that the user of a client is told."""
    said = re.sub(r"\s+", " ", done.stdout + done.stderr)
    return set(
        re.findall(
            r"Blocked by Earthflow policy \S+ \(decision ([0-9a-f-]{36})\)", said
        )
    )


@pytest.mark.parametrize("name", CALLS)
def test_a_call_is_allowed_read_in_full_and_its_tokens_counted(
    tenant: Tenant, say: Callable[..., Done], name: str
) -> None:
    done = say(name, "Hello")
    assert done.returncode == 0, done.stderr[-2000:]
    assert "You wrote" in done.stdout
    row = judged(tenant, lambda row: row["completion"]["output_tokens"] == 5)[0]
    assert (row["status"], row["coverage"]) == ("ALLOW", "full"), row
    assert row["completion"]["input_tokens"] in (11, 12)


@pytest.mark.parametrize("name", CALLS)
def test_a_secret_does_not_arrive(
    house: House, tenant: Tenant, say: Callable[..., Done], name: str
) -> None:
    since = len(house.providers.heard)
    done = say(name, f"my key is {AWS_KEY}, keep it")
    assert done.returncode == 0, done.stderr[-2000:]
    arrived = b"".join(one.body for one in house.providers.heard[since:])
    assert AWS_KEY.encode() not in arrived
    assert b"[REDACTED:credentials_aws_access_key_" in arrived
    judged(tenant, lambda row: row["status"] == "REDACT")


@pytest.mark.parametrize("name", CALLS)
def test_a_block_is_one_request_and_its_user_reads_why(
    house: House, tenant: Tenant, say: Callable[..., Done], name: str
) -> None:
    since = len(house.providers.heard)
    done = say(name, PRIVATE_KEY)
    assert done.returncode != 0
    assert heard(house, since) == []
    rows = judged(tenant, lambda row: row["status"] == "BLOCK")
    assert named(done) == {row["id"] for row in rows if row["status"] == "BLOCK"}
    assert len(named(done)) == 1, done.stderr[-2000:]


@pytest.fixture
def answered(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str, str], None]:
    """Have a client's model answer with a case."""

    def prepare(name: str, case: str) -> None:
        shape = STREAMS[name]
        # which would do what a call of a tool asks, and ask again
        plain = name in TOOLS and case != "block"
        said: Given = (
            stream(shape, CASES[case][0])
            if plain
            else given(Cell(shape, "streamed", case, "", "identity"))
        )

        def first(path: str, call: dict[str, Any], text: str) -> Any:
            return (
                said
                if shape_of(path, call) or name not in TOOLS
                else answer(path, call, text)
            )

        monkeypatch.setattr(house.providers, "answer", first)
        monkeypatch.setattr(house.providers, "reply", reply_with(lambda: said))

    return prepare


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_passes_and_is_read_in_full(
    tenant: Tenant, say: Callable[..., Done], answered: Any, name: str
) -> None:
    answered(name, "allow")
    done = say(name, "Hello", streams=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip() == "".join(CASES["allow"][0]).strip()
    row = judged(tenant, lambda row: row["completion"]["output_tokens"] == 5)[0]
    assert (row["completion"]["action"], row["completion"]["coverage"]) == (
        "ALLOW",
        "full",
    )


@pytest.mark.parametrize("name", STREAMS)
def test_what_a_stream_must_not_say_is_edited(
    tenant: Tenant, say: Callable[..., Done], answered: Any, name: str
) -> None:
    answered(name, "redact")
    done = say(name, "Hello", streams=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert AWS_KEY not in done.stdout
    assert re.fullmatch(
        r"The key is \[REDACTED:credentials_aws_access_key_[b-t]{8}\], keep it\.\s*",
        done.stdout,
    ), done.stdout
    judged(tenant, lambda row: row["completion"]["action"] == "REDACT")


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_that_is_stopped_is_one_request(
    house: House, tenant: Tenant, say: Callable[..., Done], answered: Any, name: str
) -> None:
    answered(name, "block")
    since = len(house.providers.heard)
    done = say(name, "Hello", streams=True)
    assert (done.returncode == 0) is (name in TOOLS and TOOLS[name].ends_well), (
        done.stderr[-2000:]
    )
    assert len(heard(house, since)) == 1
    rows = judged(tenant, lambda row: row["completion"]["action"] == "BLOCK")
    assert named(done) == {
        row["id"] for row in rows if row["completion"]["action"] == "BLOCK"
    }
    assert len(named(done)) == 1, done.stderr[-2000:]
