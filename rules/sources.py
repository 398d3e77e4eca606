"""Rule sources: which rules hold for a tenant, by the order of precedence.

A source is YAML text under a name: `earthflow/<name>` for what we ship, `<name>.yaml` for the
operator's, `tenants/<id>.yaml` for one tenant's. The order, tested in
tests/rules/test_precedence.py:

  rules       a preset with all that it extends, from left to right; then the operator's files by
              name; then the tenant's file. A later rule replaces an earlier one of the same id.
              Thresholds, `history` and `restore` likewise.
  overrides   the operator's, then the tenant's, then the preset's: the preset `monitor` means
              monitor, whatever else is written.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache, lru_cache
from importlib import resources
from itertools import chain
from typing import Literal

from rules.complaint import BadRules, Complaint, Mark, likely
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

SHIPPED, TENANTS = "earthflow/", "tenants/"
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
    mine = f"{TENANTS}{tenant}.yaml"
    content = hashlib.sha256(
        preset.encode() + (f"\0{known}".encode() if known else b"")
    )
    for name in sorted(sources):
        if not name.startswith(TENANTS) or name == mine:
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

    @property
    def tenants(self) -> list[str]:
        """The tenants that have a file of their own."""
        return [
            name[len(TENANTS) :].removesuffix(".yaml")
            for name in sorted(self.texts)
            if name.startswith(TENANTS)
        ]

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
        groups = [
            self.closure([SHIPPED + preset], complaints),
            self.closure(self.operators(), complaints),
        ]
        own = f"{TENANTS}{tenant}.yaml"
        groups.append(self.closure([own] if own in self.texts else [], complaints))
        ordered: list[list[RuleFile]] = []
        seen: set[str] = set()
        for group in groups:
            ordered.append([file for name, file in group if name not in seen])
            seen.update(name for name, _ in group)
        files = tuple(chain(*ordered))
        rules = {rule.id: rule for file in files for rule in file.rules}
        rules |= {rule.id: rule for rule in known}
        thresholds = {
            name: threshold for file in files for name, threshold in file.thresholds
        }
        history: History = next(
            (file.history for file in reversed(files) if file.history), "redact"
        )
        restore: Restore = next(
            (file.restore for file in reversed(files) if file.restore), "files"
        )
        overrides = [
            override
            for group in (ordered[1], ordered[2], ordered[0])
            for file in group
            for override in file.overrides
        ]
        patches = self._patch(rules, overrides, complaints)
        if complaints:
            raise BadRules(complaints)
        return Assembled(rules, thresholds, history, restore, files, patches)

    def _patch(
        self,
        rules: dict[str, Rule],
        overrides: Iterable[Override],
        complaints: list[Complaint],
    ) -> dict[str, tuple[Override, ...]]:
        """Apply overrides to the rules; which were applied to each rule."""
        patches: dict[str, tuple[Override, ...]] = {}
        for override in overrides:
            what = f"override `{override.glob}`"
            hit = [name for name in rules if fnmatchcase(name, override.glob)]
            if not hit and not override.glob.startswith(KNOWN):
                help = likely(override.glob, rules)
                message = f"{what} hits no rule"
                complaints.append(self.complaint(override.at, message, help))
            for name in hit:
                rules[name] = rules[name].patched(override)
                patches[name] = (*patches.get(name, ()), override)
                if fault := _misfit(rules[name]):
                    message = f"{what}: rule `{name}` {fault}"
                    complaints.append(self.complaint(override.at, message))
        return patches

    def operators(self) -> list[str]:
        """The names of the operator's files."""
        return [
            name
            for name in sorted(self.texts)
            if not name.startswith((SHIPPED, TENANTS))
        ]

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
                elif wanted in self.texts and not wanted.startswith(TENANTS):
                    add(wanted, depth + 1)
                else:
                    known = [
                        source
                        for source in self.texts
                        if not source.startswith(TENANTS)
                    ]
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


def file_name(source: str) -> str:
    """The name of a source in complaints; a shipped one gets its ending back."""
    return f"{source}.yaml" if source.startswith(SHIPPED) else source


def _misfit(rule: Rule) -> str:
    """Why an override must not change a rule so; empty where it may."""
    if rule.action == "redact" and rule.match is None:
        return "has no `match` that finds what to redact"
    return (
        "has no `allows` that names what it allows"
        if rule.action == "allow" and not rule.allows
        else ""
    )
