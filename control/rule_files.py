"""The operator's rule files: read from EARTHFLOW_RULES_DIR, and proven as a whole
before any of them is served.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from rules.complaint import BadRules, Complaint, Mark
from rules.load import Library
from rules.sources import PRESETS, TENANTS, shipped, version_of
from rules.testing import run

TENANT_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\.yaml")

Signature = tuple[tuple[str, int, int, int], ...]


def read_sources(folder: Path | None) -> dict[str, str]:
    """All rule sources: shipped, the operator's and tenants'.

    They build under every preset, and the tests in the operator's files pass; what is
    shipped was tested before. Raises BadRules.
    """
    sources = dict(shipped())
    if folder is not None and not folder.is_dir():
        raise BadRules(
            [Complaint(Mark(str(folder), 1, 1), "EARTHFLOW_RULES_DIR is not a folder")]
        )
    own = dict(_files(folder)) if folder is not None else {}
    for name, path in own.items():
        try:
            sources[name] = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise BadRules(
                [Complaint(Mark(name, 1, 1), f"cannot be read: {error}")]
            ) from None
    if not own:
        return sources
    library = Library(sources, portable=True)
    library.check()
    failed = list(_failed(library, own))
    if failed:
        raise BadRules(failed)
    return sources


def own_hashes(sources: Mapping[str, str]) -> dict[str, str]:
    """What tells the operator's own files from other versions of them, by name."""
    return {
        name: hashlib.sha256(text.encode()).hexdigest()[:16]
        for name, text in sources.items()
        if name not in shipped()
    }


def signature(folder: Path | None) -> Signature:
    """Changes when a file is added, removed or written."""
    found = []
    try:
        for name, path in _files(folder) if folder is not None else ():
            status = path.stat()
            found.append((name, status.st_mtime_ns, status.st_size, status.st_ino))
    except (OSError, BadRules):
        found.append(("", 0, 0, 0))
    return tuple(found)


def hash_of(sources: Mapping[str, str]) -> str:
    """A hash of all sources."""
    content = hashlib.sha256(
        "".join(version_of(preset, sources) for preset in PRESETS).encode()
    )
    for name in sorted(sources):
        if name.startswith(TENANTS):
            content.update(f"\0{name}\0{sources[name]}".encode())
    return content.hexdigest()


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Source names and their files, in order."""
    for prefix, place in (("", folder), (TENANTS, folder / TENANTS)):
        try:
            paths = sorted(place.iterdir())
        except FileNotFoundError:
            continue
        except OSError as error:
            raise BadRules(
                [Complaint(Mark(str(place), 1, 1), f"cannot be read: {error.strerror}")]
            ) from None
        for path in paths:
            if path.name.startswith(".") or path.is_dir():
                continue
            if path.suffix == ".yaml" and (
                not prefix or TENANT_FILE.fullmatch(path.name)
            ):
                yield prefix + path.name, path
            elif path.suffix in (".yaml", ".yml"):
                help = (
                    "a tenant's file is tenants/<id>.yaml"
                    if prefix
                    else "rule files end in .yaml"
                )
                raise BadRules(
                    [
                        Complaint(
                            Mark(prefix + path.name, 1, 1), "would be passed over", help
                        )
                    ]
                )


def _failed(library: Library, own: Mapping[str, Path]) -> Iterator[Complaint]:
    """The failing tests of the operator's files, in the rulebook that each is for."""
    for tenant in ("", *library.written.tenants):
        files = (
            {f"{TENANTS}{tenant}.yaml"}
            if tenant
            else {name for name in own if not name.startswith(TENANTS)}
        )
        for result in run(library, "default", tenant, files=files):
            if result.why:
                line = library.written.texts[result.test.at.file].splitlines()[
                    result.test.at.line - 1
                ]
                yield Complaint(
                    result.test.at,
                    f"the test of rule `{result.rule.id}` fails: it {result.why}",
                    source=line[:200],
                )
