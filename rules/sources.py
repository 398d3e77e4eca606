"""Rule sources: which rules hold for a tenant, by the order of precedence.

A source is YAML text under a name: `earthflow/<name>` for what we ship, `<name>.yaml` for the
operator's, `tenants/<id>.yaml` for one tenant's; layers, kept by control, have names of their own
(layers.py). The order, tested in tests/rules/test_precedence.py:

  rules       a preset with all that it extends, from left to right; then the operator's files by
              name, and the layer for all; then the tenant's file, the operator's layer for it, and its
              exceptions. A later rule replaces an earlier one of the same id. Thresholds, `history` and `restore`
              likewise.
  overrides   the operator's, then the tenant's, then the preset's: the preset `monitor` means
              monitor, whatever else is written.

A tenant's own layer comes before the preset's overrides, and only tightens (tightening.py).
"""

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache, lru_cache
from importlib import resources
from itertools import chain
from typing import Literal

from rules.complaint import BadRules, Complaint, Mark, likely
from rules.layers import ALL, TENANTS, is_layer, sources_of, tenant_of
from rules.model import (
    KNOWN,
    History,
    Match,
    Override,
    Restore,
    Rule,
    RuleFile,
    Threshold,
)
from rules.source.rule_file import read, read_detectors
from rules.tightening import HISTORIES, RESTORES, added, later, stricter, tightened

SHIPPED = "earthflow/"
PRESETS = ("default", "strict", "monitor")
STRICT = "strict"
MAX_EXTENDS = 20  # length of a chain of files that extend one another


@dataclass(frozen=True, slots=True)
class Assembled:
    """The rules of a preset for a tenant, with overrides applied, and where each thing
    came from.

    `patches` are the overrides of a rule, in the order in which they were applied.
    """

    rules: Mapping[str, Rule]
    thresholds: Mapping[str, Threshold]
    history: History
    restore: Restore
    files: tuple[RuleFile, ...]
    patches: Mapping[str, tuple[Override, ...]]


@cache
def shipped() -> Mapping[str, str]:
    """The presets and packs that come with Earthflow, by source name."""
    sources = {}
    for folder in ("packs", "presets"):
        for entry in resources.files("rules").joinpath(folder).iterdir():
            if entry.name.endswith(".yaml"):
                sources[SHIPPED + entry.name.removesuffix(".yaml")] = entry.read_text(
                    encoding="utf-8"
                )
    return sources


@cache
def detectors() -> Mapping[str, Match]:
    """The patterns that `detector` names."""
    return read_detectors(
        "detectors.yaml",
        resources.files("rules").joinpath("detectors.yaml").read_text(encoding="utf-8"),
    )


def version_of(
    preset: str, sources: Mapping[str, str], tenant: str = "", known: str = ""
) -> str:
    """The version of a rulebook, without building it.

    12 hexadecimal digits of a hash over its preset's name, every source that takes part,
    and the mark of the tenant's known values.
    """
    mine = sources_of(tenant)
    content = hashlib.sha256(
        preset.encode() + (f"\0{known}".encode() if known else b"")
    )
    for name in sorted(sources):
        if not name.startswith(TENANTS) or name in mine:
            content.update(
                b"\0"
                + name.encode()
                + b"\0"
                + sources[name].encode("utf-8", "surrogatepass")
            )
    return content.hexdigest()[:12]


@lru_cache(maxsize=2048)
def _read(name: str, text: str) -> RuleFile:
    return read(name, text)


class Sources:
    """All rule sources of one moment, as they were written."""

    def __init__(self, texts: Mapping[str, str]):
        self.texts = texts
        self._files: dict[str, RuleFile] = {}
        self._own: dict[str, bool] = {}

    @property
    def tenants(self) -> list[str]:
        """The tenants that have a file or a layer of their own."""
        return sorted({tenant_of(name) for name in self.texts} - {""})

    def has_own(self, tenant: str) -> bool:
        """Whether a tenant has a file or a layer of its own."""
        own = self._own.get(tenant)
        if own is None:
            own = any(name in self.texts for name in sources_of(tenant))
            self._own[tenant] = own
        return own

    def assemble(
        self, preset: str, tenant: str = "", known: Iterable[Rule] = ()
    ) -> Assembled:
        """The rules as written, by precedence, and those of `known` values. Raises BadRules."""
        if SHIPPED + preset not in self.texts:
            at = Mark(file_name(SHIPPED + preset), 1, 1)
            raise BadRules(
                [
                    Complaint(
                        at, f"there is no preset `{preset}`", likely(preset, PRESETS)
                    )
                ]
            )
        complaints: list[Complaint] = []
        ordered, own = self._files_of(preset, tenant, complaints)
        files = tuple(chain(*ordered))
        rules = {rule.id: rule for file in files for rule in file.rules}
        rules |= {rule.id: rule for rule in known}
        thresholds: Mapping[str, Threshold] = {
            name: threshold for file in files for name, threshold in file.thresholds
        }
        history: History = next(
            (file.history for file in reversed(files) if file.history), "redact"
        )
        restore: Restore = next(
            (file.restore for file in reversed(files) if file.restore), "files"
        )
        for file in own:
            thresholds = stricter(thresholds, file)
            if history != "ignore":  # under which nothing comes back in answers
                history = later(HISTORIES, history, file.history)
            restore = later(RESTORES, restore, file.restore)
        patches: dict[str, tuple[Override, ...]] = {}
        self._patch(rules, overrides_of(*ordered[1:]), patches, complaints)
        # What the operator says is of the rules that he knows, and never fails for a tenant's own.
        theirs = {rule.id: rule for rule in added(rules, own)}
        rules |= theirs
        _tighten(rules, overrides_of(own), patches)
        self._patch(rules, overrides_of(ordered[0]), patches, complaints, theirs)
        _tighten(rules, overrides_of(own), patches, mode=False)
        if complaints:
            raise BadRules(complaints)
        return Assembled(rules, thresholds, history, restore, (*files, *own), patches)

    def _files_of(
        self, preset: str, tenant: str, complaints: list[Complaint]
    ) -> tuple[list[list[RuleFile]], list[RuleFile]]:
        """The files of the preset, the operator's and the tenant's, each once, where it is first; and the tenant's own layer."""
        *theirs, own = sources_of(tenant)
        ordered: list[list[RuleFile]] = []
        seen: set[str] = set()
        for names in (
            [SHIPPED + preset],
            self.operators(),
            [name for name in theirs if name in self.texts],
        ):
            group = self.closure(names, complaints)
            ordered.append([file for name, file in group if name not in seen])
            seen.update(name for name, _ in group)
        try:
            return ordered, [self.file(own)] if own in self.texts else []
        except BadRules as error:
            complaints.extend(error.complaints)
            return ordered, []

    def _patch(
        self,
        rules: dict[str, Rule],
        overrides: Iterable[Override],
        patches: dict[str, tuple[Override, ...]],
        complaints: list[Complaint],
        spared: Collection[str] = (),
    ) -> None:
        """Apply overrides to the rules, and add to each rule's `patches` which; of those that are `spared` only where it fits."""
        for override in overrides:
            what = f"override `{override.glob}`"
            hit = [name for name in rules if fnmatchcase(name, override.glob)]
            if not hit and not override.glob.startswith(KNOWN):
                help = likely(override.glob, rules)
                message = f"{what} hits no rule"
                complaints.append(self.complaint(override.at, message, help))
            for name in hit:
                patched = rules[name].patched(override)
                if name in spared and _misfit(patched):
                    continue
                rules[name] = patched
                patches[name] = (*patches.get(name, ()), override)
                if fault := _misfit(rules[name]):
                    message = f"{what}: rule `{name}` {fault}"
                    complaints.append(self.complaint(override.at, message))

    def operators(self) -> list[str]:
        """The names of the operator's files, and of the layer for all behind them."""
        files = [
            name
            for name in sorted(self.texts)
            if not name.startswith((SHIPPED, TENANTS)) and name != ALL
        ]
        return [*files, ALL] if ALL in self.texts else files

    def closure(
        self, names: Iterable[str], complaints: list[Complaint]
    ) -> list[tuple[str, RuleFile]]:
        """The files of these names, each behind the files that it extends."""
        found: dict[str, RuleFile | None] = {}
        ordered: list[tuple[str, RuleFile]] = []

        def add(name: str, depth: int = 0) -> None:
            if name in found:
                return
            found[name] = None
            try:
                file = self.file(name)
            except BadRules as error:
                complaints.extend(error.complaints)
                return
            for wanted, at in file.extends:
                if depth == MAX_EXTENDS:
                    complaints.append(
                        self.complaint(
                            at, f"more than {MAX_EXTENDS} files extend one another"
                        )
                    )
                elif wanted in self.texts and not _is_of_one(wanted):
                    add(wanted, depth + 1)
                else:
                    known = [source for source in self.texts if not _is_of_one(source)]
                    complaints.append(
                        self.complaint(
                            at,
                            f"`{wanted}` is not there to extend",
                            likely(wanted, known),
                        )
                    )
            ordered.append((name, file))

        for name in names:
            add(name)
        return ordered

    def file(self, name: str) -> RuleFile:
        """A file as written, the same object each time; a tenant's is not kept."""
        if name.startswith(TENANTS):
            return read(name, self.texts[name])
        return self._files.get(name) or self._files.setdefault(
            name, _read(file_name(name), self.texts[name])
        )

    def complaint(
        self,
        at: Mark,
        message: str,
        help: str = "",
        level: Literal["error", "warning"] = "error",
    ) -> Complaint:
        """A complaint with the line of the source that it is about."""
        text = next(
            (text for name, text in self.texts.items() if file_name(name) == at.file),
            "",
        )
        lines = text.splitlines()
        return Complaint(
            at,
            message,
            help,
            lines[at.line - 1][:200] if at.line <= len(lines) else "",
            level,
        )


def overrides_of(*groups: Iterable[RuleFile]) -> list[Override]:
    """All overrides of groups of files, in their order."""
    return [one for file in chain(*groups) for one in file.overrides]


def _tighten(
    rules: dict[str, Rule],
    overrides: Iterable[Override],
    patches: dict[str, tuple[Override, ...]],
    *,
    mode: bool = True,
) -> None:
    """Apply the overrides of a tenant's own layer, where they demand more; but for the `mode`, after a preset's."""
    for override in overrides:
        for name, rule in rules.items():
            if fnmatchcase(name, override.glob):
                rules[name] = tightened(rule, override, mode=mode)
                if rules[name] is not rule:
                    patches[name] = (*patches.get(name, ()), override)


def _is_of_one(source: str) -> bool:
    """Whether a source is one tenant's, or a layer: nobody extends those."""
    return source.startswith(TENANTS) or is_layer(source)


def file_name(source: str) -> str:
    """The name of a source in complaints; a shipped one gets its ending back."""
    return f"{source}.yaml" if source.startswith(SHIPPED) else source


def _misfit(rule: Rule) -> str:
    """Why an override must not change a rule so; empty where it may."""
    if rule.action == "redact" and rule.match is None:
        return "has no `match` that finds what to redact"
    if rule.except_ and rule.match is None:
        return "has no `match` to make exceptions from"
    return (
        "has no `allows` that names what it allows"
        if rule.action == "allow" and not rule.allows
        else ""
    )
