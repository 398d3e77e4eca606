"""These need a network namespace, so root on Linux and `ip` (iproute2). Where those are not, they are not collected; CI says that they are."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest


def _can() -> bool:
    if os.geteuid() != 0 or shutil.which("ip") is None:
        return False
    name = f"ef-can-{os.getpid()}"
    made = (
        subprocess.run(
            ["ip", "netns", "add", name], capture_output=True, check=False
        ).returncode
        == 0
    )
    subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)
    return made


collect_ignore_glob = (
    [] if os.environ.get("EARTHFLOW_NETNS") or _can() else ["test_*.py"]
)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """What takes minutes runs with `make long-system`."""
    long = config.getoption("--hypothesis-profile") == "long"
    return True if collection_path.name == "test_scale.py" and not long else None
