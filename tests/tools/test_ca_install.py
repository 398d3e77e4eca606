"""`earthflow ca install` on a real Debian and in a real NSS database; in a mount namespace, so that the machine stays as it is."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from cli import ca_folder
from cli.settings import environment
from contract.authority import issue
from tests.support.house import EARTHFLOW

AS_ROOT = [] if os.geteuid() == 0 else ["--map-root-user"]
STORE = "/etc/ssl/certs/ca-certificates.crt"
# What follows sees the CAs of the machine, and may change a copy of them.
OWN_STORE = """
set -euo pipefail
for folder in /etc/ssl /usr/local/share/ca-certificates; do
  mkdir -p "$1/copy$folder" && cp -a "$folder/." "$1/copy$folder/" && mount --bind "$1/copy$folder" "$folder"
done
shift
"$@" ca install --yes >/dev/null
openssl verify -CAfile "$STORE" "$LEAF"
"$@" ca install --yes --remove >/dev/null
! openssl verify -CAfile "$STORE" "$LEAF"
"""


@pytest.fixture
def state(tmp_path: Path) -> Path:
    ca_folder.write_local(tmp_path / "ca")
    return tmp_path


def test_debian_trusts_the_ca_and_forgets_it(state: Path) -> None:
    root = ca_folder.local_root(state / "ca")
    assert root is not None
    (leaf := state / "leaf.pem").write_bytes(issue(root, ["api.openai.com"])[0])
    told = {"EARTHFLOW_STATE_DIR": str(state), "STORE": STORE, "LEAF": str(leaf)}
    done = subprocess.run(
        ["unshare", *AS_ROOT, "--mount", "--propagation", "private", "bash", "-c", OWN_STORE, "-", str(state), EARTHFLOW],
        env=environment(told), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert f"{leaf}: OK" in done.stdout
    assert "unable to get local issuer certificate" in done.stderr
    assert not list(Path("/usr/local/share/ca-certificates").glob("earthflow-*"))


def test_a_browsers_database_trusts_the_ca_and_forgets_it(state: Path) -> None:
    database = state / "home" / ".mozilla" / "firefox" / "a1b2.default"
    database.mkdir(parents=True)
    certutil = shutil.which("certutil")
    assert certutil is not None
    subprocess.run(
        [certutil, "-d", f"sql:{database}", "-N", "--empty-password"], check=True
    )
    told = environment({"EARTHFLOW_STATE_DIR": str(state), "HOME": str(state / "home")})

    def trusted(*words: str) -> list[str]:
        command = [EARTHFLOW, "ca", "install", "--on", "nss", "--yes", *words]
        subprocess.run(command, env=told, check=True, capture_output=True)
        shown = subprocess.run(
            [certutil, "-d", f"sql:{database}", "-L"],
            capture_output=True,
            text=True,
            check=True,
        )
        return [line for line in shown.stdout.splitlines() if "earthflow-" in line]

    (line,) = trusted()
    assert line.endswith("C,,  ")
    assert trusted() == [line]
    assert trusted("--remove") == []
