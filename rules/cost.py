"""Measures what rules cost: the patterns of each by themselves over one text, and the
whole rulebook over it.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from rules.content import patterns_of
from rules.hyperscan_engine import Hyper, sound
from rules.lint import BENIGN
from rules.load import Library
from rules.re2_engine import Portable
from rules.scan import Scanner

# Runs, of which the least counts: others only add noise.
ROUNDS = 5
SIZE = 64 * 1024  # bytes of text that each rule scans


@dataclass(frozen=True, slots=True)
class Cost:
    """Microseconds of one core for 16 KB, and the matches of the rule's stage 1 in
    them.
    """

    rule: str
    microseconds: float
    alarms: float


def sample(library: Library, preset: str) -> str:
    """Ordinary text, and texts that rules must leave alone, which are hardest to tell
    from findings.
    """
    rules = library.written.assemble(preset).rules.values()
    texts = [
        *BENIGN * 8,
        *(
            test.text
            for rule in rules
            for test in rule.tests
            if not test.must_match and test.text
        ),
    ]
    joined = "\n".join(texts)
    return (joined * (SIZE // max(1, len(joined)) + 1))[:SIZE]


def costs(library: Library, preset: str, tenant: str = "") -> Iterator[Cost]:
    """The cost of each rule that scans text."""
    text = sample(library, preset).encode("utf-8", "replace")
    book = library.rulebook(preset, tenant)
    rules = {
        rule.id: rule
        for one in (book, book.answers)
        if one is not None
        for rule in one.rules
    }
    for rule in rules.values():
        triggers = (
            sorted(
                {
                    book.scanner.patterns[number].trigger
                    for number in patterns_of(rule.content)
                }
            )
            if rule.content
            else []
        )
        if triggers:
            engine = Hyper(triggers) if sound() else Portable(triggers)
            alarms = sum(
                len(ends) if ends else 1 for ends in engine.ends(text).values()
            )
            spent = _microseconds(partial(engine.ends, text))
            yield Cost(rule.id, spent * 16384 / len(text), alarms * 16384 / len(text))


def whole(library: Library, preset: str, tenant: str = "") -> float:
    """Microseconds for 16 KB of the whole rulebook, stage 2 included."""
    text = sample(library, preset)
    scanner: Scanner = library.rulebook(preset, tenant).scanner
    return _microseconds(lambda: scanner.scan([text])) * 16384 / len(text)


def _microseconds(work: Callable[[], object]) -> float:
    taken = []
    for _ in range(ROUNDS):
        began = time.thread_time_ns()
        work()
        taken.append(time.thread_time_ns() - began)
    return min(taken) / 1000
