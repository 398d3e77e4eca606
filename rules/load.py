"""Rule sources -> Rulebook: what was written becomes what is used, immutable and swapped whole.

A source is YAML text under a name: `earthflow/<name>` for what we ship, a file's own name for the operator's. A rulebook is one
shipped preset with everything it extends, then the operator's files by name; a later rule replaces an earlier one of the same
id. Overrides come last, the operator's before the preset's, so that the preset `monitor` means monitor whatever else is said.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib import resources
from itertools import chain

from rules.complaint import BadRules, Complaint, Mark, likely
from rules.condition import Condition, compile_clause, speaks_of_parts
from rules.model import PRIORITY, Action, Override, Rule, RuleFile, Severity
from rules.reader import read
from rules.scan import BadPattern, Scanner, compile_pattern, keywords_as_regex

SHIPPED = "earthflow/"
PRESETS = ("default", "monitor")


@dataclass(frozen=True, slots=True)
class Judge:
    """One rule ready to be used. `patterns` index the scanner's; without any, `when` alone decides."""

    id: str
    action: Action
    severity: Severity
    priority: int
    monitor: bool
    message: str
    placeholder: str
    allows: tuple[str, ...]
    patterns: frozenset[int]
    when: Condition | None
    by_part: bool


@dataclass(frozen=True, slots=True)
class Rulebook:
    """All that judges one call; `version` names its content and stands in every decision."""

    name: str
    version: str
    judges: tuple[Judge, ...]
    scanner: Scanner


def shipped() -> dict[str, str]:
    """The presets and packs that come with Earthflow, by source name."""
    sources = {}
    for folder in ("packs", "presets"):
        for entry in resources.files("rules").joinpath(folder).iterdir():
            if entry.name.endswith(".yaml"):
                sources[SHIPPED + entry.name.removesuffix(".yaml")] = entry.read_text(encoding="utf-8")
    return sources


def version_of(preset: str, sources: Mapping[str, str]) -> str:
    """A rulebook's version, without building it: 12 hex digits of its preset's name and every source."""
    content = hashlib.sha256(preset.encode())
    for name in sorted(sources):
        content.update(b"\0" + name.encode() + b"\0" + sources[name].encode("utf-8", "surrogatepass"))
    return content.hexdigest()[:12]


def build(preset: str, sources: Mapping[str, str]) -> Rulebook:
    """The rulebook of a preset over all sources. Raises BadRules with every complaint; then nothing was built."""
    rules, _ = assemble(preset, sources)
    judges: list[Judge] = []
    regexes: list[str] = []
    complaints: list[Complaint] = []
    for rule in rules:
        if rule.mode == "off":
            continue
        mine = set()
        for match in rule.match:
            regex = match.regex or keywords_as_regex(match.keywords)
            try:
                if rule.action == "redact" and compile_pattern(regex).search(_placeholder(rule).encode()):
                    raise BadPattern(f"the rule would find its own placeholder {_placeholder(rule)}")
                compile_pattern(regex)
            except BadPattern as error:
                complaints.append(_complaint_at(match.at, str(error), sources))
                continue
            mine.add(len(regexes))
            regexes.append(regex)
        judges.append(_judge(rule, frozenset(mine)))
    if complaints:
        raise BadRules(complaints)
    try:
        scanner = Scanner(regexes)
    except BadPattern as error:
        raise BadRules([Complaint(Mark(_file_name(SHIPPED + preset), 1, 1), str(error), "use fewer or shorter keywords")]) from None
    return Rulebook(preset, version_of(preset, sources), tuple(judges), scanner)


def assemble(preset: str, sources: Mapping[str, str]) -> tuple[tuple[Rule, ...], tuple[RuleFile, ...]]:
    """The rules of a preset as written, overrides applied, and the files they came from in the order they were read."""
    files: list[RuleFile] = []
    complaints: list[Complaint] = []
    read_so_far: set[str] = set()

    def add(name: str) -> None:
        if name in read_so_far:
            return
        read_so_far.add(name)
        try:
            file = read(_file_name(name), sources[name])
        except BadRules as error:
            complaints.extend(error.complaints)
            return
        for wanted, at in file.extends:
            if wanted in sources:
                add(wanted)
            else:
                complaints.append(_complaint_at(at, f"`{wanted}` is not there to extend", sources, likely(wanted, sources)))
        files.append(file)

    if SHIPPED + preset not in sources:
        raise BadRules([Complaint(Mark(_file_name(SHIPPED + preset), 1, 1), f"there is no preset `{preset}`", likely(preset, PRESETS))])
    add(SHIPPED + preset)
    own = len(files)
    for name in sorted(sources):
        if not name.startswith(SHIPPED):
            add(name)
    rules = {rule.id: rule for file in files for rule in file.rules}
    last = chain(*(file.overrides for file in files[own:]), *(file.overrides for file in files[:own]))
    complaints.extend(_override(rules, last, sources))
    if complaints:
        raise BadRules(complaints)
    return tuple(rules.values()), tuple(files)


def _override(rules: dict[str, Rule], overrides: "chain[Override]", sources: Mapping[str, str]) -> list[Complaint]:
    complaints = []
    for override in overrides:
        hit = [name for name in rules if fnmatchcase(name, override.glob)]
        if not hit:
            complaints.append(_complaint_at(override.at, f"override `{override.glob}` hits no rule", sources, likely(override.glob, rules)))
        for name in hit:
            rules[name] = rules[name].patched(override)
    return complaints


def _judge(rule: Rule, patterns: frozenset[int]) -> Judge:
    return Judge(
        id=rule.id,
        action=rule.action,
        severity=rule.severity,
        priority=PRIORITY[rule.severity] if rule.priority is None else rule.priority,
        monitor=rule.mode == "monitor",
        message=rule.message,
        placeholder=_placeholder(rule),
        allows=rule.allows,
        patterns=patterns,
        when=None if rule.when is None else compile_clause(rule.when),
        by_part=rule.when is not None and speaks_of_parts(rule.when),
    )


def _placeholder(rule: Rule) -> str:
    return rule.placeholder.replace("{rule}", rule.id)


def _file_name(source: str) -> str:
    """What complaints call a source: a shipped one gets its ending back."""
    return f"{source}.yaml" if source.startswith(SHIPPED) else source


def _complaint_at(at: Mark, message: str, sources: Mapping[str, str], help: str = "") -> Complaint:
    text = next((sources[name] for name in sources if _file_name(name) == at.file), "")
    lines = text.splitlines()
    return Complaint(at, message, help, lines[at.line - 1][:200] if at.line <= len(lines) else "")
