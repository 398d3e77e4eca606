"""Builds rulebooks: rule sources become what judges, immutable and swapped as a whole.

Compiled patterns are shared, in layers: one for all that is shipped, one for the
operator's files, one for a tenant's own. A tenant without patterns of its own costs a
few pointers. A rulebook is built when it is first needed.
"""

import threading
from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from itertools import chain
from typing import Any

from rules.answer_rules import (
    answer_rules,
    command_rules,
    in_stream,
    partial_matches,
)
from rules.complaint import BadRules, Complaint, Mark
from rules.condition import Conditions
from rules.content import Compiler, commands_of, mentioned, patterns_of
from rules.faults import faults
from rules.hyperscan_engine import Store
from rules.known import NONE, KnownValues, is_known, rules_of
from rules.layers import source_of
from rules.locate import Pattern
from rules.model import Rule
from rules.patterns import BadPattern
from rules.redact import kind_of
from rules.rulebook import (
    Base,
    CompiledRule,
    Once,
    Policy,
    Rulebook,
    compile_rule,
)
from rules.scan import Scanner
from rules.sources import (
    PRESETS,
    SHIPPED,
    STRICT,
    Assembled,
    Sources,
    detectors,
    file_name,
    version_of,
)
from rules.tightening import OWN

KEPT_RULEBOOKS = 512  # of tenants with files of their own
# A rulebook without rules for answers.
EMPTY: Mapping[str, Any] = {
    "partial": {},
    "answers": None,
    "stream": None,
    "of_commands": None,
}


def build(
    preset: str,
    sources: Mapping[str, str],
    tenant: str = "",
    *,
    portable: bool | None = None,
) -> Rulebook:
    """Build one rulebook. Raises BadRules with every complaint; then nothing was built."""
    return Library(sources, portable=portable).rulebook(preset, tenant)


class Library:
    """The rulebooks of all sources of one moment. Immutable to its users, thread-safe."""

    def __init__(
        self,
        sources: Mapping[str, str],
        *,
        store: Store | None = None,
        portable: bool | None = None,
        without: frozenset[str] = frozenset(),
    ):
        """Compiles nothing yet.

        `store` keeps compiled patterns. `portable` looks for all patterns with RE2.
        `without` are triggers that hyperscan was seen to miss.
        """
        self.written = Sources(sources)
        self._store, self._portable, self.without = store, portable, without
        self._books: OrderedDict[tuple[str, str, str], Rulebook] = OrderedDict()
        # guards `_books`; never held while a rulebook is built
        self._lock = threading.Lock()
        self._making = threading.RLock()

    def rulebook(
        self, preset: str, tenant: str = "", known: KnownValues = NONE
    ) -> Rulebook:
        """The rules of a tenant under a preset, with its known values. Raises BadRules.

        `tenant` matters only where it has a file.
        """
        found = self.ready(preset, tenant, known)
        if found is None:
            with self._making:
                found = self.ready(preset, tenant, known) or self._build(
                    preset, self._own(tenant), known
                )
            with self._lock:
                self._books[preset, self._own(tenant), known.mark] = found
                if len(self._books) > KEPT_RULEBOOKS:
                    self._books.popitem(last=False)
        return found

    def ready(
        self, preset: str, tenant: str = "", known: KnownValues = NONE
    ) -> Rulebook | None:
        """That rulebook, if it was built before; never waits."""
        key = (preset, self._own(tenant), known.mark)
        with self._lock:
            if key in self._books:
                self._books.move_to_end(key)
            return self._books.get(key)

    def _own(self, tenant: str) -> str:
        """The tenant, where it has a file or a layer of its own."""
        return tenant if self.written.has_own(tenant) else ""

    def sparing(self, triggers: frozenset[str]) -> "Library":
        """A library of the same sources that leaves these triggers to RE2."""
        return Library(
            self.written.texts,
            store=self._store,
            portable=self._portable,
            without=self.without | triggers,
        )

    def warm(self) -> None:
        """Compile what streams need, and what only hostile texts do."""
        with self._lock:
            books = list(self._books.values())
        for book in books:
            book.warm()
        for book in books:
            book.scanner.warm()

    def check_patched(self, preset: str, tenant: str) -> None:
        """Whether a tenant's rules fit together, without building their rulebook. Raises BadRules."""
        assembled = self.written.assemble(preset, tenant)
        conditions = self.base.conditions.copy()
        found = [
            complaint
            for id in assembled.patches
            for complaint in faults(self.written, assembled.rules[id], conditions)
        ]
        if found:
            raise BadRules(found)

    def check(
        self, presets: Iterable[str] = PRESETS, tenants: Iterable[str] | None = None
    ) -> None:
        """Build everything once, or of tenants only these. Raises BadRules with every complaint."""
        whose = self.written.tenants if tenants is None else tenants
        complaints: dict[Complaint, None] = {}
        for preset, tenant in chain(
            ((preset, "") for preset in presets),
            (("default", tenant) for tenant in whose),
        ):
            try:
                self.rulebook(preset, tenant)
            except BadRules as error:
                complaints |= dict.fromkeys(error.complaints)
        if complaints:
            raise BadRules(complaints)

    @property
    def base(self) -> Base:
        """The compiled patterns that all rulebooks share."""
        with self._making:
            return self._base

    @cached_property
    def _base(self) -> Base:
        """The patterns of what is shipped, and of the operator's files."""
        base = Base()
        complaints: list[Complaint] = []
        shipped_names = [
            name for name in sorted(self.written.texts) if name.startswith(SHIPPED)
        ]
        for names in (shipped_names, self.written.operators()):
            for _, file in self.written.closure(names, complaints):
                self._compile(file.rules, base, complaints)
            base.end_layer()
        if complaints:
            raise BadRules(complaints)
        return base

    def _compile(
        self, rules: Iterable[Rule], base: Base, complaints: list[Complaint]
    ) -> None:
        compiler = Compiler(detectors(), base.numbers)
        for rule in rules:
            if id(rule) in base.known:
                continue
            found = list(faults(self.written, rule, base.conditions))
            complaints.extend(found)
            base.known[id(rule)] = rule
            if (
                rule.match is not None
                and not found
                and id(rule.match) not in base.contents
            ):
                base.contents[id(rule.match)] = compiler.compile(rule.match)

    def _build(self, preset: str, tenant: str, known: KnownValues) -> Rulebook:
        values = rules_of(known)
        assembled, base = self._assembled(preset, tenant, values)
        rules = [
            self._compiled_rule(rule, base)
            for rule in assembled.rules.values()
            if rule.mode != "off"
        ]
        stricter = Once(
            partial(self._strict, rules, tenant, [rule for rule, _ in values])
        )
        more: dict[str, Any] = {} if preset == STRICT else {"strict": stricter}
        patterns = tuple(base.numbers)
        answers = answer_rules(rules)
        stream = in_stream(answers, patterns)
        commands = command_rules(answers)
        version = version_of(preset, self.written.texts, tenant, known.mark)
        own = source_of("own", tenant)
        named = (one.id for one in assembled.rules.values() if one.at.file != own)
        kinds = frozenset((OWN, *map(kind_of, named)))

        def book(
            rules: Sequence[CompiledRule],
            only: Collection[int] | None = None,
            **more: Any,
        ) -> Rulebook:
            return Rulebook(
                name=preset,
                version=version,
                rules=tuple(rules),
                scanner=self._scanner(preset, base, only),
                conditions=_used(base.conditions, rules),
                asking=_asking(rules),
                contextual=tuple(
                    number for number, rule in enumerate(rules) if rule.content is None
                ),
                thresholds=tuple(assembled.thresholds.items()),
                history=assembled.history,
                restore=assembled.restore,
                kinds=kinds,
                commands=_commands(rules),
                **{**EMPTY, **more},
            )

        return book(
            [rule for rule in rules if "request" in rule.directions],
            **more,
            answers=book(answers, _few(answers, patterns), **more) if answers else None,
            stream=book(
                stream,
                _few(stream, patterns),
                partial=partial_matches(stream, base.conditions, patterns),
            )
            if stream
            else None,
            of_commands=book(commands, _patterns(commands)) if commands else None,
        )

    def _assembled(
        self, preset: str, tenant: str, known: Sequence[tuple[Rule, Pattern]]
    ) -> tuple[Assembled, Base]:
        """The rules of a tenant as written, and all that they look for. Raises BadRules."""
        assembled = self.written.assemble(preset, tenant, [rule for rule, _ in known])
        base = self.base.extended()
        complaints: list[Complaint] = []
        own = [rule for rule in assembled.rules.values() if not is_known(rule)]
        self._compile(own, base, complaints)
        base.end_layer()
        base.add_known(known)
        self._compile(filter(is_known, assembled.rules.values()), base, complaints)
        if complaints:
            raise BadRules(complaints)
        return assembled, base

    def _strict(
        self, ours: Iterable[CompiledRule], tenant: str, known: Iterable[Rule]
    ) -> Policy | None:
        """What `strict` has otherwise, of the rules that this preset has, too."""
        if SHIPPED + STRICT not in self.written.texts:
            return None
        strict = self.written.assemble(STRICT, tenant, known)
        instead: dict[str, CompiledRule | None] = {}
        for rule in ours:
            other = strict.rules.get(rule.id)
            if other is None or other.mode == "off":
                instead[rule.id] = None
                continue
            changed = replace(
                rule,
                action=other.action,
                monitor=other.mode == "monitor",
                head=other.head,
                score=other.score,
                severity=other.severity,
                priority=other.weight,
            )
            if changed != rule:
                instead[rule.id] = changed
        return Policy(tuple(strict.thresholds.items()), strict.history, instead)

    def _compiled_rule(self, rule: Rule, base: Base) -> CompiledRule:
        """A compiled rule. All rulebooks share the ones that no override patched."""
        shared = self._base.rules
        if id(rule) not in self._base.known:
            return compile_rule(rule, base)
        if id(rule) not in shared:
            shared[id(rule)] = compile_rule(rule, base)
        return shared[id(rule)]

    def _scanner(
        self, preset: str, base: Base, only: Collection[int] | None = None
    ) -> Scanner:
        try:
            return Scanner(
                base.layers,
                portable=self._portable,
                store=self._store,
                without=self.without,
                only=only,
            )
        except BadPattern as error:
            at = Mark(file_name(SHIPPED + preset), 1, 1)
            raise BadRules(
                [Complaint(at, str(error), "use fewer or shorter keywords")]
            ) from None


def _used(conditions: Conditions, rules: Iterable[CompiledRule]) -> Conditions:
    """The conditions of these rules, and of their exceptions."""
    return conditions.only(
        one
        for rule in rules
        for one in (rule.when, *(exempt.when for exempt in rule.exempt))
    )


def _commands(rules: Iterable[CompiledRule]) -> frozenset[int]:
    return frozenset().union(
        *(commands_of(rule.content) for rule in rules if rule.content is not None)
    )


def _asking(rules: Iterable[CompiledRule]) -> dict[int, tuple[int, ...]]:
    asking: dict[int, list[int]] = {}
    for number, rule in enumerate(rules):
        for pattern in patterns_of(rule.content) if rule.content else ():
            asking.setdefault(pattern, []).append(number)
    return {pattern: tuple(numbers) for pattern, numbers in asking.items()}


def _few(
    rules: Iterable[CompiledRule], patterns: Sequence[Pattern]
) -> frozenset[int] | None:
    """What these rules look for; None where that is most of all patterns, which are
    compiled together anyway.
    """
    found = _patterns(rules)
    return found if 2 * len(found) < len(patterns) else None


def _patterns(rules: Iterable[CompiledRule]) -> frozenset[int]:
    return frozenset().union(
        *(mentioned(rule.content) for rule in rules if rule.content is not None)
    )
