"""A backup holds everything, opens with its passphrase alone, and what is restored from it is what there was."""

import base64
import io
import json
import os
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pyrage
import pytest
import zstandard
from cryptography.fernet import Fernet
from hypothesis import given
from hypothesis import strategies as st

from contract.decision import new_id
from control.backup import archive
from control.backup.archive import BadBackup
from control.store import dump
from tests.support.house import (
    AWS_KEY,
    EARTHFLOW,
    House,
    Tenant,
    command_environment,
    message,
)
from tests.support.shared import examples

PASSPHRASE = "correct horse battery staple"
HEAD = {"made": "2026-11-29T00:00:00+00:00"}


def packed(members: list[tuple[str, bytes]]) -> bytes:
    file = io.BytesIO()
    archive.write(file, PASSPHRASE, HEAD, members)
    return file.getvalue()


def unpacked(data: bytes, passphrase: str = PASSPHRASE) -> list[tuple[str, bytes]]:
    file = io.BytesIO(data)
    head, key = archive.read_head(file)
    identity = archive.unlock(key, passphrase)
    assert head == HEAD
    return list(archive.read(file, identity))


MEMBERS = [("a", b"one"), ("b/0", os.urandom(300_000)), ("b/1", b""), ("end", b"")]


def test_members_come_back_as_they_were_and_in_their_order() -> None:
    assert unpacked(packed(MEMBERS)) == MEMBERS


def test_nothing_of_a_backup_can_be_read_without_its_passphrase() -> None:
    data = packed([("settings", b"the secret" * 1000)])
    assert b"the secret" not in data
    assert b"settings" not in data
    with pytest.raises(BadBackup, match="passphrase is wrong"):
        unpacked(data, "another")


WHOLE = packed(MEMBERS)
CLOSED = io.BytesIO(WHOLE)
IDENTITY = archive.unlock(archive.read_head(CLOSED)[1], PASSPHRASE)
PAYLOAD = WHOLE[CLOSED.tell() :]


@examples(100)
@given(st.integers(0, len(PAYLOAD) - 1), st.integers(1, 255), st.booleans())
def test_a_backup_that_was_cut_or_changed_does_not_open(
    at: int, by: int, cut: bool
) -> None:
    changed = PAYLOAD[:at] + bytes([PAYLOAD[at] ^ by]) + PAYLOAD[at + 1 :]
    with pytest.raises(BadBackup):
        list(archive.read(io.BytesIO(PAYLOAD[:at] if cut else changed), IDENTITY))


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "no backup"),
        (b"hello\nthere", "no backup"),
        (b"earthflow-backup 2\n{}\n\n", "newer Earthflow"),
        (b"earthflow-backup 1\nno json\n\n", "damaged"),
        (b"earthflow-backup 1\n{}\n???\n", "damaged"),
        (b"earthflow-backup 1\n{}\nAAAA\n", "passphrase is wrong"),
    ],
)
def test_what_is_no_backup_is_said_to_be_none(data: bytes, sentence: str) -> None:
    with pytest.raises(BadBackup, match=sentence):
        unpacked(data)


def test_what_fails_while_a_backup_is_made_is_not_swallowed() -> None:
    def failing() -> Iterator[tuple[str, bytes]]:
        yield "a", b"one"
        raise psycopg.OperationalError("gone")

    with pytest.raises(psycopg.OperationalError):
        archive.write(io.BytesIO(), PASSPHRASE, HEAD, failing())


def test_a_backup_opens_with_public_tools_alone(tmp_path: Path) -> None:
    """As the format promises: base64, age, zstd, tar; here the libraries in their place."""
    *_, key, rest = packed(MEMBERS).split(b"\n", 3)
    identity = pyrage.passphrase.decrypt(base64.b64decode(key), PASSPHRASE).decode()
    plain = pyrage.decrypt(rest, [pyrage.x25519.Identity.from_str(identity)])
    tar = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(plain)).read()
    with tarfile.open(fileobj=io.BytesIO(tar)) as opened:
        assert opened.getnames() == [name for name, _ in MEMBERS]


# -- with a running Earthflow ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def passphrase(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("backup") / "passphrase"
    file.write_text(PASSPHRASE + "\n")
    return file


def earthflow(
    house: House, *words: str | Path, **more: str
) -> "subprocess.CompletedProcess[str]":
    told = {
        "EARTHFLOW_DATABASE_URL": house.stack.environment()["EARTHFLOW_DATABASE_URL"],
        "EARTHFLOW_MASTER_KEY": house.stack.secrets["EARTHFLOW_MASTER_KEY"],
        **more,
    }
    return subprocess.run(
        [EARTHFLOW, *map(str, words)],
        env=command_environment(house, **told),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def made(house: House, passphrase: Path) -> tuple[Path, Tenant]:
    """A backup of an Earthflow with some traffic, and a tenant of it."""
    tenant = house.tenant()
    for text in ("hello", f"my key is {AWS_KEY}"):
        tenant.post(message(text))
    tenant.audit(2)
    file = passphrase.with_name("all.backup")
    done = earthflow(house, "backup", "--to", file, "--passphrase-file", passphrase)
    assert done.returncode == 0, done.stderr
    return file, tenant


@pytest.fixture
def empty(house: House) -> Iterator[str]:
    """An empty database beside the house's own; its URL."""
    url = house.stack.environment()["EARTHFLOW_DATABASE_URL"]
    name = f"restored_{new_id().replace('-', '')}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
        yield url.replace("/postgres?", f"/{name}?")
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def contents(url: str) -> dump.Contents:
    with dump.reading(url) as connection:
        return dump.contents(connection)


def restore(house: House, passphrase: Path, *words: str | Path, **more: str) -> Any:
    return earthflow(house, "restore", *words, "--passphrase-file", passphrase, "-o", "json", **more)  # fmt: skip


def test_what_is_restored_is_what_there_was(
    house: House,
    passphrase: Path,
    made: tuple[Path, Tenant],
    empty: str,
    tmp_path: Path,
) -> None:
    file, tenant = made
    assert file.stat().st_mode & 0o777 == 0o600
    done = restore(house, passphrase, file, EARTHFLOW_DATABASE_URL=empty, EARTHFLOW_STATE_DIR=str(tmp_path))  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    found = {one.table: one for one in contents(empty).tables}
    assert (
        told["rows"] == sum(one.rows for one in found.values()) - 2
    )  # `restored`, and that in the audit
    assert found["restored"].rows == 1
    with psycopg.connect(empty) as connection:
        count = connection.execute("SELECT count(*) FROM decision WHERE tenant = %s", (tenant.id,)).fetchone()  # fmt: skip
        counts = connection.execute("SELECT sum(count) FROM activity WHERE span = 'hour' AND dimension = 'status' AND tenant = %s", (tenant.id,)).fetchone()  # fmt: skip
    assert count == counts == (2,)  # they are counted anew
    for name in ("mitmproxy-ca.pem", "earthflow-ca.pem"):
        written, there = tmp_path / "ca" / name, house.folder / "ca" / name
        assert written.read_bytes() == there.read_bytes()
        assert written.stat().st_mode & 0o777 == there.stat().st_mode & 0o777
    again = restore(house, passphrase, file, EARTHFLOW_DATABASE_URL=empty, EARTHFLOW_STATE_DIR=str(tmp_path))  # fmt: skip
    assert again.returncode == 1
    assert "--replace" in again.stderr
    third = restore(house, passphrase, file, "--replace", EARTHFLOW_DATABASE_URL=empty, EARTHFLOW_STATE_DIR=str(tmp_path))  # fmt: skip
    assert third.returncode == 0, third.stderr


def test_a_drill_compares_and_changes_nothing(
    house: House, passphrase: Path, made: tuple[Path, Tenant]
) -> None:
    url = house.stack.environment()["EARTHFLOW_DATABASE_URL"]
    names = "SELECT array_agg(datname ORDER BY datname) FROM pg_database"
    with psycopg.connect(url) as connection:
        before = connection.execute(names).fetchone()
    done = restore(house, passphrase, made[0], "--drill")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["drill"] == "passed"
    with psycopg.connect(url) as connection:
        assert connection.execute(names).fetchone() == before
    assert contents(url).tables[-1].table != ""


def test_a_restore_over_what_is_there_is_refused(
    house: House, passphrase: Path, made: tuple[Path, Tenant]
) -> None:
    done = restore(house, passphrase, made[0])
    assert (done.returncode, "has an Earthflow with tenants already" in done.stderr) == (1, True)  # fmt: skip


def test_a_restore_under_another_master_key_is_refused_with_the_way_out(
    house: House,
    passphrase: Path,
    made: tuple[Path, Tenant],
    empty: str,
    tmp_path: Path,
) -> None:
    other = Fernet.generate_key().decode()
    done = restore(house, passphrase, made[0], EARTHFLOW_DATABASE_URL=empty, EARTHFLOW_MASTER_KEY=other)  # fmt: skip
    assert (done.returncode, "--env-to" in done.stderr) == (1, True)
    path = tmp_path / "restored.env"
    done = restore(house, passphrase, made[0], "--env-to", path)
    assert done.returncode == 0, done.stderr
    assert path.stat().st_mode & 0o777 == 0o600
    key = house.stack.secrets["EARTHFLOW_MASTER_KEY"]
    assert f"EARTHFLOW_MASTER_KEY={key}\n" in path.read_text()
    assert key not in done.stdout + done.stderr


def test_a_wrong_passphrase_and_a_short_one_are_refused(
    house: House, made: tuple[Path, Tenant], tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("another passphrase")
    done = restore(house, wrong, made[0], "--drill")
    assert (done.returncode, "passphrase is wrong" in done.stderr) == (1, True)
    wrong.write_text("short")
    done = earthflow(house, "backup", "--to", tmp_path / "x", "--passphrase-file", wrong)  # fmt: skip
    assert (done.returncode, "at least 12" in done.stderr) == (1, True)
    assert not (tmp_path / "x").exists()


def test_a_folder_keeps_the_newest(
    house: House, passphrase: Path, tmp_path: Path
) -> None:
    for day in range(3):
        (tmp_path / f"earthflow-2026112{day}T000000Z.backup").touch()
    (tmp_path / "other.backup").touch()
    done = earthflow(house, "backup", "--to", tmp_path, "--keep", "2", "--passphrase-file", passphrase)  # fmt: skip
    assert done.returncode == 0, done.stderr
    names = sorted(path.name for path in tmp_path.iterdir())
    assert len(names) == 3
    assert names[0] == "earthflow-20261122T000000Z.backup"


def test_a_backup_that_cannot_be_written_leaves_nothing(
    house: House, passphrase: Path, tmp_path: Path
) -> None:
    for words, sentence in (
        (("--to", tmp_path / "no" / "such"), "cannot be used"),
        (("--to", "/dev/full/x"), "cannot be used"),
        (("--to", tmp_path / "x", "--keep", "3"), "--keep is for a folder"),
    ):
        done = earthflow(house, "backup", *words, "--passphrase-file", passphrase)
        assert (done.returncode != 0, sentence in done.stderr) == (True, True), done.stderr  # fmt: skip
    assert list(tmp_path.iterdir()) == []


def test_a_backup_goes_to_standard_output(
    house: House, passphrase: Path, tmp_path: Path
) -> None:
    told = command_environment(
        house,
        EARTHFLOW_DATABASE_URL=house.stack.environment()["EARTHFLOW_DATABASE_URL"],
    )
    done = subprocess.run(
        [EARTHFLOW, "backup", "--to", "-", "--passphrase-file", passphrase],
        env=told,
        capture_output=True,
        check=True,
    )
    file = io.BytesIO(done.stdout)
    _, key = archive.read_head(file)
    identity = archive.unlock(key, PASSPHRASE)
    names = [name for name, _ in archive.read(file, identity)]
    assert names[-1] == "end"
    assert {"settings/earthflow.env", "ca/mitmproxy-ca.pem", "tenants.json"} <= set(names)  # fmt: skip
