"""Every command of the deployment guide that docs/guide.md has, as it stands there, against a running system."""

import json
import re
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.support.house import House, Tenant, command_environment

ROOT = Path(__file__).resolve().parents[2]
TABLE = (
    (ROOT / "docs" / "guide.md")
    .read_text()
    .split("<!-- guide -->\n")[1]
    .split("<!-- end guide -->")[0]
)
ROWS = [
    (found[1].strip(), found[2])
    for found in re.finditer(r"^\| (\d.*?) \| `(.+)` \|$", TABLE, re.MULTILINE)
]
# What a deployment has and a test has not.
SUBSTITUTES = {
    "your-host:8443": "localhost:{port}",
    "localhost:8443": "localhost:{port}",
    "your-host --port 8443": "localhost --port {port}",
    "t1": "{tenant}",
    "/var/earthflow": "{folder}",
}
# What each must say: where it is JSON, the keys of it.
SAYS = {
    "2.4": {"id", "api_key"}, "9.3 liveness": {"status", "version"}, "9.3 readiness": {"status", "checks"}, "10.3 rules": {"files", "version"},
    "10.3 tenants": {"tenants"}, "12 high": {"top_triggered_rules", "block_rate"}, "12 rate": {"max_requests_per_minute"}, "12 deliveries": {"audit"},
    "12 the key": {"keys", "id"}, "12 a webhook": {"webhook", "webhook_secret"},
}  # fmt: skip


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an audit log of version 1."""
    folder = tmp_path_factory.mktemp("earthflow")
    time = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    line = {"timestamp": time, "tenant_id": "t1", "decision": "BLOCK", "model": "gpt-4"}
    (folder / "audit_v1.jsonl").write_text(
        "".join(json.dumps({**line, "n": n}) + "\n" for n in range(20))
    )
    return folder


def test_the_table_is_read() -> None:
    assert len(ROWS) == TABLE.count("\n") - 2


@pytest.mark.parametrize(("name", "command"), ROWS, ids=[name for name, _ in ROWS])
def test_a_command_of_the_guide_does_what_it_promises(
    house: House, tenant: Tenant, logs: Path, name: str, command: str
) -> None:
    for written, substitute in SUBSTITUTES.items():
        value = substitute.format(port=house.stack.port, tenant=tenant.id, folder=logs)
        command = re.sub(rf"(?<!\w){re.escape(written)}\b", value, command)
    command = command.replace("curl ", f"curl -sSf --cacert {house.bundle} ")
    admin = house.stack.secrets["EARTHFLOW_ADMIN_API_KEY"]
    told = command_environment(house, ADMIN_KEY=admin, KEY=tenant.key)
    done = subprocess.run(
        ["bash", "-c", command], env=told, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout or command.startswith("cp ")
    for begins, keys in SAYS.items():
        if name.startswith(begins):
            assert keys <= set(json.loads(done.stdout)), done.stdout
