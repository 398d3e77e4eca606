"""What all processes of one test run share: a folder that goes with the run, rules that are compiled once, and how much is tried.

The process that imports this first owns the folder; pytest's workers inherit its name by the environment. All that tests put into
the system's temporary folder lies in it. A run that was killed leaves one folder behind, which the next run removes.
"""

import atexit
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from cryptography.fernet import Fernet
from hypothesis import settings

from addons.tenants.compiled_cache import CompiledCache
from contract.unwrap import cache_key
from rules.load import Library
from rules.rulebook import Rulebook

FOLDER_VARIABLE, MASTER_VARIABLE, PREFIX = (
    "EF_TEST_RUN",
    "EF_TEST_MASTER_KEY",
    "ef-run-",
)
# seconds for which a folder without a lock may be one that is being made
LOCK, NEW = (
    "lock",
    3600.0,
)
# per cent of what a test asks for, by Hypothesis profile
PROFILES = {
    "fast": 10,
    "ci": 100,
    "long": 1000,
}


def _folder() -> Path:
    """This run's folder: made by the first process, found by its workers."""
    if FOLDER_VARIABLE in os.environ:
        return Path(os.environ[FOLDER_VARIABLE])
    sweep(Path(tempfile.gettempdir()))
    made = Path(tempfile.mkdtemp(prefix=PREFIX))
    # where we are root, PostgreSQL runs as `nobody`, who must be able to pass
    made.chmod(0o711)
    atexit.register(_remove, made, os.getpid(), _locked(made))
    os.environ |= {
        FOLDER_VARIABLE: str(made),
        MASTER_VARIABLE: Fernet.generate_key().decode(),
        "TMPDIR": str(made),
    }
    tempfile.tempdir = None  # forget the answer of before, so that TMPDIR counts
    return made


def _locked(folder: Path) -> IO[str]:
    """A lock that the kernel releases when this process ends, however it ends."""
    lock = (folder / LOCK).open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


def _remove(folder: Path, owner: int, lock: IO[str]) -> None:
    if os.getpid() == owner:  # a forked child runs this, too
        _empty(folder)
        lock.close()


def _empty(folder: Path) -> None:
    """Remove a run's folder, its lock last: while that is there, the next run knows what it sees."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        elif path.name != LOCK:
            path.unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def sweep(place: Path) -> None:
    """Remove the folders of runs that were killed: those whose lock nobody holds, and those that are old and have none."""
    for old in place.glob(f"{PREFIX}*"):
        try:
            if not (old / LOCK).exists():
                if time.time() - old.stat().st_mtime > NEW:
                    _empty(old)
                continue
            with (old / LOCK).open() as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _empty(old)
        except OSError:
            continue  # in use, somebody else's, or being made at this moment


FOLDER = _folder()
MASTER_KEY = os.environ[MASTER_VARIABLE]
COMPILED = FOLDER / "compiled"
# the houses' proxies keep theirs in the same place
STORE = CompiledCache(COMPILED, cache_key(MASTER_KEY))


def library(sources: Mapping[str, str], *, portable: bool | None = None) -> Library:
    """A library whose compiled patterns the whole run shares."""
    return Library(sources, store=STORE, portable=portable)


def build(preset: str, sources: Mapping[str, str]) -> Rulebook:
    """A rulebook whose compiled patterns the whole run shares."""
    return library(sources).rulebook(preset)


def slack() -> float:
    """How many times longer than on an idle machine something may take here, going by the load; at least 1."""
    return max(1.0, os.getloadavg()[0] / len(os.sched_getaffinity(0)))


def thorough() -> bool:
    """Whether this run tries every combination there is."""
    return settings.get_current_profile_name() == "long"


def scaled(number: int) -> int:
    """What the profile of this run makes of a number of tries; at least one."""
    return max(
        1, number * PROFILES.get(settings.get_current_profile_name(), 100) // 100
    )


def examples(number: int) -> settings:
    """Hypothesis' settings for a test that tries `number` examples under the profile `ci`."""
    return settings(max_examples=scaled(number))
