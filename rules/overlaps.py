"""Which of several redacting rules makes the placeholder, where they find the same."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from rules.rulebook import CompiledRule
from rules.verdict import Fired

MAX_PLACES = 2_000  # of one exchange that are compared


class Overlap(NamedTuple):
    """A rule whose findings got the placeholder of another one."""

    loser: CompiledRule
    winner: CompiledRule


def overlaps(fired: Iterable[Fired]) -> list[Overlap]:
    """Each pair once. The higher priority wins; of equal ones, what begins first, then what
    is longer.
    """
    by_text: defaultdict[int, list[tuple[int, int, CompiledRule]]] = defaultdict(list)
    count = 0
    for one in fired:
        if one.rule.action != "redact" or one.rule.monitor:
            continue
        for text, start, end in (p for f in one.findings for p in f.places):
            count += 1
            if count <= MAX_PLACES:
                by_text[text].append((start, end, one.rule))
    pairs: dict[Overlap, None] = {}
    for places in by_text.values():
        pairs |= dict.fromkeys(_in_one_text(places))
    return list(pairs)


def _in_one_text(places: list[tuple[int, int, CompiledRule]]) -> Iterator[Overlap]:
    places.sort(key=lambda place: (place[0], -place[1]))
    run: list[CompiledRule] = []  # rules of places that overlap, in their order
    reach = -1
    for start, end, rule in places:
        if start >= reach:
            yield from _in_one_run(run)
            run = []
        run.append(rule)
        reach = max(reach, end)
    yield from _in_one_run(run)


def _in_one_run(run: list[CompiledRule]) -> Iterator[Overlap]:
    if run:
        winner = max(run, key=lambda rule: rule.priority)  # the first of equal ones
        for rule in run:
            if rule.id != winner.id:
                yield Overlap(rule, winner)
