"""`earthflow ca install`: put the roots where a system's programs look for what they trust.

The commands are printed; on the system that they are for, they are run, too. Sources:
update-ca-certificates(8), update-ca-trust(8), macOS security(1), Microsoft's certutil, and
NSS certutil(1) for Firefox and Chromium.
"""

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import typer
from cryptography.hazmat.primitives import hashes

from cli import ca_folder
from cli.confirm import Yes, confirm
from cli.errors import CommandError
from cli.output import Output, emit
from cli.settings import UpSettings
from cli.trust import certificates
from contract.authority import certificate_pem, fingerprint, is_authority

System = Literal["debian", "fedora", "macos", "windows", "nss"]
Command = Sequence[str]

DEBIAN = Path("/usr/local/share/ca-certificates")
FEDORA = Path("/etc/pki/ca-trust/source/anchors")
KEYCHAIN = "/Library/Keychains/System.keychain"
# Below a person's home: where Chromium, and each profile of Firefox, has a database.
NSS_DATABASES = (
    ".pki/nssdb",
    ".mozilla/firefox/*",
    ".config/mozilla/firefox/*",
    "snap/firefox/common/.mozilla/firefox/*",
    "snap/chromium/current/.pki/nssdb",
    ".var/app/org.mozilla.firefox/.mozilla/firefox/*",
    "Library/Application Support/Firefox/Profiles/*",
)


class Root(NamedTuple):
    """A root that is to be trusted: its name in a store, its file, and the SHA-1 by which macOS and Windows know it."""

    name: str
    file: Path
    sha1: str


def install(
    on: Annotated[
        System | None,
        typer.Option(
            "--on",
            help="Another system, for which the commands are printed; nss: Firefox and Chromium.",
        ),
    ] = None,
    certificate: Annotated[
        Path | None,
        typer.Option(
            "--certificate",
            help="What `earthflow ca export` wrote; else EARTHFLOW_CA_CERT, else the CA of this machine.",
        ),
    ] = None,
    remove: Annotated[
        bool, typer.Option("--remove", help="Take them out again.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the commands only.")
    ] = False,
    yes: Yes = False,
    output: Output = "table",
) -> None:
    """Have this system, or its browsers, trust the CA; print how that is done on another."""
    settings = UpSettings()
    roots = _roots(settings, certificate or settings.ca_cert)
    here = _here()
    system = on or here
    if system is None:
        raise CommandError(
            "How this system keeps its CAs is not known. Name one that is like it: earthflow ca install --on debian "
            "(or fedora, macos, windows, nss)"
        )
    runs = system == here or (system == "nss" and os.name == "posix")
    commands = list(
        _commands(system, roots, remove=remove, sudo=runs and not _is_root())
    )
    if output == "table":
        typer.echo("\n".join(_as_shell(system, command) for command in commands))
    does = runs and not dry_run
    if does:
        confirm("These commands change what is trusted here.", yes=yes)
        _run(commands)
    if output == "json":
        files = [str(root.file) for root in roots]
        words = [list(command) for command in commands]
        shown = {"system": system, "certificates": files, "commands": words}
        emit({**shown, "done": does}, output)
    _say_what_is_left(system, roots, runs=runs)


def _say_what_is_left(system: System, roots: Sequence[Root], *, runs: bool) -> None:
    if not runs:
        files = ", ".join(str(root.file) for root in roots)
        said = f"This is not {system}. Bring {files} there, and put its place into the commands."
        typer.echo(said, err=True)
    elif system != "nss" and _databases():
        said = "Firefox and Chromium have stores of their own: earthflow ca install --on nss"
        typer.echo(said, err=True)


def _as_shell(system: System, command: Command) -> str:
    if system == "windows":
        return subprocess.list2cmdline(command)
    return shlex.join(command)


def _roots(settings: UpSettings, given: Path | None) -> list[Root]:
    """The roots, each in a file of its own beside what clients trust. Raises CommandError."""
    trusted = (
        certificates(given) if given else ca_folder.roots(settings.state_dir / "ca")
    )
    folder = settings.state_dir / "client"
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for one in trusted:
        if not is_authority(one):
            raise CommandError(
                f"{given} holds a certificate that is no CA's: {one.subject.rfc4514_string()}. "
                "Get the CA with: earthflow ca export"
            )
        name = f"earthflow-{fingerprint(one)[:12]}"
        file = folder / f"{name}.crt"
        file.write_bytes(certificate_pem(one))
        found.append(Root(name, file, one.fingerprint(hashes.SHA1()).hex()))  # noqa: S303
    return found


def _here() -> System | None:
    """The system that this is."""
    if sys.platform == "darwin":
        return "macos"
    if sys.platform == "win32":
        return "windows"
    if shutil.which("update-ca-certificates") and DEBIAN.is_dir():
        return "debian"
    if shutil.which("update-ca-trust") and FEDORA.is_dir():
        return "fedora"
    return None


def _is_root() -> bool:
    return os.name != "posix" or os.geteuid() == 0


def _commands(
    system: System, roots: Sequence[Root], *, remove: bool, sudo: bool
) -> Iterator[Command]:
    """What adds the roots to a system's store, or takes them out; `sudo`: who runs them is not root."""
    before = ["sudo"] if sudo and system != "nss" else []
    for root in roots:
        for command in _of_root(system, root, remove=remove):
            yield [*before, *command]
    if system in ("debian", "fedora"):
        yield [
            *before,
            *(
                ["update-ca-certificates"]
                if system == "debian"
                else ["update-ca-trust", "extract"]
            ),
        ]


def _of_root(system: System, root: Root, *, remove: bool) -> list[Command]:
    name, file = root.name, str(root.file)
    match system:
        case "debian" | "fedora":
            place = str(
                DEBIAN / f"{name}.crt" if system == "debian" else FEDORA / f"{name}.pem"
            )
            return [
                ["rm", "-f", place] if remove else ["install", "-m", "644", file, place]
            ]
        case "macos" if remove:
            return [
                ["security", "remove-trusted-cert", "-d", file],
                ["security", "delete-certificate", "-Z", root.sha1, KEYCHAIN],
            ]
        case "macos":
            return [
                [
                    "security",
                    "add-trusted-cert",
                    "-d",
                    "-r",
                    "trustRoot",
                    "-k",
                    KEYCHAIN,
                    file,
                ]
            ]
        case "windows":
            return [
                ["certutil", "-delstore", "Root", root.sha1]
                if remove
                else ["certutil", "-f", "-addstore", "Root", file]
            ]
        case "nss":
            words = (
                ["-D", "-n", name]
                if remove
                else ["-A", "-t", "C,,", "-n", name, "-i", file]
            )
            return [
                ["certutil", "-d", f"sql:{database}", *words] for database in _nss()
            ]


def _databases() -> list[Path]:
    """The NSS databases of whoever runs this."""
    return sorted(
        found.parent
        for pattern in NSS_DATABASES
        for found in Path.home().glob(f"{pattern}/cert9.db")
    )


def _nss() -> list[Path]:
    if found := _databases():
        return found
    raise CommandError(
        f"No profile of Firefox or Chromium is below {Path.home()}. Start the browser once, and try again."
    )


def _run(commands: Sequence[Command]) -> None:
    for command in commands:
        try:
            done = subprocess.run(command, stdout=sys.stderr, check=False)
        except FileNotFoundError:
            package = (
                " (Debian: libnss3-tools, Fedora: nss-tools)"
                if command[0] == "certutil"
                else ""
            )
            raise CommandError(
                f"{command[0]} is not installed{package}. Install it, and try again."
            ) from None
        if done.returncode:
            raise CommandError(
                f"This failed with status {done.returncode}; see its message above: {shlex.join(command)}"
            )
