"""What rules cost: each one's patterns by themselves over the same text, and the whole rulebook over it."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from rules.content import patterns_of
from rules.hyper import Hyper, sound
from rules.lint import BENIGN
from rules.load import Library
from rules.portable import Portable
from rules.scan import Scanner

ROUNDS = 5
SIZE = 64 * 1024  # bytes of text that each rule looks at


@dataclass(frozen=True, slots=True)
class Cost:
    """Microseconds of one core for 16 KB, and how often the rule's first stage was tripped in them."""

    rule: str
    microseconds: float
    alarms: float


def sample(library: Library, preset: str) -> str:
    """Ordinary text and what rules must leave alone, which is what is hardest to tell from what they find."""
    rules = library.assemble(preset).rules.values()
    texts = [
        *BENIGN * 8,
        *(test.text for rule in rules for test in rule.tests if not test.must_match and test.text),
    ]
    joined = "\n".join(texts)
    return (joined * (SIZE // max(1, len(joined)) + 1))[:SIZE]


def costs(library: Library, preset: str, tenant: str = "") -> Iterator[Cost]:
    """Each rule that looks at text."""
    text = sample(library, preset).encode("utf-8", "replace")
    book = library.rulebook(preset, tenant)
    judges = {judge.id: judge for one in (book, book.answers) if one is not None for judge in one.judges}
    for judge in judges.values():
        triggers = (
            sorted({book.scanner.patterns[number].trigger for number in patterns_of(judge.content)})
            if judge.content
            else []
        )
        if triggers:
            engine = Hyper(triggers) if sound() else Portable(triggers)
            alarms = sum(len(ends) if ends else 1 for ends in engine.ends(text).values())
            spent = _microseconds(partial(engine.ends, text))
            yield Cost(judge.id, spent * 16384 / len(text), alarms * 16384 / len(text))


def whole(library: Library, preset: str, tenant: str = "") -> float:
    """Microseconds for 16 KB of the whole rulebook, places and all."""
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
