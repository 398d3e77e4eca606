"""Every command line of the README runs, and does what the text around it says."""

import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cli.processes import wait_until
from cli.settings import environment
from contract.version import VERSION
from tests.support import shared
from tests.support.house import (
    EARTHFLOW,
    PATIENCE,
    House,
    Tenant,
    command_environment,
    curl,
)

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = "".join(
    (ROOT / name).read_text()
    for name in (
        "README.md",
        "docs/security.md",
        "docs/audit-log.md",
        "docs/operating.md",
        "docs/rules.md",
        "docs/settings.md",
        "deploy/runbook.md",
    )
)
COMMANDS = [
    line
    for block in re.findall(r"```sh\n(.*?)```", DOCUMENTS, re.DOTALL)
    for line in block.splitlines()
]
LOG = (
    json.dumps(
        {
            "timestamp": (datetime.now(UTC) - timedelta(days=1)).isoformat(),
            "tenant_id": "old",
            "decision": "ALLOW",
        }
    )
    + "\n"
)
(BLOCKED_CALL,) = [line for line in COMMANDS if "TLP:RED" in line]
# Run elsewhere: make demo by test_demo, make test is what CI runs; `earthflow up` and the blocked call
# below; what installs the wheel by tests/test_release.py; single sign-on by tests/control/test_sign_in.py.
ELSEWHERE = {
    "make demo",
    "make test",
    "earthflow up",
    BLOCKED_CALL,
    "earthflow login --url https://earthflow.corp.example",
    "earthflow logout",
}
INSTALLS = {line for line in COMMANDS if "dist/earthflow-" in line}
NODE_WITH_PROXY = (22, 21)  # the first version whose fetch can use a proxy


def can_run(command: str) -> bool:
    """Whether this machine has the client of a command; CI has wget."""
    client = next((name for name in (" wget ", " node ") if name in command), "")
    if not client or (client == " wget " and "EARTHFLOW_TOOLS" in environment()):
        return True
    if shutil.which(client.strip()) is None:
        return False
    if client == " wget ":
        return True
    version = subprocess.run(
        ["node", "--version"], capture_output=True, text=True, check=True
    ).stdout
    return tuple(map(int, version.strip("v\n").split(".")[:2])) >= NODE_WITH_PROXY


RUN_HERE = [
    line for line in COMMANDS if line not in ELSEWHERE | INSTALLS and can_run(line)
]


@pytest.mark.parametrize("command", RUN_HERE)
def test_a_command_of_the_readme_runs(
    house: House, tmp_path: Path, command: str
) -> None:
    (tmp_path / "audit_v1.jsonl").write_text(LOG)
    (tmp_path / "audit_v2.jsonl").write_text("")
    required = ("EARTHFLOW_MASTER_KEY", "EARTHFLOW_ADMIN_API_KEY")
    secrets = {name: house.stack.secrets[name] for name in required}
    lines = {**secrets, "POSTGRES_PASSWORD": "a-password-of-this-test"}
    (tmp_path / ".env").write_text(
        "".join(f"{name}={value}\n" for name, value in lines.items())
    )
    line = command.replace("localhost:8443", f"localhost:{house.stack.port}").replace(
        "curl ", "curl -sSf "
    )
    done = subprocess.run(
        ["bash", "-c", line],
        env=command_environment(house),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout or (tmp_path / "earthflow-ca.pem").exists()


def test_nothing_in_the_readme_is_left_to_run_elsewhere_that_is_not_there() -> None:
    assert set(COMMANDS) >= ELSEWHERE


def test_the_blocked_call_of_the_readme_gives_what_the_readme_shows(
    house: House,
) -> None:
    done = subprocess.run(
        ["bash", "-c", BLOCKED_CALL],
        env=command_environment(house),
        capture_output=True,
        text=True,
        check=False,
    )
    (shown,) = re.findall(
        r"```json\n(.*?)```", DOCUMENTS.split("## Install")[0], re.DOTALL
    )
    assert done.returncode == 0, done.stderr
    assert (
        re.sub(r"decision [0-9a-f-]{36}", "decision ID", done.stdout) == shown.strip()
    )


def test_up_comes_up_says_what_to_paste_and_goes_at_ctrl_c(
    state_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path
    told = {
        "EARTHFLOW_STATE_DIR": str(state_folder),
        "EARTHFLOW_PORT": "0",
        "EARTHFLOW_DASHBOARD_PORT": "0",
    }
    # rules are compiled by the demo
    told |= {
        "EARTHFLOW_CACHE_DIR": str(shared.COMPILED),
        "EARTHFLOW_MASTER_KEY": shared.MASTER_KEY,
    }
    with (folder / "said").open("wb") as said:
        process = subprocess.Popen(
            [EARTHFLOW, "up"],
            env=environment(told),
            stdout=said,
            stderr=said,
        )
    try:
        assert wait_until(
            lambda: "Earthflow is up" in (folder / "said").read_text(), PATIENCE * 2
        ), (folder / "said").read_text()
        text = (folder / "said").read_text()
        port = int(re.search(r"proxy +http://127.0.0.1:(\d+)", text)[1])  # type: ignore[index]
        assert (
            f'"version":"{VERSION}"'
            in curl("-s", f"http://localhost:{port}/health").stdout
        )
        assert re.search(
            r"export HTTPS_PROXY=http://key:ef_live_\w+@127.0.0.1:\d+", text
        )
    finally:
        process.send_signal(signal.SIGINT)
        status = process.wait(PATIENCE * 2)
    assert status == 0
    assert (folder / "said").read_text().endswith("stopped\n")
    assert_is_for_people((folder / "said").read_text(), state_folder)
    assert not (state_folder / "engines" / "postgres" / "postmaster.pid").exists()


def assert_is_for_people(said: str, state_folder: Path) -> None:
    """No lines of a log stand between what people read; they are in a file that is named at the start."""
    log = state_folder / "services.log"
    assert f"log         {log}\n" in said
    assert not re.search(r"\b(?:INFO|WARNING|DEBUG)\b", said), said
    assert "method=POST route=/v1/tenants status=201" in log.read_text()
    assert log.stat().st_mode & 0o777 == 0o600


CALL = """
import openai
print(openai.OpenAI(api_key="sk-x").chat.completions.create(model="gpt-5.2", messages=[{"role": "user", "content": "hi"}]).choices[0].message.content)
"""


def assert_goes_through(house: House, tenant: Tenant, *command: str | Path) -> None:
    """The program that the command starts gets its answer, and the call is recorded under the tenant."""
    env = command_environment(house, EARTHFLOW_API_KEY=tenant.key)
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("You wrote"), done.stderr
    assert tenant.audit(1)[0]["status"] == "ALLOW"


def test_a_program_under_run_is_judged_and_recorded_under_the_tenant(
    house: House, tenant: Tenant
) -> None:
    assert_goes_through(
        house, tenant, EARTHFLOW, "run", "--", sys.executable, "-c", CALL
    )


@pytest.mark.parametrize(
    ("command", "status"),
    [
        ("true", 0),
        ("false", 1),
        ("sh -c 'exit 42'", 42),
        ("sh -c 'kill -TERM $$'", -signal.SIGTERM),
        ("no-such-program", 127),
        ("/etc/passwd", 126),
    ],
)
def test_run_gives_back_the_programs_status(
    house: House, command: str, status: int
) -> None:
    done = subprocess.run(
        [EARTHFLOW, "run", "--", *shlex.split(command)],
        env=command_environment(house),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status, done.stderr


def test_run_passes_signals_on(house: House, tmp_path: Path) -> None:
    source = f"import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(7)); open({str(tmp_path / 'up')!r}, 'w')\nwhile True: time.sleep(0.05)"
    process = subprocess.Popen(
        [EARTHFLOW, "run", "--", sys.executable, "-c", source],
        env=command_environment(house),
    )
    assert wait_until((tmp_path / "up").exists, PATIENCE)
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE) == 7


def test_run_keeps_what_the_user_had_and_never_leads_around_the_proxy(
    house: House, tmp_path: Path
) -> None:
    own = tmp_path / "own.pem"
    own.write_text("-----BEGIN CERTIFICATE-----\nMINE\n-----END CERTIFICATE-----\n")
    show = "import os; print(os.environ['NO_PROXY']); print('MINE' in open(os.environ['SSL_CERT_FILE']).read())"
    done = subprocess.run(
        [EARTHFLOW, "run", "--", sys.executable, "-c", show],
        env=command_environment(house, NO_PROXY="internal.example, *, .openai.com", SSL_CERT_FILE=str(own)), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.splitlines() == [
        "internal.example,localhost,127.0.0.1,::1",
        "True",
    ]
    assert "left out" in done.stderr


def test_the_demo_ends_by_itself_and_all_is_as_expected(
    state_folder: Path, tmp_path: Path
) -> None:
    done = subprocess.run(
        [EARTHFLOW, "demo", "--once"],
        env=environment({"HOME": str(tmp_path / "home"), "EARTHFLOW_STATE_DIR": str(state_folder)}), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    for word in ("ALLOW", "REDACT", "BLOCK", "streamed", "All as expected"):
        assert word in done.stdout
    assert_is_for_people(done.stdout + done.stderr, state_folder)


def test_a_shell_that_took_the_variables_leads_its_programs_through(
    house: House, tenant: Tenant
) -> None:
    line = f'eval "$({shlex.quote(str(EARTHFLOW))} env --port {house.stack.port})" && "$0" -c "$1"'
    assert_goes_through(house, tenant, "bash", "-c", line, sys.executable, CALL)


def test_every_shell_is_told_the_same(house: House, tenant: Tenant) -> None:
    def lines(shell: str) -> str:
        command = [EARTHFLOW, "env", "--shell", shell, "--port", str(house.stack.port)]
        return subprocess.run(
            command,
            env=command_environment(house, EARTHFLOW_API_KEY=tenant.key),
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    variables = json.loads(lines("json"))["set"]
    assert tenant.key in variables["HTTPS_PROXY"]
    assert (
        dict(line.split("=", 1) for line in lines("docker").splitlines()) == variables
    )
    assert json.loads(lines("vscode"))["terminal.integrated.env.linux"] == {
        **variables,
        **dict.fromkeys(json.loads(lines("json"))["unset"]),
    }
    assert re.findall(r"^set -gx (\w+) '(.*)'$", lines("fish"), re.MULTILINE) == list(
        variables.items()
    )
    assert re.findall(
        r"^\$env:(\w+) = '(.*)'$", lines("powershell"), re.MULTILINE
    ) == list(variables.items())
