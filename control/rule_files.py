"""The operator's rule files: read from EARTHFLOW_RULES_DIR, validated as a whole with every preset, before anything is served."""

import hashlib
from pathlib import Path

from rules.complaint import BadRules, Complaint, Mark
from rules.load import PRESETS, build, shipped, version_of


def read_sources(folder: Path | None) -> dict[str, str]:
    """All rule sources, shipped and own, proven to build. Raises BadRules."""
    sources = shipped()
    for path in sorted(folder.glob("*.yaml")) if folder else ():
        try:
            sources[path.name] = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise BadRules([Complaint(Mark(path.name, 1, 1), f"cannot be read: {error}")]) from None
    if folder and not folder.is_dir():
        raise BadRules([Complaint(Mark(str(folder), 1, 1), "EARTHFLOW_RULES_DIR is not a folder")])
    for preset in PRESETS:
        build(preset, sources)
    return sources


def hash_of(sources: dict[str, str]) -> str:
    """Names the sources as a whole."""
    return hashlib.sha256("".join(version_of(preset, sources) for preset in PRESETS).encode()).hexdigest()
