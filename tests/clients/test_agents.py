"""Real coding agents work all day: a file of secrets is read, redacted, and written back whole; a refusal does not end the session."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.clients.agents import (
    PLACEHOLDER,
    Session,
    Step,
    env_file,
    lines_of,
    messages,
    responses,
    sse,
)
from tests.clients.tools import CODEX, answer
from tests.support.fleet import Fleet
from tests.support.house import RESTRICTED, House, Tenant

PYTHON = os.environ.get("EARTHFLOW_CLIENTS", "")
PROGRAMS = Path(PYTHON).parents[1] / "npm/node_modules/.bin" if PYTHON else Path()
AGENTS = ("claude", "codex")
SECRETS = ("AKIAQYLPMN5HHHFPZAM2", "Zx81mk3lsQ9w")
TASK, NEXT = "Change the port in .env to 8080", "never mind, what is 2 + 2?"


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    with House() as house:
        yield house


@pytest.fixture(scope="module")
def fleet(house: House, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with ExitStack() as exit:
        yield Fleet(house, tmp_path_factory.mktemp("fleet"), exit)


def patch(shown: str) -> str:
    """A patch that changes the port in what was shown of a file."""
    old, new = lines_of(shown), lines_of(shown).replace("PORT=8000", "PORT=8080")
    lines = [*(f"-{one}" for one in old.splitlines()), *(f"+{one}" for one in new.splitlines())]  # fmt: skip
    return "\n".join(
        ("*** Begin Patch", "*** Update File: .env", "@@", *lines, "*** End Patch")
    )


def steps(agent: str, work: Path) -> Callable[[int, str], Step]:
    """Read the file, write it back, print a secret; then say that all is done."""
    seen: list[str] = []

    def step(number: int, shown: str) -> Step:
        seen.extend(PLACEHOLDER.findall(shown))
        is_claude, path = agent == "claude", str(work / ".env")
        if number == 0:
            return ("Read", {"file_path": path}) if is_claude else ("exec_command", {"cmd": "cat .env"})  # fmt: skip
        if number == 1 and is_claude:
            content = lines_of(shown).replace("PORT=8000", "PORT=8080")
            return "Write", {"file_path": path, "content": content}
        if number == 1:
            return "apply_patch", {"patch": patch(shown)}
        if number == 2:
            said = f"echo the key is {seen[0]}"
            return ("Bash", {"command": said}) if is_claude else ("exec_command", {"cmd": said})  # fmt: skip
        return "All done."

    return step


def play(house: House, session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the provider play a session, in each agent's format."""

    def answered(path: str, call: dict[str, Any], text: str) -> Any:
        if path.endswith("/messages") and call.get("stream"):
            return messages(session.next(call))
        if path.endswith("/responses") and call.get("stream"):
            return sse(responses(session.next(call), session.taken))
        return answer(path, call, text)

    def reply(message: str) -> list[str]:
        call = json.loads(message)
        if call.get("generate") is False:  # only to warm up
            created, *_, completed = responses("", session.taken)
            completed["response"]["output"] = []
            return [json.dumps(created), json.dumps(completed)]
        return [json.dumps(one) for one in responses(session.next(call), session.taken)]

    monkeypatch.setattr(house.providers, "answer", answered)
    monkeypatch.setattr(house.providers, "reply", reply)


class Agent:
    """One agent, with a home of its own."""

    def __init__(self, name: str, tenant: Tenant, home: Path):
        self.name, self.home, self.work = name, home, home / "work"
        self.work.mkdir()
        (home / ".codex").mkdir()
        (home / ".codex" / "config.toml").write_text(CODEX)
        self.environment = tenant.environment() | {
            "HOME": str(home),
            "ANTHROPIC_API_KEY": "sk-ant-x",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "CODEX_API_KEY": "sk-x",
        }

    def say(
        self, prompt: str, port: int, *, first: bool = False
    ) -> subprocess.CompletedProcess[str]:
        """Say something, through the proxy on this port; the whole session so far is sent along."""
        told = {
            name: value.replace(f"localhost:{self.port}", f"localhost:{port}")
            for name, value in self.environment.items()
        }
        return subprocess.run(
            [str(PROGRAMS / self.name), *self._words(first), "--", prompt],
            env=told,
            cwd=self.work,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    @property
    def port(self) -> int:
        return int(self.environment["HTTPS_PROXY"].rpartition(":")[2].rstrip("/"))

    def _words(self, first: bool) -> Sequence[str]:
        if self.name == "claude":
            tools = "Read,Write,Edit,Bash"
            return ("-p", *(() if first else ("--continue",)), "--allowedTools", tools)
        again = () if first else ("resume", "--last")
        free = ("--dangerously-bypass-approvals-and-sandbox",) if first else ()
        return ("exec", *again, "--skip-git-repo-check", *free)


@pytest.mark.parametrize("proxies", ["one proxy", "two proxies and a new one"])
@pytest.mark.parametrize("name", AGENTS)
def test_an_agent_keeps_working(
    fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, proxies: str
) -> None:  # fmt: skip
    house = fleet.house
    tenant = house.tenant()
    fleet.agree(tenant.key, True)
    ports = [house.stack.port] * 3
    if proxies != "one proxy":
        ports = [fleet.ports[0], fleet.ports[1], 0]  # the last one starts in between
    agent = Agent(name, tenant, tmp_path)
    content = env_file(agent.work)
    session = Session(steps(name, agent.work))
    play(house, session, monkeypatch)
    since = len(house.providers.heard)

    done = agent.say(TASK, ports[0], first=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "All done." in done.stdout
    assert session.taken == 4
    # the file is right, and was never seen
    assert (agent.work / ".env").read_text() == content.replace("8000", "8080")
    # the shell got no secret
    assert PLACEHOLDER.search(session.shown)

    taken = session.taken
    refused = agent.say(RESTRICTED, ports[1])
    assert refused.returncode != 0
    assert "Blocked by Earthflow policy confidential.tlp-red" in refused.stdout + refused.stderr  # fmt: skip
    assert session.taken == taken

    done = agent.say(NEXT, ports[2] or fleet.another())
    assert done.returncode == 0, done.stderr[-2000:]
    assert "All done." in done.stdout
    assert session.taken == taken + 1
    last = json.dumps(session.calls[-1])
    assert NEXT in last
    assert "[REDACTED:confidential_tlp_red_" in last
    arrived = b"".join(one.body for one in house.providers.heard[since:]).decode()
    assert not any(secret in arrived for secret in (*SECRETS, RESTRICTED))
    rows = house.stack.control.get(f"/v1/audit?tenant={tenant.id}&limit=1000")["audit"]
    restored = [row["completion"]["restored"] for row in rows if row["completion"]]
    assert max(restored) >= 2
