"""docs/guide.md and docs/upgrading.md, run: every shell block in its order, every command of the guide's table, every default of its settings."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic_settings import BaseSettings

from addons.settings import ProxySettings
from cli.engines import postgres
from control.settings import ControlSettings
from tests.deploy.test_compose import SECRETS, TOOL
from tests.support.house import House, Tenant, command_environment

ROOT = Path(__file__).resolve().parents[2]
STAND_INS = Path(__file__).with_name("stand_ins")
GUIDE = (ROOT / "docs" / "guide.md").read_text()
UPGRADING = (ROOT / "docs" / "upgrading.md").read_text()
BLOCKS = re.findall(r"```sh\n(.*?)```", GUIDE + UPGRADING, re.DOTALL)
TABLE = GUIDE.split("<!-- guide -->\n")[1].split("<!-- end guide -->")[0]
ROWS = [
    (found[1].strip(), found[2])
    for found in re.finditer(r"^\| (\d.*?) \| `(.+)` \|$", TABLE, re.MULTILINE)
]
# What a deployment has and a test has not: hosts, ports, names, folders. Never a command of ours.
SUBSTITUTES = {
    "your-host:8443": "localhost:{port}",
    "localhost:8443": "localhost:{port}",
    "localhost:8080": "localhost:{port}",
    "your-host --port 8443": "localhost --port {port}",
    "t1": "{tenant}",
    "/var/earthflow": "{folder}",
    "/opt/earthflow": "{folder}",
}
# What each must say: where it is JSON, the keys of it.
SAYS = {
    "2.4": {"id", "api_key"}, "9.3 liveness": {"status", "version"}, "9.3 readiness": {"status", "checks"}, "10.3 rules": {"files", "version"},
    "10.3 tenants": {"tenants"}, "12 high": {"top_triggered_rules", "block_rate"}, "12 rate": {"max_requests_per_minute"}, "12 deliveries": {"audit"},
    "12 the key": {"keys", "id"}, "12 a webhook": {"webhook", "webhook_secret"},
}  # fmt: skip


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    with House() as built:
        yield built


@pytest.fixture(scope="module")
def tenant(house: House) -> Tenant:
    return house.tenant()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout as the guide's reader has it, with an audit log of version 1 and a passphrase."""
    made = tmp_path_factory.mktemp("earthflow")
    for name in ("compose.yaml", "deploy", "Makefile", ".env.example", "Dockerfile"):
        (made / name).symlink_to(ROOT / name)
    time = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    line = {"timestamp": time, "tenant_id": "t1", "decision": "BLOCK", "model": "gpt-4"}
    log = "".join(json.dumps({**line, "n": n}) + "\n" for n in range(20))
    (made / "audit_v1.jsonl").write_text(log)
    (made / "certs").mkdir()
    (made / "passphrase").write_text("correct horse battery staple")
    return made


def run(
    house: House, tenant: Tenant, folder: Path, text: str
) -> "subprocess.CompletedProcess[str]":
    for written, substitute in SUBSTITUTES.items():
        value = substitute.format(
            port=house.stack.port, tenant=tenant.id, folder=folder
        )
        text = re.sub(rf"(?<![\w-]){re.escape(written)}\b", value, text)
    text = text.replace("curl ", f"curl -sSf --cacert {house.bundle} ")
    url = house.stack.environment()["EARTHFLOW_DATABASE_URL"]
    secrets = house.stack.secrets
    told = command_environment(
        house,
        **(SECRETS | secrets),
        ADMIN_KEY=secrets["EARTHFLOW_ADMIN_API_KEY"],
        KEY=tenant.key,
        PASSPHRASE="correct horse battery staple",
        EARTHFLOW_DATABASE_URL=url,
        STAND_IN_POSTGRES=str(postgres._binaries(house.stack.settings)),
        STAND_IN_DATABASE=url,
        STAND_IN_COMPOSE=str(TOOL),
    )
    told["PATH"] = f"{STAND_INS}:{told['PATH']}"
    _fill_in(folder / ".env", told)
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", text],
        env=told,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def _fill_in(env: Path, told: dict[str, str]) -> None:
    """What the reader writes into .env, once it is there."""
    lines = env.read_text().splitlines() if env.exists() else []
    names = [line.partition("=")[0] for line in lines]
    filled = [
        f"{name}={told[name]}" if name in told else line
        for name, line in zip(names, lines, strict=True)
    ]
    if lines:
        env.write_text("\n".join(filled) + "\n")


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.split("\n")[0][:50])
def test_a_block_of_the_guide_runs(
    house: House, tenant: Tenant, folder: Path, block: str
) -> None:
    done = run(house, tenant, folder, block)
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_the_blocks_made_is_there(folder: Path) -> None:
    """After them: the certificate has names, the CA is a certificate, dumps and backups have content."""
    assert b"BEGIN CERTIFICATE" in (folder / "earthflow-ca.pem").read_bytes()
    assert b"BEGIN CERTIFICATE" in (folder / "certs" / "cert.pem").read_bytes()
    (dump,) = (folder / "backup").glob("earthflow_*.sql.gz")
    text = subprocess.run(["gunzip", "-c", dump], capture_output=True, check=True)
    assert b"COPY public.decision" in text.stdout
    for name in ("all.backup", "docker.backup", "before.backup"):
        assert (folder / "backup" / name).read_bytes().startswith(b"earthflow-backup 1")
    assert "EARTHFLOW_MASTER_KEY=" in (folder / "backup" / "restored.env").read_text()


def test_the_table_is_read() -> None:
    assert len(ROWS) == TABLE.count("\n") - 2


@pytest.mark.parametrize(("name", "command"), ROWS, ids=[name for name, _ in ROWS])
def test_a_command_of_the_guide_does_what_it_promises(
    house: House, tenant: Tenant, folder: Path, name: str, command: str
) -> None:
    done = run(house, tenant, folder, command)
    assert done.returncode == 0, done.stderr
    assert done.stdout or command.startswith("cp ")
    for begins, keys in SAYS.items():
        if name.startswith(begins):
            assert keys <= set(json.loads(done.stdout)), done.stdout


def test_a_substitute_replaces_a_host_or_a_runner_and_no_command_of_ours() -> None:
    assert {path.name for path in STAND_INS.iterdir()} == {
        "docker",
        "certbot",
        "helm",
        "kubectl",
        "systemctl",
        "sudo",
    }
    assert all(os.access(path, os.X_OK) for path in STAND_INS.iterdir())
    commands = re.compile(r"\b(earthflow|make|python|curl|openssl)\b(?! *-|/)")
    for written, substitute in SUBSTITUTES.items():
        assert "earthflow " not in written + substitute
        assert not commands.match(written)


def defaults(settings: type[BaseSettings]) -> dict[str, str]:
    found = {}
    for field in settings.model_fields.values():
        value = field.default
        found[str(field.validation_alias)] = (
            "required"
            if field.is_required()
            else ""
            if value in (None, {}, frozenset())
            else str(value).lower()
            if isinstance(value, bool)
            else str(value)
        )
    return found


def test_each_default_of_the_guide_is_the_programs() -> None:
    text = GUIDE.split("<!-- settings -->\n")[1].split("<!-- end settings -->")[0]
    rows = re.findall(r"^\| `(\w+)` \|(.*?)\|", text, re.MULTILINE)
    assert len(rows) == text.count("\n") - 2
    ours = {**defaults(ProxySettings), **defaults(ControlSettings)}
    ours["POSTGRES_PASSWORD"] = "required"  # or a URL in its place
    assert {name: ours[name] for name, _ in rows} == {
        name: value.strip(" `") for name, value in rows
    }
