"""`python -m rules.precompile FOLDER`: what hyperscan makes of the shipped rules, for a wheel.

A proxy that finds it beside its code compiles nothing at its first start. It is written
into FOLDER/PLATFORM: it holds for the machines on which this engine's own wheel runs
(manylinux_2_17_x86_64), since the engine compiles for the CPU it was built for.
"""

import sys
from importlib.metadata import distribution
from pathlib import Path

from rules.hyperscan_engine import sound
from rules.load import Library
from rules.sources import PRESETS, shipped
from rules.testing import proven


class _Folder:
    """A store that only keeps."""

    def __init__(self, path: Path):
        self._path = path

    def get(self, key: str) -> bytes | None:
        return None

    def put(self, key: str, data: bytes) -> None:
        (self._path / key).write_bytes(data)


def platform() -> str:
    """Where the engine's wheel runs, as names of wheels say it."""
    told = distribution("hyperscan").read_text("WHEEL") or ""
    tags = (line.split()[1] for line in told.splitlines() if line.startswith("Tag:"))
    return next(tags).rpartition("-")[2]


def write(folder: Path) -> None:
    """Compile every preset, with what only hostile texts need; takes seconds.

    Writes nothing where the engine is missing or unsound.
    """
    if not sound():
        return
    place = folder / platform()
    place.mkdir(parents=True, exist_ok=True)
    library = proven(Library(shipped(), store=_Folder(place)), PRESETS)
    for preset in PRESETS:
        library.rulebook(preset)
    library.warm()


if __name__ == "__main__":
    write(Path(sys.argv[1]))
