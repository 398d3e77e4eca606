"""`earthflow ca install`: the commands for each system, and what is refused. tests/tools runs them."""

import json
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from typer.testing import CliRunner

from cli import ca_folder, ca_install
from cli.ca import app
from contract.authority import issue, make_root

ROOT = make_root()
SHA1 = ROOT.certificate.fingerprint(hashes.SHA1()).hex()
NAME = f"earthflow-{ROOT.certificate.fingerprint(hashes.SHA256()).hex()[:12]}"
DEBIAN = f"/usr/local/share/ca-certificates/{NAME}.crt"
FEDORA = f"/etc/pki/ca-trust/source/anchors/{NAME}.pem"
KEYCHAIN = "/Library/Keychains/System.keychain"
# system -> what adds the root, and what takes it out; FILE is the root's.
COMMANDS = {
    "debian": (
        [f"install -m 644 FILE {DEBIAN}", "update-ca-certificates"],
        [f"rm -f {DEBIAN}", "update-ca-certificates"],
    ),
    "fedora": (
        [f"install -m 644 FILE {FEDORA}", "update-ca-trust extract"],
        [f"rm -f {FEDORA}", "update-ca-trust extract"],
    ),
    "macos": (
        [f"security add-trusted-cert -d -r trustRoot -k {KEYCHAIN} FILE"],
        [
            "security remove-trusted-cert -d FILE",
            f"security delete-certificate -Z {SHA1} {KEYCHAIN}",
        ],
    ),
    "windows": (["certutil -f -addstore Root FILE"], [f"certutil -delstore Root {SHA1}"]),
    "nss": (
        [f"certutil -d sql:HOME/.pki/nssdb -A -t C,, -n {NAME} -i FILE"],
        [f"certutil -d sql:HOME/.pki/nssdb -D -n {NAME}"],
    ),
}  # fmt: skip


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with a CA, and a home in which a browser ran."""
    monkeypatch.setenv("EARTHFLOW_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home" / ".pki" / "nssdb").mkdir(parents=True)
    (tmp_path / "home" / ".pki" / "nssdb" / "cert9.db").touch()
    pem = tmp_path / "ca.pem"
    pem.write_bytes(ROOT.pem)
    monkeypatch.setenv("EARTHFLOW_CA_CERT", str(pem))
    return tmp_path


def install(*words: str) -> Any:
    return CliRunner().invoke(app, ["install", *words])


@pytest.mark.parametrize("system", COMMANDS)
@pytest.mark.parametrize("remove", [False, True], ids=["add", "remove"])
def test_the_commands_of_each_system_are_printed(
    state: Path, system: str, remove: bool
) -> None:
    more = ["--remove"] if remove else []
    said = install("--on", system, "--dry-run", "-o", "json", *more)
    assert said.exit_code == 0, said.output
    shown = json.loads(said.stdout)
    file = state / "state" / "client" / f"{NAME}.crt"
    assert shown["certificates"] == [str(file)]
    assert file.read_bytes() == ROOT.pem
    assert [" ".join(one).removeprefix("sudo ") for one in shown["commands"]] == [
        one.replace("FILE", str(file)).replace("HOME", str(state / "home"))
        for one in COMMANDS[system][remove]
    ]
    assert not shown["done"]


def test_a_table_is_what_a_shell_reads(state: Path) -> None:
    said = install("--on", "macos")
    assert said.exit_code == 0
    assert shlex.split(said.stdout.strip())[:2] in (
        ["security", "add-trusted-cert"],
        ["sudo", "security"],
    )
    assert f"Bring {state}/state/client/{NAME}.crt to where" in said.stderr


def test_without_a_terminal_nothing_is_done_unless_said(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[Any] = []
    monkeypatch.setattr(subprocess, "run", lambda *words, **_: ran.append(words))
    said = install("--on", "nss")
    assert (said.exit_code, ran) == (1, [])
    assert "use --yes" in str(said.exception)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "holds no PEM certificate"),
        (ROOT.key_pem, "holds no PEM certificate"),
        (issue(ROOT, ["leaf.example"])[0], "no CA's"),
    ],
)  # fmt: skip
def test_what_is_no_ca_is_not_trusted(state: Path, content: bytes, why: str) -> None:
    bad = state / "bad.pem"
    bad.write_bytes(content)
    said = install("--on", "nss", "--yes", "--certificate", str(bad))
    assert why in str(said.exception)


def test_a_home_without_a_browser_is_said(state: Path) -> None:
    (state / "home" / ".pki" / "nssdb" / "cert9.db").unlink()
    said = install("--on", "nss", "--yes")
    assert "No profile of Firefox or Chromium" in str(said.exception)
    assert "certutil -d sql:PROFILE -A" in install("--on", "nss").stdout


def test_on_another_system_yes_is_an_error(state: Path) -> None:
    said = install("--on", "windows", "--yes")
    assert "This is not windows, so nothing can be done" in str(said.exception)


def test_a_users_path_need_not_have_what_administrators_run(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert ca_install._with_sbin()["PATH"] == "/nowhere:/usr/sbin:/sbin"


def test_a_link_that_somebody_left_is_not_followed(state: Path) -> None:
    (state / "state" / "client").mkdir(parents=True)
    (state / "victim").write_text("untouched")
    link = state / "state" / "client" / f"{NAME}.crt"
    link.symlink_to(state / "victim")
    assert install("--on", "debian", "--dry-run").exit_code == 0
    assert (state / "victim").read_text() == "untouched"
    assert (link.is_symlink(), link.read_bytes()) == (False, ROOT.pem)


def test_both_roots_of_a_change_are_trusted(state: Path) -> None:
    both = state / "both.pem"
    both.write_bytes(ROOT.pem + make_root().pem)
    said = install("--on", "debian", "--dry-run", "--certificate", str(both))
    assert said.stdout.count("install -m 644") == 2
    assert said.stdout.count("update-ca-certificates") == 1


def test_the_ca_of_this_machine_is_taken_where_no_other_is_named(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EARTHFLOW_CA_CERT")
    assert "earthflow ca init" in str(install("--on", "debian", "--dry-run").exception)
    ca_folder.write_local(state / "state" / "ca")
    assert install("--on", "debian", "--dry-run").exit_code == 0
