"""A database is restored: what was revoked since the backup stays revoked, or nothing is served."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from cli.engines import postgres
from cli.processes import stop
from contract.unwrap import proxy_token
from control.store.database import BUMP
from tests.support.house import (
    EARTHFLOW,
    PATIENCE,
    House,
    Tenant,
    command_environment,
    connect_status,
    curl,
    wait_until,
)


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    with House() as built:
        yield built


@pytest.fixture(scope="module")
def passphrase(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("backup") / "passphrase"
    file.write_text("correct horse battery staple")
    return file


def url(house: House) -> str:
    return house.stack.environment()["EARTHFLOW_DATABASE_URL"]


def earthflow(house: House, *words: str | Path) -> str:
    told = command_environment(
        house,
        EARTHFLOW_DATABASE_URL=url(house),
        EARTHFLOW_MASTER_KEY=house.stack.secrets["EARTHFLOW_MASTER_KEY"],
    )
    done = subprocess.run(
        [EARTHFLOW, *map(str, words)],
        env=told,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


class Keys:
    """A tenant with a key that stays, one that is revoked after the backup, and one of no tenant."""

    def __init__(self, house: House):
        self.house, self.tenant = house, house.tenant()
        control = house.stack.control
        self.path = f"/v1/tenants/{self.tenant.id}/keys"
        self.revoked = control.post(self.path, {"name": "leaked"})
        self.metrics = control.post("/v1/keys", {"role": "metrics", "name": "old"})
        self.wait(self.revoked, 200)

    def wait(self, key: dict[str, Any], status: int) -> None:
        text = key["api_key"]
        port = self.house.stack.port
        assert wait_until(
            lambda: connect_status(port, "api.openai.com:443", text) == status, PATIENCE
        )

    def revoke(self) -> None:
        control = self.house.stack.control
        control.delete(f"{self.path}/{self.revoked['id']}")
        control.delete(f"/v1/keys/{self.metrics['id']}")
        self.wait(self.revoked, 407)
        version = postgres_check(self.house)["snapshot"]
        assert wait_until(lambda: known_version(self.house) >= version, PATIENCE)

    def check_metrics(self) -> str:
        url = f"{self.house.stack.control.url}/v1/dashboard/metrics"
        header = f"X-API-Key: {self.metrics['api_key']}"
        return curl("-s", "-o", "/dev/null", "-w", "%{http_code}", "-H", header, url).stdout  # fmt: skip


def postgres_check(house: House) -> dict[str, Any]:
    text = curl("-s", f"{house.stack.control.url}/health/ready").stdout
    found: dict[str, Any] = json.loads(text)["checks"]["postgres"]
    return found


def known_version(house: House) -> int:
    """The version of tenants and keys that the proxy has."""
    return int(house.ready()["checks"]["snapshot"]["version"])


def served(house: House) -> bool:
    return "snapshot" in postgres_check(house)


def backed_up(house: House, passphrase: Path) -> Path:
    file = passphrase.with_name("a.backup")
    earthflow(house, "backup", "--to", file, "--passphrase-file", passphrase)
    return file


def psql(house: House, *words: str) -> list[str]:
    program = postgres._binaries(house.stack.settings) / words[0]
    return [str(program), f"--dbname={url(house)}", *words[1:]]


def by_earthflow(house: House, passphrase: Path) -> Iterator[None]:
    file = backed_up(house, passphrase)
    yield
    earthflow(house, "restore", file, "--replace", "--passphrase-file", passphrase)


def by_psql(house: House, passphrase: Path) -> Iterator[None]:
    """As the deployment guide does it (10.1, 10.2), into an empty database."""
    dump = subprocess.run(psql(house, "pg_dump"), capture_output=True, check=True)
    yield
    with psycopg.connect(url(house), autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    said = subprocess.run(
        psql(house, "psql", "-q", "-v", "ON_ERROR_STOP=1"),
        input=dump.stdout.replace(b"CREATE SCHEMA public;", b""),
        capture_output=True,
    )
    assert said.returncode == 0, said.stderr


def restored(house: House, passphrase: Path, way: Any) -> Keys:
    """Keys of which some were revoked after the backup that is in the database now; control is stopped."""
    keys = Keys(house)
    steps = way(house, passphrase)
    next(steps)
    keys.revoke()
    stop(house.stack.services["control"].process)
    next(steps, None)
    return keys


@pytest.mark.parametrize("way", [by_earthflow, by_psql])
def test_a_key_that_was_revoked_after_the_backup_does_not_come_back(
    house: House, passphrase: Path, way: Any
) -> None:
    keys = restored(house, passphrase, way)
    house.stack.start_control()
    assert wait_until(lambda: served(house), PATIENCE)
    assert wait_until(lambda: keys.tenant.connect_status() == 200, PATIENCE)
    keys.wait(keys.revoked, 407)
    assert wait_until(lambda: keys.check_metrics() == "401", PATIENCE)
    shown = house.stack.control.get(keys.path)["keys"]
    states = {key["id"]: key["status"] for key in shown}
    assert states[keys.revoked["id"]] == "ended"
    # what is made now is served as always
    made = house.stack.control.post(keys.path, {"name": "new"})
    keys.wait(made, 200)


def test_changes_made_after_a_restore_do_not_hide_it(
    house: House, passphrase: Path
) -> None:
    """The database has as many changes as the proxy knows, or more, and other ones."""
    keys = restored(house, passphrase, by_psql)
    with psycopg.connect(url(house), autocommit=True) as connection:
        for _ in range(5):
            connection.execute(BUMP.encode())
    house.stack.start_control()
    assert wait_until(lambda: keys.check_metrics() == "401", PATIENCE)
    assert wait_until(lambda: served(house), PATIENCE)
    keys.wait(keys.revoked, 407)
    version = postgres_check(house)["snapshot"]
    assert wait_until(lambda: known_version(house) >= version, PATIENCE)
    made = house.stack.control.post(keys.path, {"name": "new"})
    keys.wait(made, 200)
    assert served(house)


def test_without_a_proxy_nothing_is_served_until_old_keys_are_accepted(
    house: House, passphrase: Path
) -> None:
    keys = Keys(house)
    file = backed_up(house, passphrase)
    keys.revoke()
    for name in ("proxy", "control"):
        stop(house.stack.services[name].process)
    (house.folder / "snapshot.sealed").unlink()
    (house.folder / "snapshot.newest").unlink()
    earthflow(house, "restore", file, "--replace", "--passphrase-file", passphrase)
    house.stack.start_control()
    assert "earthflow restore --accept-old-keys" in postgres_check(house)["detail"]
    assert keys.check_metrics() == "401"
    earthflow(house, "restore", "--accept-old-keys")
    assert wait_until(lambda: served(house), PATIENCE)
    house.stack.start_proxy()
    keys.wait(keys.revoked, 200)
    assert wait_until(lambda: keys.check_metrics() == "200", PATIENCE)


def test_a_tenant_made_after_the_backup_is_gone_and_its_key_with_it(
    house: House, passphrase: Path
) -> None:
    file = backed_up(house, passphrase)
    late: Tenant = house.tenant()
    stop(house.stack.services["control"].process)
    earthflow(house, "restore", file, "--replace", "--passphrase-file", passphrase)
    house.stack.start_control()
    assert wait_until(lambda: late.connect_status() == 407, PATIENCE)


def test_a_long_list_of_keys_is_read(house: House) -> None:
    """60,000 live keys are 4 MB, more than other requests may have."""
    keys = [{"id": f"{n:032x}", "not_after": None} for n in range(60_000)]
    body = {"version": 1, "made": "2026-01-01T00:00:00Z", "keys": keys}
    master = house.stack.secrets["EARTHFLOW_MASTER_KEY"]
    file = house.folder / "keys.json"
    file.write_text(json.dumps(body))
    done = curl(
        "-s", "-d", f"@{file}", "-H", f"Authorization: Bearer {proxy_token(master)}", f"{house.stack.control.url}/internal/keys"
    )  # fmt: skip
    assert json.loads(done.stdout) == {"ended": 0}
