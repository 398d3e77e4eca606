"""The version of the newest snapshot that this proxy has used, in a file that never grows.

It is written over in place, which a full disk allows, so that an older snapshot beside it is recognised at a start.
"""

import os
from pathlib import Path

DIGITS = 20  # of a version; PostgreSQL's largest has 19


def read_mark(path: Path) -> int:
    """The version, 0 where none is known."""
    try:
        return int(path.read_text())
    except (FileNotFoundError, ValueError):
        return 0


def write_mark(path: Path, version: int) -> None:
    """Note a version. Raises OSError."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.pwrite(file, f"{version:0{DIGITS}d}".encode(), 0)
        os.ftruncate(file, DIGITS)
    finally:
        os.close(file)
