"""`earthflow proxy` and `earthflow control`: become the program, so that signals and
exit status are its own, with an environment without others' secrets.
"""

import os
import sys

from cli.settings import environment, own_environment


def proxy() -> None:
    """Run the proxy. Settings come from the environment (see .env.example)."""
    _become("proxy", "addons.run")


def control() -> None:
    """Run the control service. Settings come from the environment (see .env.example)."""
    _become("control", "control")


def _become(program: str, module: str) -> None:
    told = own_environment(program, environment())
    os.execve(sys.executable, [sys.executable, "-m", module], told)  # noqa: S606  (our own modules)
