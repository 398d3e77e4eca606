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
CERTUTIL = shutil.which("certutil") or "certutil"
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


class Browser:
    """A profile of Firefox, and the CAs of ours that it trusts."""

    def __init__(self, home: Path, name: str):
        self._database = home / ".mozilla" / "firefox" / name
        self._database.mkdir(parents=True)
        self._certutil("-N", "--empty-password")

    def _certutil(self, *words: str) -> str:
        command = [CERTUTIL, "-d", f"sql:{self._database}", *words]
        return subprocess.run(
            command, capture_output=True, text=True, check=True
        ).stdout

    def trusted(self) -> list[str]:
        lines = self._certutil("-L").splitlines()
        return [line.rstrip() for line in lines if "earthflow-" in line]


def test_browsers_trust_the_ca_and_forget_it(state: Path) -> None:
    home = state / "home"
    first = Browser(home, "a1b2.default")

    def install(*words: str) -> None:
        told = environment({"EARTHFLOW_STATE_DIR": str(state), "HOME": str(home)})
        command = [EARTHFLOW, "ca", "install", "--on", "nss", "--yes", *words]
        done = subprocess.run(command, env=told, check=True, capture_output=True, text=True)  # fmt: skip
        assert "SHA-256" in done.stderr

    install()
    (line,) = first.trusted()
    assert line.endswith("C,,")
    install()
    assert first.trusted() == [line]
    ca_folder.write_local(state / "ca")  # the CA is replaced
    install()
    (other,) = first.trusted()
    assert other != line
    second = Browser(home, "c3d4.later")  # which never had it
    install("--remove")
    assert first.trusted() == second.trusted() == []
