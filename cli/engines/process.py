"""A server as a process: started, awaited, ended.

A running server is adopted once it is proven to be ours.
"""

import contextlib
import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from cli.engines.folders import Owner
from cli.errors import CommandError
from cli.processes import alive, end_with_parent, wait_until

# For the start (a slow disk and recovery after a kill), and for each signal at the end.
START_SECONDS, STOP_SECONDS = 60.0, 20.0


class ServerProcess:
    """The process of one server in a folder. It ends with us, even when we are killed (Linux)."""

    def __init__(self, name: str, folder: Path, owner: Owner):
        self.name, self._folder, self._owner = name, folder, owner
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def ended(self) -> bool:
        """Whether we started it and it ended by itself."""
        return self._process is not None and self._process.poll() is not None

    def spawn(self, command: Iterable[str | Path], death: signal.Signals) -> None:
        """Start it. It gets the signal `death` when we die."""
        with (self._folder / f"{self.name.lower()}.log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._folder,
                start_new_session=True,
                preexec_fn=end_with_parent(death),
                **self._identity(),
            )

    def run(self, command: Iterable[str | Path]) -> subprocess.CompletedProcess[bytes]:
        """Run a program of the server's to its end, as the servers' owner."""
        return subprocess.run(
            [str(word) for word in command],
            capture_output=True,
            cwd=self._folder,
            check=False,
            **self._identity(),
        )

    def wait(self, ready: Callable[[], bool]) -> None:
        """Wait until it answers. Raises CommandError where it does not."""
        wait_until(lambda: ready() or self.ended, START_SECONDS)
        if not ready():
            what = (
                "ended at its start"
                if self.ended
                else f"did not become ready within {START_SECONDS:.0f} s"
            )
            raise CommandError(
                f"{self.name} {what}. Look into the logs in {self._folder}."
            )

    def end(
        self,
        listening: Path,
        adopted: int | None,
        gentle: signal.Signals,
        hard: signal.Signals,
    ) -> None:
        """End it: our own child, or an adopted process that is proven to be behind our
        socket.
        """
        process, self._process = self._process, None
        pid = process.pid if process is not None else adopted
        if pid is None or (process is None and not listens(listening, pid)):
            return

        def gone() -> bool:
            return process.poll() is not None if process is not None else not alive(pid)

        for number in (gentle, hard):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
            if wait_until(gone, STOP_SECONDS):
                return

    def _identity(self) -> dict[str, Any]:
        if not self._owner.switched:
            return {}
        return {
            "user": self._owner.uid,
            "group": self._owner.gid,
            "extra_groups": [],
        }


def named(file: Path, programs: tuple[str, ...]) -> int | None:
    """The process that a pid file names, where it lives and is one of these programs:
    numbers are reused.
    """
    with contextlib.suppress(OSError, ValueError, IndexError):
        pid = int(file.read_text().splitlines()[0])
        called = Path(f"/proc/{pid}/comm")
        if alive(pid) and (
            sys.platform != "linux" or called.read_text().strip() in programs
        ):
            return pid
    return None


def listens(path: Path, pid: int) -> bool:
    """Whether a process is behind a Unix socket.

    Where the system cannot tell, whether any is.
    """
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as client:
        client.settimeout(1)
        client.connect(str(path))
        if not hasattr(socket, "SO_PEERCRED"):
            return True
        peer = client.getsockopt(
            socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")
        )
        return bool(struct.unpack("3i", peer)[0] == pid)
    return False
