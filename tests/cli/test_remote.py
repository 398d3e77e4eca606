"""`earthflow tenants` and `keys` against a running system."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cli.secrets_file import CLIENT_KEY
from tests.support.house import EARTHFLOW, House, command_environment, message


@pytest.fixture
def earthflow(house: House) -> Any:
    """Run a command of earthflow's."""

    def run(*words: str, said: str = "") -> subprocess.CompletedProcess[str]:
        told = command_environment(house, EARTHFLOW_URL=house.stack.control.url)
        return subprocess.run(
            [EARTHFLOW, *words],
            env=told,
            input=said,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_a_tenant_from_its_making_to_its_end(earthflow: Any) -> None:
    made = json.loads(
        earthflow(
            "tenants",
            "create",
            "Acme",
            "--id",
            "acme-cli",
            "--label",
            "team=a",
            "-o",
            "json",
        ).stdout
    )
    assert (made["id"], made["labels"], made["api_key"][:8]) == (
        "acme-cli",
        {"team": "a"},
        "ef_live_",
    )
    changed = json.loads(
        earthflow(
            "tenants",
            "update",
            "acme-cli",
            "--max-requests-per-minute",
            "5000",
            "-o",
            "json",
        ).stdout
    )
    assert changed["max_requests_per_minute"] == 5000
    assert "5000" in earthflow("tenants", "show", "acme-cli").stdout
    rows = [
        json.loads(line)
        for line in earthflow("tenants", "list", "-o", "jsonl").stdout.splitlines()
    ]
    assert "acme-cli" in {row["id"] for row in rows}
    assert (
        "acme-cli,Acme,default,5000" in earthflow("tenants", "list", "-o", "csv").stdout
    )
    # no person: a script must say --yes
    refused = earthflow("tenants", "delete", "acme-cli", said="acme-cli\n")
    assert (refused.returncode, "use --yes" in refused.stderr) == (2, True)
    assert earthflow("tenants", "delete", "acme-cli", "--yes").returncode == 0
    gone = earthflow("tenants", "show", "acme-cli")
    assert (gone.returncode, "There is no such tenant" in gone.stderr) == (1, True)


def test_lists_are_searched_and_show_what_ended(earthflow: Any) -> None:
    for id in ("se-one", "se-two"):
        assert earthflow("tenants", "create", "Se", "--id", id).returncode == 0
    assert earthflow("tenants", "delete", "se-two", "--yes").returncode == 0

    def listed(*words: str) -> list[str]:
        said = earthflow("tenants", "list", "--search", "se-", "-o", "json", *words)
        return [one["id"] for one in json.loads(said.stdout)]

    assert listed() == ["se-one"]
    assert listed("--state", "ended") == ["se-two"]
    assert listed("--state", "all", "--limit", "1") == ["se-one"]
    assert earthflow("tenants", "delete", "se-one", "--yes").returncode == 0


def test_keys_are_made_rotated_and_revoked(earthflow: Any) -> None:
    earthflow("tenants", "create", "Keys", "--id", "keys-cli")
    try:
        more = json.loads(earthflow("keys", "create", "keys-cli", "-o", "json").stdout)
        assert (
            earthflow(
                "keys", "revoke", more["id"], "--tenant", "keys-cli", "--yes"
            ).returncode
            == 0
        )
        preview = json.loads(
            earthflow(
                "keys", "rotate", "--tenant-id", "keys-cli", "--dry-run", "-o", "json"
            ).stdout
        )
        assert preview == [{"tenant": "keys-cli"}]
        (rotated,) = json.loads(
            earthflow(
                "keys",
                "rotate",
                "--tenant-id",
                "keys-cli",
                "--revoke-after",
                "60",
                "-o",
                "json",
            ).stdout
        )
        statuses = [
            key["status"]
            for key in json.loads(
                earthflow("keys", "list", "keys-cli", "-o", "json").stdout
            )
        ]
        assert statuses == ["ending", "ended", "live"]
        assert rotated["api_key"] not in earthflow("keys", "list", "keys-cli").stdout
    finally:
        earthflow("tenants", "delete", "keys-cli", "--yes")


def test_errors_say_what_to_do(earthflow: Any) -> None:
    assert "may be" not in earthflow("tenants", "update", "x").stderr
    assert earthflow("tenants", "update", "x").returncode == 2
    assert "NAME=VALUE" in earthflow("tenants", "create", "x", "--label", "y").stderr
    unknown = earthflow("tenants", "create", "x", "--preset", "defualt")
    assert "did you mean" in unknown.stderr


def test_the_audit_is_searched_counted_exported_and_followed(
    house: House, earthflow: Any
) -> None:
    tenant = house.tenant()
    for text in ("one", "two", "three"):
        tenant.post(message(text))
    tenant.audit(3)
    mine = ("--tenant", tenant.id)
    rows = json.loads(
        earthflow(
            "audit", "search", *mine, "--status", "ALLOW", "--limit", "2", "-o", "json"
        ).stdout
    )
    assert [row["status"] for row in rows] == ["ALLOW", "ALLOW"]
    assert tenant.id in earthflow("audit", "search", *mine).stdout
    lines = earthflow("audit", "export", *mine).stdout.splitlines()
    assert len({json.loads(line)["id"] for line in lines}) == 3
    assert (
        len(earthflow("audit", "export", *mine, "-o", "csv").stdout.splitlines()) == 4
    )
    counts = json.loads(
        earthflow(
            "audit", "stats", *mine, "--from", "2025-02-01T00:00:00Z", "-o", "json"
        ).stdout
    )
    assert (counts["total"], counts["by_status"]) == (3, {"ALLOW": 3})
    assert (
        "Write it like 2026-"
        in earthflow("audit", "search", "--from", "yesterday").stderr
    )

    told = command_environment(house, EARTHFLOW_URL=house.stack.control.url)
    following = subprocess.Popen(
        [EARTHFLOW, "audit", "tail", *mine, "--count", "1", "-o", "jsonl"],
        env=told,
        stdout=subprocess.PIPE,
        text=True,
    )
    while following.poll() is None:  # it says nothing before it follows
        tenant.post(message("more"))
        try:
            said, _ = following.communicate(timeout=2)
        except subprocess.TimeoutExpired:
            continue
    assert json.loads(said)["tenant"] == tenant.id


def test_health_is_a_status_for_scripts(house: House, earthflow: Any) -> None:
    fine = earthflow("health", "--host", "localhost", "--port", str(house.stack.port))
    assert (fine.returncode, "OK" in fine.stdout) == (0, True)
    assert (
        json.loads(
            earthflow("health", "--port", str(house.stack.port), "-o", "json").stdout
        )["service"]
        == "proxy"
    )
    away = earthflow("health", "--port", "1")
    assert (away.returncode, "Nobody answers" in away.stderr) == (1, True)


def test_what_a_caller_says_does_not_move_an_admins_terminal(
    house: House, earthflow: Any
) -> None:
    tenant = house.tenant()
    tenant.post(
        json.dumps(
            {"model": "\x1b]0;pwned\x07\x9b2J=cmd\r\nBLOCK forged", "messages": []}
        ).encode()
    )
    (row,) = tenant.audit(1)
    for words in (
        ("audit", "show", row["id"]),
        ("audit", "search", "--tenant", tenant.id),
        ("audit", "search", "--tenant", tenant.id, "-o", "csv"),
    ):
        said = earthflow(*words).stdout
        assert not {one for one in said if not one.isprintable()} - {"\n"}, words
    assert "'=cmd" in emitted_csv("=cmd()")


def emitted_csv(value: str) -> str:
    source = f"from cli.output import emit_rows; emit_rows(('a',), [{{'a': {value!r}}}], 'csv')"
    return subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, check=True
    ).stdout


def test_a_dry_run_of_the_master_key_is_refused(earthflow: Any) -> None:
    done = earthflow("keys", "rotate", "--rotate-master", "--new-key", "x", "--dry-run")
    assert (done.returncode, "without --dry-run" in done.stderr) == (2, True)


def test_a_place_that_is_no_earthflow_is_said(earthflow: Any, house: House) -> None:
    assert (
        "not an Earthflow" in earthflow("keys", "list", "a b").stderr
        or "404" in earthflow("keys", "list", "a b").stderr
    )


def test_the_key_of_this_machines_programs_follows_a_rotation(
    house: House, earthflow: Any, tmp_path: Path
) -> None:
    made = json.loads(
        earthflow("tenants", "create", "Own", "--id", "own-cli", "-o", "json").stdout
    )
    kept = tmp_path / CLIENT_KEY
    told = command_environment(
        house,
        EARTHFLOW_URL=house.stack.control.url,
        EARTHFLOW_STATE_DIR=str(tmp_path),
    )

    def rotate(tenant: str, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [EARTHFLOW, "keys", "rotate", "--tenant-id", tenant, "-o", "json", *words],
            env=told,
            capture_output=True,
            text=True,
            check=True,
        )

    try:
        kept.write_text(made["api_key"])
        rotate("own-cli", "--dry-run")
        assert kept.read_text() == made["api_key"]
        (rotated,) = json.loads((done := rotate("own-cli")).stdout)
        assert kept.read_text() == rotated["api_key"]
        assert kept.stat().st_mode & 0o777 == 0o600
        assert str(kept) in done.stderr
        into = tmp_path / "new-keys.json"
        rotate("own-cli", "--to", str(into))
        newest = {one["api_key"] for one in json.loads(into.read_text())}
        assert kept.read_text() in newest
        kept.write_text("of somebody else")
        assert str(kept) not in rotate("own-cli").stderr
        assert kept.read_text() == "of somebody else"
    finally:
        earthflow("tenants", "delete", "own-cli", "--yes")
