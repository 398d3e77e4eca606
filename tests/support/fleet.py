"""A house with two more proxies, each with a state of its own."""

import subprocess
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from cli.processes import start, stop, wait_until
from cli.stack import PROGRAMS, port_said
from tests.support.house import PATIENCE, House, connect_status

HOST = "api.openai.com:443"


class Fleet:
    """A house with two more proxies, each with a state of its own."""

    def __init__(self, house: House, folder: Path, exit: ExitStack):
        self.house, self.ports = house, [house.stack.port]
        self._folder, self._exit = folder, exit
        for _ in range(2):
            self.ports.append(self.another())

    def another(self) -> int:
        """Start one more proxy; its port."""
        state = Path(tempfile.mkdtemp(dir=self._folder))
        (state / "ca").symlink_to(self.house.folder / "ca")
        more = {
            "EARTHFLOW_STATE_DIR": str(state),
            "EARTHFLOW_PORT": "0",
            "EARTHFLOW_CONTROL_URL": self.house.stack.control.url,
        }
        process = start(
            PROGRAMS["proxy"],
            self.house.stack.environment() | more,
            subprocess.PIPE,
            subprocess.DEVNULL,
        )
        self._exit.callback(stop, process)
        port = port_said(process)
        assert port is not None
        return port

    def let_in(self, key: str) -> list[bool]:
        """Whether each proxy takes this key now."""
        return [connect_status(port, HOST, key) == 200 for port in self.ports]

    def agree(self, key: str, expected: bool) -> float:
        """How long it took until all proxies said so."""
        began = time.monotonic()
        assert wait_until(
            lambda: self.let_in(key) == [expected] * len(self.ports), PATIENCE
        ), self.let_in(key)
        return time.monotonic() - began
