"""Rule sources -> Rulebook: what was written becomes what is used, immutable and swapped whole.

A source is YAML text under a name: `earthflow/<name>` for what we ship, `<name>.yaml` for the operator's, `tenants/<id>.yaml` for
one tenant's. The order of precedence, tested in tests/rules/test_precedence.py:

  rules       a preset with all that it extends, left to right; then the operator's files by name; then the tenant's file.
              A later rule replaces an earlier one of the same id. Thresholds and `history` likewise.
  overrides   the operator's, then the tenant's, then the preset's, so that the preset `monitor` means monitor whatever else is said.

Compiled patterns are shared: one layer for all that is shipped, one for the operator's files, one for a tenant's own. A tenant
without patterns of its own costs a few pointers, and rulebooks are made when they are first asked for.
"""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache, cached_property, lru_cache
from importlib import resources
from itertools import chain
from typing import Any, Literal

from rules.answering import answering, in_stream, live_texts
from rules.complaint import BadRules, Complaint, Mark, likely
from rules.condition import Conditions, TooComplex
from rules.content import Compiler, mentioned, patterns_of
from rules.hyper import Store
from rules.model import History, Match, Matches, Override, Rule, RuleFile, Threshold
from rules.patterns import BadPattern, compile_regex, keywords_as_regex
from rules.reader import read, read_detectors
from rules.redact import kind_of, placeholder
from rules.rulebook import Base, Judge, Rulebook, judge_of
from rules.scan import Scanner

SHIPPED, TENANTS = "earthflow/", "tenants/"
PRESETS = ("default", "strict", "monitor")
MAX_EXTENDS = 20  # files, each of which extends the next
KEPT_RULEBOOKS = 512  # of tenants with files of their own
SAMPLE_HASHES = ("fghjklmn", "tsrqpnml", "gggggggg")


@dataclass(frozen=True, slots=True)
class Assembled:
    """The rules of a preset for a tenant as written, overrides applied, and where each thing came from."""

    rules: Mapping[str, Rule]
    thresholds: Mapping[str, Threshold]
    history: History
    files: tuple[RuleFile, ...]
    patches: Mapping[str, tuple[Override, ...]]  # by rule, in the order in which they were applied


@cache
def shipped() -> Mapping[str, str]:
    """The presets and packs that come with Earthflow, by source name."""
    sources = {}
    for folder in ("packs", "presets"):
        for entry in resources.files("rules").joinpath(folder).iterdir():
            if entry.name.endswith(".yaml"):
                sources[SHIPPED + entry.name.removesuffix(".yaml")] = entry.read_text(encoding="utf-8")
    return sources


@cache
def detectors() -> Mapping[str, Match]:
    """The shapes that `detector` names."""
    return read_detectors(
        "detectors.yaml", resources.files("rules").joinpath("detectors.yaml").read_text(encoding="utf-8")
    )


def version_of(preset: str, sources: Mapping[str, str], tenant: str = "") -> str:
    """A rulebook's version, without building it: 12 hex digits of its preset's name and every source that has a say."""
    mine = f"{TENANTS}{tenant}.yaml"
    content = hashlib.sha256(preset.encode())
    for name in sorted(sources):
        if not name.startswith(TENANTS) or name == mine:
            content.update(b"\0" + name.encode() + b"\0" + sources[name].encode("utf-8", "surrogatepass"))
    return content.hexdigest()[:12]


def build(
    preset: str, sources: Mapping[str, str], tenant: str = "", *, portable: bool | None = None
) -> Rulebook:
    """One rulebook by itself. Raises BadRules with every complaint; then nothing was built."""
    return Library(sources, portable=portable).rulebook(preset, tenant)


@lru_cache(maxsize=2048)
def _read(name: str, text: str) -> RuleFile:
    return read(name, text)


class Library:
    """All sources of one moment, and the rulebooks made of them. Immutable to its users; safe in many threads."""

    def __init__(
        self,
        sources: Mapping[str, str],
        *,
        store: Store | None = None,
        portable: bool | None = None,
        without: frozenset[str] = frozenset(),
    ):
        """Compiles nothing yet. `store` keeps compiled patterns; `without` are triggers that hyperscan was seen to miss."""
        self.sources = sources
        self._store, self._portable, self.without = store, portable, without
        self._files: dict[str, RuleFile] = {}
        self._books: OrderedDict[tuple[str, str], Rulebook] = OrderedDict()
        self._lock = threading.Lock()  # of the shelf; never held while something is made
        self._making = threading.RLock()

    def rulebook(self, preset: str, tenant: str = "") -> Rulebook:
        """The rules of a tenant under a preset; `tenant` matters only where it has a file. Raises BadRules."""
        found = self.ready(preset, tenant)
        if found is None:
            with self._making:
                found = self.ready(preset, tenant) or self._build(preset, self._own(tenant))
            with self._lock:
                self._books[preset, self._own(tenant)] = found
                if len(self._books) > KEPT_RULEBOOKS:
                    self._books.popitem(last=False)
        return found

    def ready(self, preset: str, tenant: str = "") -> Rulebook | None:
        """That rulebook, if it is made already; never waits."""
        key = (preset, self._own(tenant))
        with self._lock:
            if key in self._books:
                self._books.move_to_end(key)
            return self._books.get(key)

    def _own(self, tenant: str) -> str:
        """The tenant, where it has a file of its own."""
        return tenant if f"{TENANTS}{tenant}.yaml" in self.sources else ""

    def sparing(self, triggers: frozenset[str]) -> "Library":
        """The same sources, with these triggers left to the portable engine."""
        return Library(
            self.sources, store=self._store, portable=self._portable, without=self.without | triggers
        )

    def warm(self) -> None:
        """Have ready what streams need, and what only hostile texts do."""
        with self._lock:
            books = list(self._books.values())
        for book in books:
            book.warm()
        for book in books:
            book.scanner.warm()

    @property
    def tenants(self) -> list[str]:
        """The tenants that have a file of their own."""
        return [
            name[len(TENANTS) :].removesuffix(".yaml")
            for name in sorted(self.sources)
            if name.startswith(TENANTS)
        ]

    def check(self, presets: Iterable[str] = PRESETS) -> None:
        """Everything can be built. Raises BadRules with every complaint."""
        complaints: dict[Complaint, None] = {}
        for preset, tenant in chain(
            ((preset, "") for preset in presets), (("default", tenant) for tenant in self.tenants)
        ):
            try:
                self.rulebook(preset, tenant)
            except BadRules as error:
                complaints |= dict.fromkeys(error.complaints)
        if complaints:
            raise BadRules(complaints)

    # -- assembling ---------------------------------------------------------------------------------------------------

    def assemble(self, preset: str, tenant: str = "") -> Assembled:
        """The rules as written, by precedence. Raises BadRules."""
        if SHIPPED + preset not in self.sources:
            at = Mark(_file_name(SHIPPED + preset), 1, 1)
            raise BadRules([Complaint(at, f"there is no preset `{preset}`", likely(preset, PRESETS))])
        complaints: list[Complaint] = []
        groups = [self._closure([SHIPPED + preset], complaints), self._closure(self._operators(), complaints)]
        own = f"{TENANTS}{tenant}.yaml"
        groups.append(self._closure([own] if own in self.sources else [], complaints))
        ordered: list[list[RuleFile]] = []
        seen: set[str] = set()
        for group in groups:
            ordered.append([file for name, file in group if name not in seen])
            seen.update(name for name, _ in group)
        files = tuple(chain(*ordered))
        rules = {rule.id: rule for file in files for rule in file.rules}
        thresholds = {name: threshold for file in files for name, threshold in file.thresholds}
        history: History = next((file.history for file in reversed(files) if file.history), "redact")
        patches: dict[str, tuple[Override, ...]] = {}
        for override in (
            override
            for group in (ordered[1], ordered[2], ordered[0])
            for file in group
            for override in file.overrides
        ):
            hit = [name for name in rules if fnmatchcase(name, override.glob)]
            if not hit:
                complaints.append(
                    self.complaint(
                        override.at, f"override `{override.glob}` hits no rule", likely(override.glob, rules)
                    )
                )
            for name in hit:
                rules[name] = rules[name].patched(override)
                patches[name] = (*patches.get(name, ()), override)
                fault = _misfit(rules[name])
                if fault:
                    complaints.append(
                        self.complaint(override.at, f"override `{override.glob}`: rule `{name}` {fault}")
                    )
        if complaints:
            raise BadRules(complaints)
        return Assembled(rules, thresholds, history, files, patches)

    def _operators(self) -> list[str]:
        return [name for name in sorted(self.sources) if not name.startswith((SHIPPED, TENANTS))]

    def _closure(self, names: Iterable[str], complaints: list[Complaint]) -> list[tuple[str, RuleFile]]:
        """The files of these names, each behind those that it extends."""
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
                    complaints.append(self.complaint(at, f"more than {MAX_EXTENDS} files extend one another"))
                elif wanted in self.sources and not wanted.startswith(TENANTS):
                    add(wanted, depth + 1)
                else:
                    known = [source for source in self.sources if not source.startswith(TENANTS)]
                    complaints.append(
                        self.complaint(at, f"`{wanted}` is not there to extend", likely(wanted, known))
                    )
            ordered.append((name, file))

        for name in names:
            add(name)
        return ordered

    def file(self, name: str) -> RuleFile:
        """A file as written, the same object each time; a tenant's is not kept."""
        if name.startswith(TENANTS):
            return read(name, self.sources[name])
        return self._files.get(name) or self._files.setdefault(
            name, _read(_file_name(name), self.sources[name])
        )

    def complaint(
        self, at: Mark, message: str, help: str = "", level: Literal["error", "warning"] = "error"
    ) -> Complaint:
        """A complaint with the line of the source that it is about."""
        text = next((text for name, text in self.sources.items() if _file_name(name) == at.file), "")
        lines = text.splitlines()
        return Complaint(at, message, help, lines[at.line - 1][:200] if at.line <= len(lines) else "", level)

    # -- compiling ----------------------------------------------------------------------------------------------------

    @property
    def base(self) -> Base:
        """What all rulebooks share."""
        with self._making:
            return self._base

    @cached_property
    def _base(self) -> Base:
        """What all rulebooks share: the patterns of what is shipped, and of the operator's files."""
        base = Base()
        complaints: list[Complaint] = []
        shipped_names = [name for name in sorted(self.sources) if name.startswith(SHIPPED)]
        for names in (shipped_names, self._operators()):
            for _, file in self._closure(names, complaints):
                self._compile(file.rules, base, complaints)
            base.end_layer()
        if complaints:
            raise BadRules(complaints)
        return base

    def _compile(self, rules: Iterable[Rule], base: Base, complaints: list[Complaint]) -> None:
        compiler = Compiler(detectors(), base.numbers)
        for rule in rules:
            if id(rule) in base.known:
                continue
            faults = list(self._faults(rule, base.conditions))
            complaints.extend(faults)
            base.known[id(rule)] = rule
            if rule.match is not None and not faults and id(rule.match) not in base.contents:
                base.contents[id(rule.match)] = compiler.compile(rule.match)

    def _faults(self, rule: Rule, conditions: Conditions) -> Iterator[Complaint]:
        """What is wrong with a rule that can only be known now."""
        for match in _leaves(rule.match) if rule.match else ():
            if match.detector and match.detector not in detectors():
                yield self.complaint(
                    match.at, f"there is no detector `{match.detector}`", likely(match.detector, detectors())
                )
                continue
            regex = match.regex or (
                detectors()[match.detector].regex if match.detector else keywords_as_regex(match.keywords)
            )
            for sample in SAMPLE_HASHES if rule.action == "redact" else ():
                own = placeholder(rule.id, rule.redact, sample)
                if not (match.near or match.validate) and compile_regex(regex).search(own.encode()):
                    yield self.complaint(
                        match.at,
                        f"the rule would find its own placeholder {own}",
                        "write another one in `redact`",
                    )
                    break
        try:
            for clause in (rule.when, *(exception.when for exception in rule.except_)):
                conditions.compile(clause)
        except TooComplex:
            yield self.complaint(
                rule.at,
                f"the conditions of rule `{rule.id}` are too many when written out",
                "split it into several rules",
            )

    def _build(self, preset: str, tenant: str) -> Rulebook:
        assembled = self.assemble(preset, tenant)
        base = self.base.extended()
        complaints: list[Complaint] = []
        self._compile(assembled.rules.values(), base, complaints)
        if complaints:
            raise BadRules(complaints)
        base.end_layer()
        judges = [self._judge(rule, base) for rule in assembled.rules.values() if rule.mode != "off"]
        patterns = tuple(base.numbers)
        answers = answering(judges)
        stream = in_stream(answers, patterns)
        version, kinds = (
            version_of(preset, self.sources, tenant),
            frozenset(kind_of(judge.id) for judge in judges),
        )

        def book(judges: Sequence[Judge], only: Collection[int] | None = None, **more: Any) -> Rulebook:
            return Rulebook(
                name=preset,
                version=version,
                judges=tuple(judges),
                scanner=self._scanner(preset, base, only),
                conditions=base.conditions.only(
                    one for judge in judges for one in (judge.when, *(exempt.when for exempt in judge.exempt))
                ),
                asking=_asking(judges),
                contextual=tuple(number for number, judge in enumerate(judges) if judge.content is None),
                thresholds=tuple(assembled.thresholds.items()),
                history=assembled.history,
                kinds=kinds,
                **{"live": {}, "answers": None, "stream": None, **more},
            )

        return book(
            [judge for judge in judges if "request" in judge.directions],
            answers=book(answers, _patterns(answers)) if answers else None,
            stream=book(stream, _patterns(stream), live=live_texts(stream, base.conditions, patterns))
            if stream
            else None,
        )

    def _judge(self, rule: Rule, base: Base) -> Judge:
        """A rule's judge; those that nobody patched are shared by all rulebooks."""
        shared = self._base.judges
        if id(rule) not in self._base.known:
            return judge_of(rule, base)
        if id(rule) not in shared:
            shared[id(rule)] = judge_of(rule, base)
        return shared[id(rule)]

    def _scanner(self, preset: str, base: Base, only: Collection[int] | None = None) -> Scanner:
        try:
            return Scanner(
                base.layers, portable=self._portable, store=self._store, without=self.without, only=only
            )
        except BadPattern as error:
            at = Mark(_file_name(SHIPPED + preset), 1, 1)
            raise BadRules([Complaint(at, str(error), "use fewer or shorter keywords")]) from None


def _asking(judges: Iterable[Judge]) -> dict[int, tuple[int, ...]]:
    asking: dict[int, list[int]] = {}
    for number, judge in enumerate(judges):
        for pattern in patterns_of(judge.content) if judge.content else ():
            asking.setdefault(pattern, []).append(number)
    return {pattern: tuple(numbers) for pattern, numbers in asking.items()}


def _patterns(judges: Iterable[Judge]) -> frozenset[int]:
    return frozenset().union(*(mentioned(judge.content) for judge in judges if judge.content is not None))


def _leaves(matches: Match | Matches) -> Iterator[Match]:
    if isinstance(matches, Match):
        yield matches
    else:
        for member in matches.members:
            yield from _leaves(member)


def _file_name(source: str) -> str:
    """What complaints call a source: a shipped one gets its ending back."""
    return f"{source}.yaml" if source.startswith(SHIPPED) else source


def _misfit(rule: Rule) -> str:
    """What an override must not make of a rule, or nothing."""
    if rule.action == "redact" and rule.match is None:
        return "has no `match` that finds what to redact"
    return "has no `allows` that names what it allows" if rule.action == "allow" and not rule.allows else ""
