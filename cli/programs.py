"""`earthflow proxy` and `earthflow control`: become the program, so that signals and
exit status are its own.
"""

import os
import sys

from cli.settings import environment


def proxy() -> None:
    """Run the proxy. Settings come from the environment (see .env.example)."""
    _become("addons.run")


def control() -> None:
    """Run the control service. Settings come from the environment (see .env.example)."""
    _become("control")


def _become(module: str) -> None:
    os.execve(sys.executable, [sys.executable, "-m", module], environment())  # noqa: S606  (our own modules)
