"""Embedded engines: started, adopted, stopped, and safe when two start at once or their parent is killed."""

import os
import pwd
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cli.engines import Engines
from cli.errors import CommandError
from cli.processes import alive, wait_until
from cli.settings import environment, settings_of
from cli.state_folder import claim
from tests.support.house import PATIENCE

# A parent that starts the engines, says so, and waits.
PARENT = """
import sys, time
from pathlib import Path
from cli.engines import Engines
from cli.state_folder import claim
from cli.settings import settings_of
with Engines(settings_of(Path(sys.argv[1]))) as engines:
    print("ours" if engines.ours else "adopted", flush=True)
    sys.stdin.read()
"""


def parent(state_folder: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", PARENT, str(state_folder)],
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def pids(engines: Engines) -> list[int]:
    postmaster = (
        (engines.folder / "postgres" / "postmaster.pid").read_text().splitlines()
    )
    valkey = engines.valkey.pid()
    assert valkey is not None
    return [int(postmaster[0]), valkey]


def test_they_start_keep_their_data_and_stop_with_us(state_folder: Path) -> None:
    with Engines(settings_of(state_folder)) as engines:
        first = pids(engines)
        assert query(engines, "CREATE TABLE kept AS SELECT 42 AS answer") == "SELECT 1"
    assert not any(alive(pid) for pid in first)
    with Engines(settings_of(state_folder)) as engines:
        assert query(engines, "SELECT answer FROM kept") == "42"
        assert query(engines, "SHOW server_encoding") == "UTF8"


def test_two_at_once_share_one_pair_of_servers(state_folder: Path) -> None:
    first, second = parent(state_folder), parent(state_folder)
    try:
        said = sorted(
            line.strip()
            for process in (first, second)
            if process.stdout and (line := process.stdout.readline())
        )
        assert said == ["adopted", "ours"]
    finally:
        for process in (first, second):
            process.communicate("")


def test_when_the_parent_is_killed_the_servers_end_too(state_folder: Path) -> None:
    process = parent(state_folder)
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "ours"
    servers = pids(Engines(settings_of(state_folder)))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert wait_until(lambda: not any(alive(pid) for pid in servers), PATIENCE)
    with Engines(settings_of(state_folder)) as engines:
        assert query(engines, "SELECT 1") == "1"


def test_a_pid_file_that_names_anothers_process_is_not_believed(
    state_folder: Path,
) -> None:
    """As after a power cut: the files are there, and their numbers belong to others by now."""
    with Engines(settings_of(state_folder)) as engines:
        query(engines, "CREATE TABLE kept AS SELECT 42 AS answer")
    stranger = subprocess.Popen(["sleep", "120"])
    try:
        ready = [
            str(stranger.pid),
            "data",
            "0",
            "5432",
            str(state_folder),
            "",
            "0 0",
            "ready   ",
        ]
        (engines.folder / "postgres" / "postmaster.pid").write_text(
            "\n".join(ready) + "\n"
        )
        (engines.folder / "valkey" / "pid").write_text(str(stranger.pid))
        for name in ("postgres/postmaster.pid", "valkey/pid"):
            owner = (engines.folder / name).parent.stat()
            os.chown(engines.folder / name, owner.st_uid, owner.st_gid)
        with Engines(settings_of(state_folder)) as again:
            assert query(again, "SELECT answer FROM kept") == "42"
            assert stranger.pid not in pids(again)
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_half_made_data_folder_is_made_anew(state_folder: Path) -> None:
    half = Engines(settings_of(state_folder)).folder / "postgres.new"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("1")
    with Engines(settings_of(state_folder)) as engines:
        assert query(engines, "SELECT 1") == "1"


def test_data_of_another_major_version_is_refused_with_words(
    state_folder: Path,
) -> None:
    with Engines(settings_of(state_folder)) as engines:
        data = engines.folder / "postgres"
    (data / "PG_VERSION").write_text("9\n")
    with (
        pytest.raises(CommandError, match="was made by PostgreSQL 9, but this is 18"),
        Engines(settings_of(state_folder)),
    ):
        pass


def test_a_long_state_folder_gets_its_sockets_elsewhere(state_folder: Path) -> None:
    claim(state_folder)
    state_folder.chmod(0o711)
    with Engines(settings_of(state_folder / ("long" * 30))) as engines:
        assert query(engines, "SELECT 1") == "1"
        assert not (engines.folder / "run").exists()


def test_root_is_never_who_runs_them_even_behind_closed_parents(
    state_folder: Path,
) -> None:
    state = state_folder / "closed" / "state"
    state.mkdir(parents=True)
    (state_folder / "closed").chmod(0o700)
    expected = pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else os.geteuid()
    with Engines(settings_of(state)) as engines:
        assert {os.stat(f"/proc/{pid}").st_uid for pid in pids(engines)} == {expected}
        assert query(engines, "SELECT 1") == "1"
    shutil.rmtree(engines.folder, ignore_errors=True)


def query(engines: Engines, sql: str) -> str:
    """psql of the same wheel."""
    import psycopg

    with psycopg.connect(engines.database_url, autocommit=True) as connection:
        cursor = connection.execute(sql.encode())
        if cursor.description is None:
            return str(cursor.statusmessage)
        row = cursor.fetchone()
    return str(row[0]) if row else ""
