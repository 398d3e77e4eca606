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
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import typer
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from cli import ca_folder
from cli.confirm import Yes, confirm
from cli.errors import USAGE, CommandError
from cli.output import Output, emit
from cli.settings import UpSettings, environment
from cli.trust import certificates
from contract.authority import certificate_pem, fingerprint, is_authority

System = Literal["debian", "fedora", "macos", "windows", "nss"]
Command = Sequence[str]

DEBIAN = Path("/usr/local/share/ca-certificates")
FEDORA = Path("/etc/pki/ca-trust/source/anchors")
SBIN = f"{os.pathsep}/usr/sbin{os.pathsep}/sbin"
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
    "AppData/Roaming/Mozilla/Firefox/Profiles/*",
)


class Root(NamedTuple):
    """A root that is to be trusted: its name in a store, its file, and the SHA-1 by which macOS and Windows know it."""

    name: str
    file: Path
    sha1: str


class Plan(NamedTuple):
    """The commands that take roots out of a store, and those that put others in."""

    take_out: Sequence[Command]
    put_in: Sequence[Command]


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
    record = settings.state_dir / "client"
    trusted = _trusted(settings, certificate or settings.ca_cert)
    here = _here()
    system = on or here
    if system is None:
        raise CommandError(
            "How this system keeps its CAs is not known. Name one that is like it: earthflow ca install --on debian "
            "(or fedora, macos, windows, nss)"
        )
    runs = system == here or (system == "nss" and os.name == "posix" and _databases())
    does = bool(runs and not dry_run)
    if yes and not runs:
        lacks = "No profile of Firefox or Chromium is here" if system == "nss" else f"This is not {system}"  # fmt: skip
        raise CommandError(f"{lacks}, so nothing can be done. Leave --yes out to see the commands.", USAGE)  # fmt: skip
    # Not where others may exchange them before they are installed.
    with tempfile.TemporaryDirectory() as own:
        new = _roots(trusted, Path(own) if does else record)
        old = _replaced(record, system, new)
        plan = _plan(system, new, old, remove=remove, sudo=does and not _is_root())
        if output == "table" or does:
            for command in [*plan.take_out, *plan.put_in]:
                typer.echo(_as_shell(system, command), err=output == "json")
        if does:
            _confirm(trusted, yes=yes)
            _carry_out(plan, remove=remove)
            _note(record, system, [] if remove else new, old)
    if output == "json":
        files = [str(root.file) for root in new]
        words = [list(command) for command in (*plan.take_out, *plan.put_in)]
        shown = {"system": system, "certificates": files, "commands": words}
        emit({**shown, "done": does}, output)
    _say_what_is_left(system, new, runs=bool(runs))


def _confirm(trusted: Sequence[x509.Certificate], *, yes: bool) -> None:
    for one in trusted:
        said = f"{one.subject.rfc4514_string()}, SHA-256 {fingerprint(one)}"
        typer.echo(said, err=True)
    confirm("These commands change what is trusted here.", yes=yes)


def _say_what_is_left(system: System, roots: Sequence[Root], *, runs: bool) -> None:
    if not runs:
        files = ", ".join(str(root.file) for root in roots)
        said = f"Bring {files} to where these commands are for, and run them there."
        typer.echo(said, err=True)
    elif system != "nss" and _databases():
        said = "Firefox and Chromium have stores of their own: earthflow ca install --on nss"
        typer.echo(said, err=True)


def _as_shell(system: System, command: Command) -> str:
    if system == "windows":
        return subprocess.list2cmdline(command)
    return shlex.join(command)


def _trusted(settings: UpSettings, given: Path | None) -> list[x509.Certificate]:
    """The roots that are to be trusted. Raises CommandError."""
    trusted = (
        certificates(given) if given else ca_folder.roots(settings.state_dir / "ca")
    )
    for one in trusted:
        if not is_authority(one):
            raise CommandError(
                f"{given} holds a certificate that is no CA's: {one.subject.rfc4514_string()}. "
                "Get the CA with: earthflow ca export"
            )
    return trusted


def _roots(trusted: Sequence[x509.Certificate], folder: Path) -> list[Root]:
    """The roots, each in a file of its own in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    roots = [_root(one, folder) for one in trusted]
    for root, one in zip(roots, trusted, strict=True):
        ca_folder.write_whole(root.file, certificate_pem(one), 0o644)
    return roots


def _replaced(record: Path, system: System, new: Sequence[Root]) -> list[Root]:
    """Roots that were put into this system's store before and are not in use any more."""
    names = {root.name for root in new}
    kept = sorted(record.glob(f"earthflow-*.{system}"))
    known = [_root(one, record)._replace(file=path) for path in kept for one in certificates(path)]  # fmt: skip
    return [root for root in known if root.name not in names]


def _root(certificate: x509.Certificate, folder: Path) -> Root:
    name = f"earthflow-{fingerprint(certificate)[:12]}"
    sha1 = certificate.fingerprint(hashes.SHA1()).hex()  # noqa: S303  # how stores name it
    return Root(name, folder / f"{name}.crt", sha1)


def _note(
    record: Path, system: System, installed: Sequence[Root], gone: Sequence[Root]
) -> None:
    """Keep what is in a store, so that it can be taken out when it was replaced."""
    record.mkdir(parents=True, exist_ok=True)
    for path in record.glob(f"earthflow-*.{system}"):
        if not installed or path in {root.file for root in gone}:
            path.unlink()
    for root in installed:
        path = record / f"{root.name}.{system}"
        ca_folder.write_whole(path, root.file.read_bytes(), 0o644)


def _here() -> System | None:
    """The system that this is."""
    if sys.platform == "darwin":
        return "macos"
    if sys.platform == "win32":
        return "windows"
    path = _with_sbin()["PATH"]
    if shutil.which("update-ca-certificates", path=path) and DEBIAN.is_dir():
        return "debian"
    if shutil.which("update-ca-trust", path=path) and FEDORA.is_dir():
        return "fedora"
    return None


def _is_root() -> bool:
    return os.name != "posix" or os.geteuid() == 0


def _plan(
    system: System,
    new: Sequence[Root],
    old: Sequence[Root],
    *,
    remove: bool,
    sudo: bool,
) -> Plan:
    """Take out the old roots, and put in the new ones or, to `remove`, take those out, too;
    `sudo`: who runs it is not root.
    """
    before = ["sudo"] if sudo and system != "nss" else []
    refresh = {"debian": ["update-ca-certificates"], "fedora": ["update-ca-trust", "extract"]}  # fmt: skip

    def of(roots: Sequence[Root], *, out: bool) -> list[Command]:
        commands = (_of_root(system, root, remove=out) for root in roots)
        return [[*before, *one] for each in commands for one in each]

    take_out = of([*old, *new] if remove else old, out=True)
    put_in = [] if remove else of(new, out=False)
    if system in refresh:
        put_in.append([*before, *refresh[system]])
    return Plan(take_out, put_in)


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
            places = [str(database) for database in _databases()] or ["PROFILE"]
            return [["certutil", "-d", f"sql:{place}", *words] for place in places]


def _databases() -> list[Path]:
    """The NSS databases of whoever runs this."""
    return sorted(
        found.parent
        for pattern in NSS_DATABASES
        for found in Path.home().glob(f"{pattern}/cert9.db")
    )


def _carry_out(plan: Plan, *, remove: bool) -> None:
    """Run it. What cannot be taken out, as it is not there, does not end it. Raises CommandError."""
    failed = [command for command in plan.take_out if _run(command)]
    if remove and len(failed) == len(plan.take_out):
        raise CommandError("Nothing was taken out; see the messages above.")
    for command in plan.put_in:
        if status := _run(command):
            said = f"This failed with status {status}; see its message above: {shlex.join(command)}"
            raise CommandError(said)


def _run(command: Command) -> int:
    """Its status. Raises CommandError where it is not installed."""
    try:
        done = subprocess.run(command, stdout=sys.stderr, env=_with_sbin(), check=False)
    except FileNotFoundError:
        package = " (Debian: libnss3-tools, Fedora: nss-tools)" if command[0] == "certutil" else ""  # fmt: skip
        raise CommandError(
            f"{command[0]} is not installed{package}. Install it, and try again."
        ) from None
    return done.returncode


def _with_sbin() -> dict[str, str]:
    """The environment, with the folders of what administrators run, which users may lack."""
    told = environment()
    return {**told, "PATH": f"{told.get('PATH', os.defpath)}{SBIN}"}
