"""The state folder: whose it is, and one start at a time in it.

The first start puts a mark (`.earthflow`) into it. The mark has a random name, by which
files elsewhere are found again, and whether the folder was new or empty then: only such
a folder is Earthflow's own, and only its own one's mode is changed.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cli.errors import BAD_CONFIGURATION, CommandError

MARK = ".earthflow"


@dataclass(frozen=True, slots=True)
class Home:
    """A claimed state folder."""

    folder: Path
    name: str
    own: bool


def claim(folder: Path) -> Home:
    """The folder with its mark, made at the first time. Raises CommandError where it can be none."""
    make(folder)
    mark = folder / MARK
    if not mark.exists():
        own = not any(folder.iterdir())
        temporary = folder / f"{MARK}.{os.getpid()}"
        temporary.write_text(f"{os.urandom(6).hex()} {'own' if own else 'shared'}\n")
        try:
            os.link(temporary, mark)  # the first of two wins
        except FileExistsError:
            pass
        finally:
            temporary.unlink()
    name, kind = mark.read_text().split()
    return Home(folder, name, kind == "own")


def make(folder: Path) -> None:
    """Make the folder where it is not there. Raises CommandError where it can be none."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise CommandError(
            f"EARTHFLOW_STATE_DIR is {folder}, where no folder can be: a file stands there or above it.",
            BAD_CONFIGURATION,
        ) from None


@contextmanager
def one_at_a_time(home: Home) -> Iterator[None]:
    """Wait until no other start is in progress in the folder."""
    with (home.folder / f"{MARK}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
