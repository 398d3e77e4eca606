"""Who takes part in a contest: bare mitmproxy, stock mitmdump, and Earthflow by its rules, its tenants and its checkout."""

import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import uvloop

from bench import streams
from bench.contest import DIRECT, Contestant, Row, contest
from bench.load import settings_for, upstream
from cli import ca_folder
from cli.ca_folder import CA_FILE
from cli.processes import start, stop, wait_until
from cli.settings import environment, settings_of
from cli.stack import Stack, port_said
from cli.state_folder import claim
from cli.trust import bundle_path

HERE = Path(__file__).resolve().parent.parent
START_SECONDS = 30.0
BARE = "bare mitmproxy"

Taken = Mapping[str, Mapping[str, Sequence[float]]]  # by row and name, one a round


class Entrants:
    """Starts them, all over one upstream and one CA; ends them with `exit`."""

    def __init__(self, stack: Stack, exit: ExitStack, folder: Path, roots: Path, port: int, settings: Mapping[str, str]):  # fmt: skip
        """`settings` lead an Earthflow to the upstream."""
        self.contestants: list[Contestant] = []
        self.folder, self.ca, self.roots, self.port = folder, folder / "ca", roots, port
        self.settings = settings
        self._stack, self._exit, self._trust = stack, exit, bundle_path(folder)

    def direct(self) -> None:
        """No proxy."""
        self.enter(Contestant("direct", DIRECT, self.port, ("",), self.roots))

    def bare(self) -> None:
        """mitmproxy with the addons that a proxy needs, on uvloop."""
        words = ["bench.bare", str(self.ca), str(self.roots), str(self.port)]
        pid, port = self._run(words, environment(), HERE)
        self.enter(Contestant(BARE, pid, port, ("none",), self.ca / CA_FILE))

    def stock(self) -> None:
        """mitmdump as it is installed, quiet."""
        port = free_port()
        options = {"confdir": self.ca, "ssl_verify_upstream_trusted_ca": self.roots, "listen_host": "127.0.0.1", "listen_port": port}  # fmt: skip
        words = [f"{name}={value}" for name, value in options.items()]
        command = [str(Path(sys.executable).with_name("mitmdump")), "-q", "-s", str(HERE / "bench" / "stock.py")]  # fmt: skip
        for word in words:
            command += "--set", word
        pid = self.started(command, {"BENCH_UPSTREAM_PORT": str(self.port)}, port)
        self.enter(Contestant("stock mitmdump", pid, port, ("none",), self.ca / CA_FILE))  # fmt: skip

    def checkout(self, tree: Path = HERE) -> None:
        """The proxy of a checkout, for the default tenant."""
        more = {"EARTHFLOW_PORT": "0", "EARTHFLOW_LISTEN_HOST": ""}
        told = self._stack.environment(EARTHFLOW_CONTROL_URL=self._stack.control.url, **more)  # fmt: skip
        pid, port = self._run(["addons.run"], told, tree)
        self.enter(Contestant(tree.name, pid, port, (self._stack.new_key or "",), self._trust))  # fmt: skip

    def tenant(self, name: str, **members: str) -> None:
        """The running proxy, for a new tenant."""
        made = self._stack.control.post("/v1/tenants", {"name": name, **members})
        pid = self._stack.services["proxy"].process.pid
        self.enter(Contestant(name, pid, self._stack.port, (made["api_key"],), self._trust))  # fmt: skip

    def enter(self, contestant: Contestant) -> None:
        """One more."""
        self.contestants.append(contestant)

    def started(self, command: list[str], told: Mapping[str, str], port: int, seconds: float = START_SECONDS) -> int:  # fmt: skip
        """Start somebody else's program, which is ready when its port is open; its pid."""
        process = start(command, environment(told))
        self._exit.callback(stop, process)
        assert wait_until(lambda: _is_open(port), seconds), command
        return process.pid

    def _run(self, words: list[str], told: dict[str, str], tree: Path) -> tuple[int, int]:  # fmt: skip
        """Run a module of a checkout that prints its port; the process and the port."""
        place = json.dumps(str(tree))
        code = f"import os, runpy, sys; os.chdir({place}); sys.path.insert(0, {place}); sys.argv = {words!r}; runpy.run_module({words[0]!r}, run_name='__main__')"
        process = start([sys.executable, "-c", code], told, subprocess.PIPE)
        self._exit.callback(stop, process)
        port = port_said(process)
        assert port is not None, words
        return process.pid, port


def measured(enter: Callable[[Entrants], None], rows: Sequence[Row], rounds: int, rules: Mapping[str, str] | None = None) -> Taken:  # fmt: skip
    """What each that `enter` starts took, in a folder of its own. `rules`: files of rules, by name."""
    with tempfile.TemporaryDirectory(prefix="earthflow-bench-", ignore_cleanup_errors=True) as folder:  # fmt: skip
        home = Path(folder)
        ca_folder.write_local(claim(home).folder / "ca")
        for name, text in (rules or {}).items():
            (home / "rules" / name).parent.mkdir(parents=True, exist_ok=True)
            (home / "rules" / name).write_text(text)
        return uvloop.run(_run(home, enter, rows, rounds))


async def _run(home: Path, enter: Callable[[Entrants], None], rows: Sequence[Row], rounds: int) -> Taken:  # fmt: skip
    server, roots = await upstream(home, streams.answer)
    extra = dict(settings_for(server, roots))
    if (home / "rules").exists():
        extra["EARTHFLOW_RULES_DIR"] = str(home / "rules")
    port = server.sockets[0].getsockname()[1]
    with Stack(settings_of(home), _say, extra) as stack, ExitStack() as exit:
        entrants = Entrants(stack, exit, home, roots, port, extra)
        await asyncio.to_thread(enter, entrants)
        taken = await contest(entrants.contestants, rows, rounds, _say)
    server.close()
    return taken


def _say(line: str) -> None:
    if "key" not in line:
        print(line, file=sys.stderr, flush=True)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def load() -> str:
    """How busy the machine is."""
    return f"{os.getloadavg()[0]:.1f}"
