"""Child processes that must not outlive us."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

PR_SET_PDEATHSIG = 1
_inherited: list[int] = []  # the umask that we were started with


def tighten_umask() -> None:
    """Let nobody but its owner write a file of ours, whatever the umask that we were started with."""
    _inherited.append(os.umask(0o077))
    os.umask(_inherited[-1] | 0o022)


def give_back_umask() -> None:
    """Have again the umask that we were started with, for a program of the user's own."""
    if _inherited:
        os.umask(_inherited.pop())


def end_with_parent(
    number: signal.Signals, parent: int | None = None
) -> Callable[[], None] | None:
    """For Popen's preexec_fn: the kernel sends the child `number` when its parent dies,
    however it dies.

    Linux only (None elsewhere). The kernel means the parent's *thread*: start children
    from the main one.
    """
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None, use_errno=True)
    parent = parent or os.getpid()

    def arrange() -> None:
        libc.prctl(PR_SET_PDEATHSIG, number)
        if os.getppid() != parent:
            os._exit(1)  # the parent died in between

    return arrange


def start(
    command: Sequence[str | Path],
    environment: Mapping[str, str],
    output: IO[bytes] | int | None = None,
    errors: IO[bytes] | None = None,
) -> subprocess.Popen[bytes]:
    """Start a child in a session of its own:

    Ctrl-C reaches us alone, and we end the child in order.
    """
    return subprocess.Popen(
        [str(word) for word in command],
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=errors,
        start_new_session=True,
        preexec_fn=end_with_parent(signal.SIGTERM),
    )


def stop(process: subprocess.Popen[bytes], patience: float = 40.0) -> None:
    """Ask it to end; after `patience` seconds kill it."""
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(patience)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def alive(pid: int) -> bool:
    """Whether a process of this number runs."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def wait_until(ready: Callable[[], bool], seconds: float) -> bool:
    """Check every 20 ms; whether it became true in time."""
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
