"""A whole Earthflow on this machine: engines, CA, control, proxy, a first tenant.

`up`, the demo and the tests start it.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from cli import ca, secrets_file
from cli.client import Control, Refused
from cli.engines import Engines
from cli.errors import BAD_CONFIGURATION, CommandError
from cli.processes import start, stop
from cli.settings import ELSEWHERE, UpSettings, environment, own_environment
from cli.state_folder import claim, one_at_a_time
from cli.trust import write_trust

START_SECONDS = 90.0
DEFAULT_TENANT = "default"
# bytes; a longer log is put aside at the next start
LOG_FILE = "services.log"
LONGEST_LOG = 10_000_000
LISTENING = b"listening on port "
PROGRAMS: dict[str, Sequence[str]] = {
    "control": (sys.executable, "-m", "control"),
    "proxy": (sys.executable, "-m", "addons.run"),
}

Say = Callable[[str], None]


@dataclass(slots=True)
class Service:
    """A child process that serves, and the port that it printed."""

    name: str
    process: subprocess.Popen[bytes]
    port: int


class Stack:
    """A running Earthflow.

    Use as a context manager: everything is started inside, and ended with it.
    """

    def __init__(
        self,
        settings: UpSettings,
        say: Say,
        extra: Mapping[str, str] | None = None,
        programs: Mapping[str, Sequence[str]] | None = None,
        postgres: Mapping[str, str] | None = None,
    ):
        """`extra` overrules the services' environment, `programs` their commands,
        `postgres` the embedded server's settings.
        """
        self.settings, self._say, self._extra = settings, say, dict(extra or {})
        self._programs = {**PROGRAMS, **(programs or {})}
        self._postgres = dict(postgres or {})
        self.log = settings.state_dir / LOG_FILE
        self.engines: Engines | None = None
        self.secrets: dict[str, str] = {}
        self.services: dict[str, Service] = {}
        self.new_key: str | None = None
        self._exit = ExitStack()

    def __enter__(self) -> "Stack":
        try:
            self._start()
        except BaseException:
            self._exit.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._exit.close()

    def _start(self) -> None:
        home = claim(self.settings.state_dir)
        if self.log.exists() and self.log.stat().st_size > LONGEST_LOG:
            self.log.replace(self.log.with_name(f"{LOG_FILE}.1"))
        self._say(f"log         {self.log}")
        with one_at_a_time(home):
            self._make_secrets()
            self._start_engines()
            self.start_control()
            hosts = ca.hosts_of(self.settings)
            if done := ca.keep(self.control, home.folder / "ca", hosts):
                self._say(f"CA          {done}")
            write_trust(home.folder)
            self.new_key = self._first_tenant()
        self.start_proxy()

    def _make_secrets(self) -> None:
        settings = self.settings
        given = {
            secrets_file.MASTER: settings.master_key,
            secrets_file.ADMIN: settings.admin_key,
        }
        told = {
            name: value.get_secret_value() if value else None
            for name, value in given.items()
        }
        self.secrets, new = secrets_file.read_or_make(settings.state_dir, told)
        if new:
            self._say(f"secrets     made: {settings.state_dir / secrets_file.FILE}")
            self._say(
                f"admin key   {self.secrets[secrets_file.ADMIN]}   (shown once; the file keeps it)"
            )

    def _start_engines(self) -> None:
        if not (self.settings.own_postgres or self.settings.own_redis):
            return
        self.engines = self._exit.enter_context(Engines(self.settings, self._postgres))
        adopted = "" if self.engines.ours else " (already running, used as they are)"
        names = [
            name
            for name, own in (
                ("PostgreSQL", self.settings.own_postgres),
                ("Valkey", self.settings.own_redis),
            )
            if own
        ]
        self._say(
            f"engines     {' and '.join(names)} in {self.engines.folder}{adopted}"
        )

    def environment(self, **more: str) -> dict[str, str]:
        """The environment of control and proxy."""
        told = {
            **self.secrets,
            "EARTHFLOW_ENV": self.settings.env,
            "EARTHFLOW_STATE_DIR": str(self.settings.state_dir),
            "EARTHFLOW_DRAIN_SECONDS": "0",  # nobody is in front of it
        }
        if self.engines is not None and self.settings.own_postgres:
            told["EARTHFLOW_DATABASE_URL"] = self.engines.database_url
            told |= ELSEWHERE
        if self.engines is not None and self.settings.own_redis:
            told["EARTHFLOW_REDIS_URL"] = self.engines.redis_url
        return environment({**told, **more, **self._extra})

    def start_control(self) -> None:
        """Start control, on its previous port if it had one."""
        port = (
            self.services["control"].port
            if "control" in self.services
            else self.settings.dashboard_port
        )
        self._serve("control", EARTHFLOW_DASHBOARD_PORT=str(port))
        self._say(f"control     http://127.0.0.1:{self.services['control'].port}")

    def start_proxy(self) -> None:
        """Start the proxy, on its previous port if it had one."""
        port = (
            self.services["proxy"].port
            if "proxy" in self.services
            else self.settings.port
        )
        self._serve(
            "proxy",
            EARTHFLOW_PORT=str(port),
            EARTHFLOW_LISTEN_HOST=self.settings.listen_host,
            EARTHFLOW_CONTROL_URL=self.control.url,
        )
        self._say(f"proxy       http://127.0.0.1:{self.port}")

    def _serve(self, name: str, **more: str) -> None:
        if name not in self.services:
            self._exit.callback(
                lambda: (
                    stop(self.services[name].process) if name in self.services else None
                )
            )
        with _opened(self.log) as log:
            before = log.tell()
            told = own_environment(name, self.environment(**more))
            process = start(self._programs[name], told, subprocess.PIPE, log)
        port = port_said(process)
        if port is None:
            stop(process)
            with self.log.open("rb") as log:
                log.seek(before)
                sys.stderr.write(log.read().decode(errors="replace"))
            status = process.returncode
            raise CommandError(
                f"{name} did not start; see its message above.",
                status if status == BAD_CONFIGURATION else 1,
            )
        self.services[name] = Service(name, process, port)

    @property
    def control(self) -> Control:
        """The API, as the admin."""
        return Control(
            f"http://127.0.0.1:{self.services['control'].port}",
            self.secrets[secrets_file.ADMIN],
        )

    @property
    def port(self) -> int:
        """The proxy's port."""
        return self.services["proxy"].port

    def ended(self) -> str | None:
        """What ended by itself, with its status."""
        for service in self.services.values():
            if service.process.poll() is not None:
                return f"{service.name} has ended by itself with status {service.process.returncode}"
        engine = self.engines.ended() if self.engines is not None else None
        return f"{engine} has ended by itself" if engine else None

    def _first_tenant(self) -> str | None:
        """Create a default tenant where there is none.

        Its key is kept for `earthflow run`, and shown this once.
        """
        if self.control.get("/v1/tenants")["tenants"]:
            return None
        wanted = {"name": "Default", "rules_preset": "default"}
        try:
            made = self.control.post("/v1/tenants", {"id": DEFAULT_TENANT, **wanted})
        except Refused as refused:
            if refused.code != "tenant_exists":
                raise
            # a default tenant was deleted; its id stays with its audit
            made = self.control.post("/v1/tenants", wanted)
        key: str = made["api_key"]
        secrets_file.write_private(
            self.settings.state_dir / secrets_file.CLIENT_KEY, key
        )
        self._say(f"tenant key  {key}   (tenant {made['id']}; shown once)")
        return key


def _opened(log: Path) -> IO[bytes]:
    """The services' log, readable by its owner alone, opened to append."""
    return open(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab")


def port_said(process: subprocess.Popen[bytes]) -> int | None:
    """The port that a service prints; None where it ends, or stays silent."""
    said: list[int] = []
    heard = threading.Event()

    def listen() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            if LISTENING in line and not said:
                said.append(int(line.rsplit(LISTENING, 1)[1]))
                heard.set()
        heard.set()

    threading.Thread(target=listen, daemon=True).start()
    heard.wait(START_SECONDS)
    return said[0] if said else None
