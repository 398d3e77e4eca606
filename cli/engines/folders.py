"""Where the engines keep their data, sockets and copied binaries, and who owns them."""

import hashlib
import os
import pwd
import shutil
import stat
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from cli.errors import BAD_CONFIGURATION, CommandError
from cli.state_folder import Home

LONGEST_SOCKET_FOLDER = 103 - len("/.s.PGSQL.5432")  # bytes; sun_path has 108
OUTSIDE = Path("/var/lib/earthflow")


@dataclass(frozen=True, slots=True)
class Owner:
    """The user of the servers: ourselves, or `nobody` where we are root."""

    uid: int
    gid: int

    @property
    def switched(self) -> bool:
        """Whether the servers run as another user."""
        return self.uid != os.geteuid()

    def give(self, path: Path, mode: int) -> None:
        """Make a folder of the owner's."""
        path.mkdir(parents=True, exist_ok=True)
        if self.switched:
            os.chown(path, self.uid, self.gid)
        path.chmod(mode)


def owner_of_servers() -> Owner:
    """Ourselves, or `nobody` where we are root: PostgreSQL refuses to run as root."""
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        return Owner(nobody.pw_uid, nobody.pw_gid)
    try:
        pwd.getpwuid(os.geteuid())
    except KeyError:
        raise CommandError(
            f"PostgreSQL needs a user name, and uid {os.geteuid()} has none in /etc/passwd. Run as a named user, or set POSTGRES_HOST."
        ) from None
    return Owner(os.geteuid(), os.getegid())


def reachable_folder(home: Home, owner: Owner) -> Path:
    """`<state>/engines`; where `nobody` cannot enter it, a folder under /var/lib, named
    by the state folder's mark.
    """
    if owner.switched:
        if home.own:
            # others may pass through; the files inside have their own modes
            home.folder.chmod(home.folder.stat().st_mode | 0o011)
        if not _others_may_enter(home.folder):
            return OUTSIDE / f"engines-{home.name}"
    return home.folder.resolve() / "engines"


def _others_may_enter(folder: Path) -> bool:
    return all(
        parent.stat().st_mode & stat.S_IXOTH
        for parent in (folder.resolve(), *folder.resolve().parents)
    )


def socket_folder(folder: Path, owner: Owner) -> Path:
    """A folder for sockets: inside, or where that path is too long, one that nobody
    else can have made.
    """
    inside = folder / "run"
    if len(os.fsencode(inside)) <= LONGEST_SOCKET_FOLDER:
        return inside
    name = f"earthflow-{hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]}"
    outside = (
        OUTSIDE / name if os.geteuid() == 0 else Path(tempfile.gettempdir()) / name
    )
    if outside.exists() and outside.lstat().st_uid != owner.uid:
        raise CommandError(
            f"{outside} belongs to somebody else. Set EARTHFLOW_STATE_DIR to a shorter path.",
            BAD_CONFIGURATION,
        )
    return outside


def usable(binaries: Path, folder: Path, owner: Owner) -> Path:
    """The binaries where the owner can run them: in place, or copied beside the data,
    with their libraries.
    """
    if not owner.switched or _others_may_enter(binaries):
        return binaries
    package = next(
        (
            parent
            for parent in binaries.parents
            if parent.parent.name == "site-packages"
        ),
        binaries,
    )
    # each installation has its own copy
    stamp = f"{package.name}-{int(package.stat().st_mtime)}"
    copies = folder / "bin" / stamp
    if not copies.exists():
        new = copies.with_name(f"{stamp}.new")
        shutil.rmtree(new, ignore_errors=True)
        for part in (package, package.with_name(f"{package.name}.libs")):
            if part.exists():
                shutil.copytree(part, new / part.name)
        for path in (folder / "bin", new, *new.rglob("*")):
            path.chmod(
                0o755 if path.is_dir() or path.stat().st_mode & stat.S_IXUSR else 0o644
            )
        new.rename(copies)
    return copies / package.name / binaries.relative_to(package)


def in_wheel(name: str) -> Path:
    """The folder of an installed package, without importing it."""
    spec = find_spec(name)
    return Path(spec.origin).parent if spec and spec.origin else Path("/nonexistent")
