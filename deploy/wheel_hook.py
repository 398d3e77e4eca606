"""For hatchling: the wheel of one platform, with the rules compiled.

It becomes one where PRECOMPILED names a folder that rules/precompile.py has filled.
"""

import os
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Precompiled(BuildHookInterface[Any]):
    """The hook."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Hatchling asks before it builds a wheel."""
        folder = Path(os.environ.get("PRECOMPILED") or os.devnull)
        places = list(folder.iterdir()) if folder.is_dir() else []
        if not places:  # the engine does not run here, or is unsound
            return
        (place,) = places
        build_data["force_include"].update(
            {str(file): f"rules/compiled/{file.name}" for file in place.iterdir()}
        )
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{place.name}"
