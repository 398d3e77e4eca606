"""The edges of a command line: whatever the locale, the pipe, the disk or the folder is, a command ends with a sentence and a status."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.support.house import EARTHFLOW, House, command_environment

# Each writes something, and needs no server; then those that ask one that is not there.
OFFLINE = [
    ["--version"], ["--help"], ["rules", "list"], ["rules", "list", "-o", "json"], ["providers"], ["context", "list"], ["keys", "--help"], ["ca", "show"],
    ["config", "check", "up"], ["rules", "show", "secrets.aws-access-key"],
]  # fmt: skip
ASKING = [
    ["status"], ["health"], ["tenants", "list"], ["keys", "list"], ["audit", "search"], ["audit", "admin"], ["audit", "export"], ["audit", "stats"],
    ["webhooks", "list", "default"], ["secrets", "list", "default"], ["keys", "rotate", "--dry-run"], ["tenants", "create", "x"], ["doctor"],
]  # fmt: skip


def told(tmp_path: Path, **more: str) -> dict[str, str]:
    own = {name: os.environ[name] for name in ("PATH",)}
    return {
        **own, "HOME": str(tmp_path), "EARTHFLOW_STATE_DIR": str(tmp_path / "state"), "EARTHFLOW_DASHBOARD_PORT": "1", "EARTHFLOW_PORT": "1",
        "EARTHFLOW_ADMIN_API_KEY": "a" * 40, **more,
    }  # fmt: skip


def run(words: list[str], environment: dict[str, str], redirect: str = "") -> subprocess.CompletedProcess[bytes]:  # fmt: skip
    line = f'exec "$0" "$@" {redirect}'
    return subprocess.run(
        ["sh", "-c", line, str(EARTHFLOW), *words],
        env=environment,
        capture_output=True,
        check=False,
        timeout=120,
    )


def complained(done: subprocess.CompletedProcess[bytes]) -> bool:
    """Whether a fault of ours is to be seen."""
    shown = done.stdout + done.stderr
    return b"Traceback" in shown or b"Exception ignored" in shown or done.returncode == 70  # fmt: skip


@pytest.mark.parametrize("words", OFFLINE + ASKING, ids=" ".join)
def test_nothing_of_the_terminal_or_the_disk_is_a_fault(
    tmp_path: Path, words: list[str]
) -> None:
    plain = run(words, told(tmp_path))
    assert not complained(plain), plain.stderr
    ascii = run(words, told(tmp_path, LC_ALL="C", PYTHONIOENCODING="ascii", PYTHONUTF8="0"))  # fmt: skip
    assert (ascii.returncode, complained(ascii)) == (plain.returncode, False)
    full = run(words, told(tmp_path), ">/dev/full")
    assert not complained(full), full.stderr
    if plain.stdout:
        assert full.returncode != 0
        assert b"cannot be used: No space left" in full.stderr or not plain.stdout
    both = run(words, told(tmp_path), ">/dev/full 2>/dev/full")
    assert both.returncode not in (0, 70) or not plain.stdout
    closed = run(words, told(tmp_path), ">&-")
    assert not complained(closed), closed.stderr


@pytest.mark.parametrize("words", [["up"], ["ca", "init", "--local"], ["ca", "show"], ["demo"], ["env"], ["keys", "list"], ["rules", "list"]], ids=" ".join)  # fmt: skip
def test_a_state_folder_that_is_a_file_is_said_so(
    tmp_path: Path, words: list[str]
) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        done = run(words, told(tmp_path, EARTHFLOW_STATE_DIR=str(place)))
        assert not complained(done), done.stderr
        if words[0] in ("up", "demo"):
            assert b"where no folder can be" in done.stderr


def test_without_a_home_a_command_still_runs(tmp_path: Path) -> None:
    bare = {name: value for name, value in told(tmp_path).items() if name != "HOME"}
    del bare["EARTHFLOW_STATE_DIR"]
    for words in (["--version"], ["config", "check", "up"], ["keys", "list"]):
        assert not complained(run(words, bare)), words


@pytest.mark.parametrize("words", [["audit", "export"], ["audit", "tail"], ["audit", "search"], ["config", "check"]], ids=" ".join)  # fmt: skip
def test_an_unknown_form_of_output_is_refused(tmp_path: Path, words: list[str]) -> None:
    done = run([*words, "-o", "xml"], told(tmp_path))
    assert (done.returncode, b"xml" in done.stderr) == (2, True)


def test_what_is_written_is_nobody_elses_to_change(tmp_path: Path) -> None:
    place = told(tmp_path, EARTHFLOW_CONFIG_DIR=str(tmp_path / "config"))
    add = ["context", "add", "there", "--url", "https://there:8443", "--key", "-"]
    subprocess.run(
        ["sh", "-c", 'umask 000; exec "$0" "$@"', str(EARTHFLOW), *add],
        env=place, input=b"a-key\n", check=True,
    )  # fmt: skip
    subprocess.run(
        ["sh", "-c", 'umask 000; exec "$0" "$@"', str(EARTHFLOW), "ca", "init", "--local"],
        env=place, check=True, capture_output=True,
    )  # fmt: skip
    written = [path for path in tmp_path.rglob("*") if not path.is_symlink()]
    assert len(written) > 5
    assert [path for path in written if path.stat().st_mode & 0o022] == []


def test_a_program_that_is_run_has_the_users_own_umask(house: House) -> None:
    done = subprocess.run(
        ["sh", "-c", 'umask 002; exec "$0" run -- sh -c umask', str(EARTHFLOW)],
        env=command_environment(house), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "0002"


def test_a_fault_of_ours_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import cli.context\ndef broken(): raise LookupError('secret text')\ncli.context._read = broken\n"
    )
    place = told(tmp_path, PYTHONPATH=str(tmp_path))
    done = run(["context", "list"], place)
    assert (done.returncode, b"Traceback" in done.stderr) == (70, False)
    assert b"a fault of Earthflow (LookupError at sitecustomize.py:2)" in done.stderr
    assert b"secret text" not in done.stderr
    assert b"Traceback" in run(["context", "list"], place | {"EARTHFLOW_LOG_LEVEL": "DEBUG"}).stderr  # fmt: skip
