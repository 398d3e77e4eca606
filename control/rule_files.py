"""The operator's rule files, read from EARTHFLOW_RULES_DIR; and how files and layers are proven together, as a whole, before
any of them is served.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from rules.complaint import BadRules, Complaint, Mark
from rules.layers import ALL, TENANTS, is_layer, kind_of, tenant_of
from rules.load import Library
from rules.sources import PRESETS, SHIPPED, shipped, version_of
from rules.testing import run
from rules.tightening import loosening

OPERATORS = "what loosens is for the operator's layer for the tenant"
# Of a tenant's own layer: each is proven while others wait, some 20 ms a rule where its patterns are large.
MOST_OWN_RULES, MOST_OWN_CHARACTERS = 100, 64 * 1024
LAYERS_KNOWN = "layers 1 "
TENANT_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\.yaml")

Signature = tuple[tuple[str, int, int, int], ...]


def read_sources(
    folder: Path | None, layers: Mapping[str, str] | None = None
) -> dict[str, str]:
    """All rule files: shipped, the operator's and tenants'.

    They build under every preset, together with the `layers`, and the tests in the operator's
    files pass; what is shipped was tested before. Raises BadRules.
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
    if own or layers:
        prove({**sources, **(layers or {})})
    return sources


def prove(sources: Mapping[str, str], changed: str = "") -> None:
    """Build rulebooks, and run tests: those of files, and of a layer that is `changed`. Raises BadRules.

    Rulebooks of tenants with layers alone, of which there may be thousands, are only put together.
    """
    library = Library(sources, portable=True)
    if changed in sources and kind_of(changed) == "own":
        _prove_own(library, changed)
    whole = {tenant_of(name) for name in sources if not is_layer(name)}
    whole |= {tenant_of(changed)} - {""}
    library.check(tenants=sorted(whole - {""}))
    for preset in PRESETS if tenant_of(changed) else ():
        library.rulebook(preset, tenant_of(changed))
    for tenant in library.written.tenants:
        if tenant not in whole:
            library.check_patched("default", tenant)
    own = {name for name in sources if not name.startswith(SHIPPED)}
    tested = {name for name in own if not is_layer(name)} | ({changed, ALL} & own)
    if failed := list(_failed(library, tested)):
        raise BadRules(failed)


def _prove_own(library: Library, name: str) -> None:
    """Whether all that a tenant's own layer says has an effect. Raises BadRules."""
    written, tenant = library.written, tenant_of(name)
    text, file = written.texts[name], written.file(name)
    if len(text) > MOST_OWN_CHARACTERS or len(file.rules) > MOST_OWN_RULES:
        message = f"a tenant's own layer has {MOST_OWN_RULES} rules and {MOST_OWN_CHARACTERS:,} characters at most"
        raise BadRules([Complaint(Mark(name, 1, 1), message)])
    book = written.assemble("default", tenant)
    faults = list(loosening(file))
    for rule in file.rules:
        at = book.rules[rule.id].at if rule.id in book.rules else rule.at
        if at.file != name:
            faults.append((rule.at, f"rule `{rule.id}` is one of {at.file} already, which stays"))  # fmt: skip
    applied = {one.at for patches in book.patches.values() for one in patches}
    for override in file.overrides:
        if override.at not in applied:
            faults.append((override.at, f"override `{override.glob}` makes no rule stricter"))  # fmt: skip
    if faults:
        raise BadRules([written.complaint(at, message, OPERATORS) for at, message in faults])  # fmt: skip


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
    """A hash of all rule files, and of how layers stand beside them: a control that knows no layers serves no snapshot then."""
    versions = "".join(version_of(preset, sources) for preset in PRESETS)
    content = hashlib.sha256(f"{LAYERS_KNOWN}{versions}".encode())
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


def _failed(library: Library, tested: Iterable[str]) -> Iterator[Complaint]:
    """The failing tests of sources, in the rulebook that each is for."""
    by_tenant: dict[str, set[str]] = {}
    for name in tested:
        by_tenant.setdefault(tenant_of(name), set()).add(name)
    for tenant, files in sorted(by_tenant.items()):
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
