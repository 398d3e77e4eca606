"""State folders that take no file, as real file systems: read-only, and full."""

import os
import subprocess
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from cli.ca_folder import write_local
from cli.settings import environment
from cli.stack import PROGRAMS
from tests.support.house import EARTHFLOW, PATIENCE

AS_ROOT = [] if os.geteuid() == 0 else ["--map-root-user"]
MOUNT = """
set -e
mount -t tmpfs -o size=1m tmpfs "$1/volume"
cp -a "$1/ca" "$1/volume/ca"
if [[ $2 == full ]]; then dd if=/dev/zero of="$1/volume/fill" bs=4k status=none || true; else mount -o remount,ro "$1/volume"; fi
shift 2
exec "$@"
"""
SAYS = {"full": "No space left on device", "read-only": "Read-only file system"}


def on_volume(
    place: Path, kind: str, *command: str | Path
) -> subprocess.CompletedProcess[str]:
    """Run a command whose state folder is on such a volume."""
    write_local(place / "ca")
    (place / "volume").mkdir()
    told = {
        "EARTHFLOW_MASTER_KEY": Fernet.generate_key().decode(),
        "EARTHFLOW_STATE_DIR": str(place / "volume"),
        "EARTHFLOW_CONTROL_URL": "http://127.0.0.1:1",
        "EARTHFLOW_START_TIMEOUT": "0",
    }
    unshared = ["unshare", *AS_ROOT, "--mount", "--propagation", "private"]
    return subprocess.run(
        [*unshared, "bash", "-c", MOUNT, "-", place, kind, *command],
        env=environment(told), capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("kind", SAYS)
def test_a_proxy_says_that_its_state_folder_takes_no_file(
    tmp_path: Path, kind: str
) -> None:
    done = on_volume(tmp_path, kind, *PROGRAMS["proxy"])
    assert done.returncode == (1 if kind == "full" else 78), done.stderr
    assert f"{tmp_path}/volume cannot be written to: {SAYS[kind]}" in done.stderr
    assert "EARTHFLOW_STATE_DIR" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("kind", SAYS)
def test_a_ca_that_cannot_be_written_leaves_the_one_that_is_there(
    tmp_path: Path, kind: str
) -> None:
    script = 'sha256sum "$1"/volume/ca/* > "$1/sums"; "$2" ca init --local --force; status=$?; sha256sum --quiet -c "$1/sums" && exit $status'
    done = on_volume(tmp_path, kind, "bash", "-c", script, "-", tmp_path, EARTHFLOW)
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    assert SAYS[kind] in done.stderr
    assert "Traceback" not in done.stderr
