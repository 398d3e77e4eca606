"""A PgBouncer before a PostgreSQL, which gives a session to a transaction and takes it back."""

import getpass
import os
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Self

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from cli.processes import wait_until
from tests.support.house import PATIENCE
from tests.support.ports import free_ports


def configuration(where: str, listen: str, port: int) -> str:
    """The text of pgbouncer.ini. `where`: the server's host or the folder of its socket; `listen`: our address."""
    # As root it must become somebody else.
    user = "user = nobody\n" if os.geteuid() == 0 else ""
    return (
        f"[databases]\n* = host={where} port=5432 user=earthflow\n[pgbouncer]\nlisten_addr = {listen}\nlisten_port = {port}\n"
        f"pool_mode = transaction\nauth_type = any\nunix_socket_dir =\ndefault_pool_size = 4\nmax_client_conn = 200\n{user}"
    )


class Pooler:
    """Use as a context manager; `url` is the database through it. `server`: the URL of the database itself."""

    def __init__(self, server: str):
        self._server = conninfo_to_dict(server)
        [self.port] = free_ports(1)
        self.url = self.through(server)

    def through(self, server: str) -> str:
        """The same database as a URL has it, through the pooler."""
        database = conninfo_to_dict(server)["dbname"]
        return make_conninfo(host="127.0.0.1", port=self.port, dbname=database, user="earthflow")  # fmt: skip

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="ef-pooler-")
        file = Path(self._folder.name) / "pgbouncer.ini"
        file.write_text(configuration(str(self._server["host"]), "127.0.0.1", self.port))  # fmt: skip
        Path(self._folder.name).chmod(0o755)
        self._process = subprocess.Popen(["pgbouncer", "-q", str(file)], stderr=subprocess.DEVNULL, env={**os.environ, "USER": getpass.getuser()})  # fmt: skip
        assert wait_until(self._listens, PATIENCE)
        return self

    def _listens(self) -> bool:
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", self.port)) == 0

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()
        self._folder.cleanup()
