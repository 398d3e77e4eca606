"""Real PostgreSQL and Valkey on this machine, for `earthflow up`, the demo and the tests.

Their state is in `<state>/engines`; both listen on Unix sockets only. A server that already runs
there is adopted. Of two starts at once, the one that holds a lock starts and stops the servers,
and the other waits and uses them. Servers end with us even when we are killed (Linux), and
PostgreSQL never runs as root: there it is `nobody`.
"""

import fcntl
import shutil
from collections.abc import Mapping
from typing import IO
from urllib.parse import quote

from cli.engines.folders import owner_of_servers, reachable_folder, socket_folder
from cli.engines.postgres import Postgres
from cli.engines.valkey import Valkey
from cli.settings import UpSettings
from cli.state_folder import claim


class Engines:
    """The two servers of one state folder. Use as a context manager.

    `ours`: this instance started them, and stops them.
    """

    def __init__(self, settings: UpSettings, postgres: Mapping[str, str] | None = None):
        """`postgres`: settings of the server, by their names in postgresql.conf."""
        self._settings = settings
        self._owner = owner_of_servers()
        self.folder = reachable_folder(claim(settings.state_dir), self._owner)
        self._sockets = socket_folder(self.folder, self._owner)
        parts = (settings, self.folder, self._sockets, self._owner)
        self.postgres, self.valkey = Postgres(*parts, postgres or {}), Valkey(*parts)
        self._lock: IO[str] | None = None
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
                self.postgres.start(own=self.ours)
            if self._settings.own_redis:
                self.valkey.start(own=self.ours)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self.ours:
            self.postgres.stop()
            self.valkey.stop()
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
        """The name of a server that we started and that ended by itself."""
        servers = {"PostgreSQL": self.postgres.ended, "Valkey": self.valkey.ended}
        return next((name for name, ended in servers.items() if ended), None)
