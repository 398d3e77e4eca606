"""`earthflow doctor --production`: each item that is broken is named, and no other."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from cli import production
from contract.authority import issue, make_root
from tests.support.house import EARTHFLOW, House, Tenant, command_environment

ATTESTED = {"master key kept elsewhere", "read-only", "backups tried", "alerts", "SECURITY.md", "CI"}  # fmt: skip


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    with House() as built:
        control = built.stack.control
        for tenant in control.get("/v1/tenants")["tenants"]:
            control.patch(f"/v1/tenants/{tenant['id']}", {"max_requests_per_minute": 9})
        yield built


@pytest.fixture
def told(house: House, tmp_path: Path) -> dict[str, str]:
    """The environment of a deployment that has everything."""
    chain, key = issue(make_root(), ["localhost"], days=2)
    (tmp_path / "cert.pem").write_bytes(chain)
    (tmp_path / "key.pem").write_bytes(key)
    (tmp_path / "earthflow-20261129T000000Z.backup").write_text("x")
    return command_environment(
        house,
        EARTHFLOW_MASTER_KEY=house.stack.secrets["EARTHFLOW_MASTER_KEY"],
        POSTGRES_PASSWORD="Gr4nite-lantern-7x",
        REDIS_PASSWORD="x",
        TLS_CERT_PATH=str(tmp_path / "cert.pem"),
        TLS_KEY_PATH=str(tmp_path / "key.pem"),
        COLUMNS="200",
    )


def items(told: dict[str, str], folder: Path) -> tuple[int, dict[str, dict[str, Any]]]:
    command = [EARTHFLOW, "doctor", "--production", "--backups", folder, "-o", "json"]
    done = subprocess.run(command, env=told, capture_output=True, text=True)
    assert done.stdout, done.stderr
    return done.returncode, {row["item"]: row for row in json.loads(done.stdout)}


def failed(found: dict[str, dict[str, Any]]) -> set[str]:
    return {name for name, row in found.items() if row["state"] == "failed"}


def test_a_deployment_that_has_everything_passes(
    told: dict[str, str], tmp_path: Path
) -> None:
    status, found = items(told, tmp_path)
    assert (status, failed(found)) == (0, set()), found
    attested = {name for name, row in found.items() if row["state"] == "attest"}
    assert attested - {"not root"} == ATTESTED  # root cannot tell whom the services are
    assert ("not root" in attested) == (os.geteuid() == 0)


@pytest.mark.parametrize(
    ("item", "name", "value"),
    [
        ("master key", "EARTHFLOW_MASTER_KEY", "too short"),
        ("database password", "POSTGRES_PASSWORD", "postgres"),
        ("database password", "POSTGRES_PASSWORD", "changeme-changeme-1A"),
        ("TLS", "TLS_CERT_PATH", ""),
        ("TLS", "TLS_KEY_PATH", "/nowhere/key.pem"),
        ("dashboard port", "EARTHFLOW_DASHBOARD_HOST", "0.0.0.0"),
        ("Redis password", "REDIS_PASSWORD", ""),
        ("prompts", "AUDIT_HASH_PROMPTS", "false"),
    ],
)
def test_a_setting_that_is_wrong_is_named_and_no_other(
    told: dict[str, str], tmp_path: Path, item: str, name: str, value: str
) -> None:
    status, found = items({**told, name: value}, tmp_path)
    assert (status, failed(found)) == (3, {item})
    assert value not in found[item]["detail"] or name.startswith(("TLS", "EARTHFLOW_DASH")) or not value  # fmt: skip


@pytest.mark.parametrize("word", ["true", "TRUE", "1", "yes", "on", ""])
def test_prompts_are_hashed_by_any_word_for_yes(
    told: dict[str, str], tmp_path: Path, word: str
) -> None:
    facts = production.Facts({**told, "AUDIT_HASH_PROMPTS": word}, tmp_path, False)
    assert dict(production.CHECKS)["prompts"](facts) == ("ok", "")


def test_a_container_is_looked_at_as_one(told: dict[str, str], tmp_path: Path) -> None:
    """compose's network of containers is no fault; a root file system that can be written to is."""
    inside = {**told, "EARTHFLOW_DASHBOARD_HOST": "0.0.0.0"}
    facts = production.Facts(inside, tmp_path, contained=True)
    checks = dict(production.CHECKS)
    assert checks["dashboard port"](facts)[0] == "attest"
    assert checks["read-only"](facts)[0] == ("failed" if os.geteuid() == 0 else "ok")
    assert checks["not root"](facts)[0] == ("failed" if os.geteuid() == 0 else "ok")


def test_an_expired_certificate_is_named(told: dict[str, str], tmp_path: Path) -> None:
    chain, key = issue(make_root(), ["localhost"], days=0)
    (tmp_path / "cert.pem").write_bytes(chain)
    (tmp_path / "key.pem").write_bytes(key)
    assert failed(items(told, tmp_path)[1]) == {"TLS"}


def test_a_folder_without_a_new_backup_is_named(
    told: dict[str, str], tmp_path: Path
) -> None:
    (old,) = tmp_path.glob("earthflow-*")
    os.utime(old, (0, 0))
    assert failed(items(told, tmp_path)[1]) == {"backups"}


def test_a_tenant_without_a_limit_is_named(
    house: House, told: dict[str, str], tmp_path: Path
) -> None:
    tenant: Tenant = house.tenant()
    try:
        found = items(told, tmp_path)[1]
        assert failed(found) == {"rate limits"}
        assert tenant.id in found["rate limits"]["detail"]
    finally:
        house.stack.control.delete(f"/v1/tenants/{tenant.id}")


def test_an_old_key_is_named(
    house: House, told: dict[str, str], tmp_path: Path
) -> None:
    url = house.stack.environment()["EARTHFLOW_DATABASE_URL"]
    move = "UPDATE api_key SET created = created {} interval '40 days'"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(move.format("-").encode())
        assert failed(items(told, tmp_path)[1]) == {"key rotation"}
        connection.execute(move.format("+").encode())


def test_a_webhook_without_tls_is_named(
    house: House, told: dict[str, str], tmp_path: Path
) -> None:
    url = house.stack.environment()["EARTHFLOW_DATABASE_URL"]
    tenant = house.tenant(max_requests_per_minute=9)
    house.stack.control.post(
        f"/v1/tenants/{tenant.id}/webhooks", {"url": "https://hooks.example.com/x"}
    )
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("UPDATE webhook SET url = replace(url, 'https', 'http')")
        assert failed(items(told, tmp_path)[1]) == {"webhooks"}
        connection.execute("DELETE FROM webhook")


def test_where_control_is_away_what_it_knows_is_failed(
    told: dict[str, str], tmp_path: Path
) -> None:
    found = items({**told, "EARTHFLOW_URL": "http://127.0.0.1:1"}, tmp_path)[1]
    assert failed(found) == {"rate limits", "webhooks", "key rotation"}


def test_an_admin_key_of_an_example_is_named(
    told: dict[str, str], tmp_path: Path
) -> None:
    key = "your-secure-admin-key-0123456789-0123456789"
    found = items({**told, "EARTHFLOW_ADMIN_API_KEY": key}, tmp_path)[1]
    assert "admin key" in failed(found)
    assert key not in json.dumps(found)
