"""The units: systemd has nothing to say of them, they are confined, and they run what is installed."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from cli.settings import environment

ROOT = Path(__file__).resolve().parents[2]
UNITS = sorted((ROOT / "deploy" / "systemd").iterdir())
SERVICES = [unit for unit in UNITS if unit.suffix == ".service"]
INSTALLED = "/opt/earthflow/.venv/bin/earthflow"
# What docs/guide.md says of each (0 is best, 10 is worst).
HIGHEST_EXPOSURE = 2.0
needs_systemd = pytest.mark.skipif(
    "EARTHFLOW_TOOLS" not in os.environ and shutil.which("systemd-analyze") is None,
    reason="there is no systemd-analyze here; CI installs it",
)


def analyze(*words: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["systemd-analyze", *map(str, words)],
        capture_output=True,
        text=True,
        env=environment({"SYSTEMD_COLORS": "0"}),
        check=False,
    )


@needs_systemd
def test_systemd_finds_nothing_to_say(tmp_path: Path) -> None:
    """It ends with 0 on unknown keys, too, so any word counts. What is installed stands in for /opt."""
    here = Path(sys.executable).with_name("earthflow")
    for unit in UNITS:
        (tmp_path / unit.name).write_text(unit.read_text().replace(INSTALLED, str(here)))  # fmt: skip
    for unit in UNITS:
        done = analyze("verify", "--man=no", tmp_path / unit.name)
        assert (done.returncode, done.stdout + done.stderr) == (0, ""), unit.name


@needs_systemd
@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.stem)
def test_a_service_is_confined(unit: Path) -> None:
    done = analyze("security", "--offline=true", unit)
    found = re.search(r"exposure level for .*: ([\d.]+)", done.stdout)
    assert found is not None, done.stderr
    assert float(found[1]) <= HIGHEST_EXPOSURE


@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.stem)
def test_a_service_runs_a_command_that_is_there(unit: Path) -> None:
    (command,) = re.findall(r"^ExecStart=(.*)$", unit.read_text(), re.MULTILINE)
    program, *words = command.split()
    assert program == INSTALLED
    named = [word for word in words if not word.startswith(("-", "/", "$")) and not word.isdigit()]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "cli", *named, "--help"],
        cwd=ROOT,
        env=environment({"COLUMNS": "200"}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for option in (word for word in words if word.startswith("--")):
        assert option in done.stdout


def test_a_timer_has_its_service() -> None:
    timers = {unit.stem for unit in UNITS if unit.suffix == ".timer"}
    assert timers == {"earthflow-backup", "earthflow-rotate"}
    assert timers <= {unit.stem for unit in SERVICES}


def installed(into: Path) -> str:
    done = subprocess.run(
        ["bash", ROOT / "deploy" / "install-systemd.sh"],
        env=environment({"DESTDIR": str(into), "PYTHON": sys.executable}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_installation_has_units_and_settings_with_new_secrets(
    tmp_path: Path,
) -> None:
    said = installed(tmp_path)
    settings = tmp_path / "opt/earthflow/.env"
    assert settings.stat().st_mode & 0o077 == 0
    told = dict(
        line.split("=", 1)
        for line in settings.read_text().splitlines()
        if line and not line.startswith("#")
    )
    Fernet(told["EARTHFLOW_MASTER_KEY"])
    assert len(told["EARTHFLOW_ADMIN_API_KEY"]) >= 32
    assert told["EARTHFLOW_CONTROL_URL"] == "http://127.0.0.1:8080"
    assert told["EARTHFLOW_MASTER_KEY"] not in said
    units = {path.name for path in (tmp_path / "etc/systemd/system").iterdir()}
    assert units == {unit.name for unit in UNITS}
    before = settings.read_text()
    installed(tmp_path)  # as an upgrade does
    assert settings.read_text() == before


def test_without_root_it_says_what_to_do() -> None:
    nobody = {"preexec_fn": lambda: os.setuid(65534)} if os.geteuid() == 0 else {}
    done = subprocess.run(
        ["bash", "-s"],
        input=(ROOT / "deploy" / "install-systemd.sh").read_text().replace('cd "$(dirname "$0")/.."', "cd /"),
        env={"PATH": os.defpath},
        capture_output=True,
        text=True,
        check=False,
        **nobody,
    )  # type: ignore[call-overload]  # fmt: skip
    assert (done.returncode, done.stderr) == (
        77,
        "install-systemd needs root: sudo make install-systemd\n",
    )


def test_certbots_hook_lets_the_group_read_and_nobody_else(tmp_path: Path) -> None:
    for part in ("live", "archive"):
        (tmp_path / part / "example").mkdir(parents=True, mode=0o700)
        key = tmp_path / part / "example" / "privkey.pem"
        key.write_text("key")
        key.chmod(0o600)
    subprocess.run(
        ["sh", ROOT / "deploy" / "letsencrypt-hook.sh"],
        env={
            "LETSENCRYPT_DIR": str(tmp_path),
            "EARTHFLOW_GID": str(os.getgid()),
            "PATH": os.defpath,
        },
        check=True,
    )
    for path in tmp_path.rglob("*"):
        assert path.stat().st_mode & 0o777 == (0o750 if path.is_dir() else 0o640), path


INSTALL = """
mkdir -p "$1/bin" && ln -s /bin/true "$1/bin/python" && echo "$VERSION $2 $3" > "$1/version"
[[ $VERSION != broken ]]
"""


def test_a_release_is_installed_beside_the_one_that_runs(tmp_path: Path) -> None:
    """What runs is exchanged as a whole, the one before stays, and one that is not whole is never used."""
    (deploy := tmp_path / "deploy").mkdir()
    shutil.copy(ROOT / "deploy" / "install-release.sh", deploy)
    (deploy / "install.sh").write_text(INSTALL)
    (venv := tmp_path / "venv").mkdir()  # as early versions made it
    (venv / "version").write_text("first")

    def release(version: str) -> int:
        stamp = f"#!/bin/bash\n[[ $1 == -r ]] && echo 20250101000000 || echo 2026112900000{version[-1]}\n"
        (tmp_path / "date").write_text(stamp)
        (tmp_path / "date").chmod(0o755)
        told = environment({"VERSION": version})
        told["PATH"] = f"{tmp_path}:{told['PATH']}"
        return subprocess.run(
            ["bash", deploy / "install-release.sh", venv], env=told, check=False
        ).returncode

    locks = "requirements.txt requirements-build.txt\n"
    for version, others in (("1", {"first"}), ("2", {f"1 {locks}"}), ("3", {f"2 {locks}"})):  # fmt: skip
        assert release(version) == 0
        assert (venv / "version").read_text() == f"{version} {locks}"
        kept = {path.read_text() for path in tmp_path.glob("venv-*/version")}
        assert kept == {f"{version} {locks}", *others}
    used = next(path for path in tmp_path.glob("venv-*/version") if path.read_text().startswith("2"))  # fmt: skip
    code = "import mmap, sys; file = open(sys.argv[1]); held = mmap.mmap(file.fileno(), 0, prot=1); print(flush=True); input()"
    running = subprocess.Popen([sys.executable, "-c", code, used], stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # fmt: skip
    assert running.stdout is not None
    running.stdout.readline()
    assert release("4") == release("5") == 0
    assert used.exists()
    running.communicate(b"\n")
    assert release("6") == 0
    assert not used.exists()
    assert release("broken") != 0
    assert (venv / "version").read_text() == f"6 {locks}"
    assert len(list(tmp_path.glob("venv-*"))) == 2
