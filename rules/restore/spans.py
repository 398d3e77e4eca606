"""A text with its originals put back, and which of them edits and findings cover there."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from rules.content import is_single
from rules.redact import escaped
from rules.restore.original import Original
from rules.verdict import Fired

# What a text may be joined to: letters and digits, which end no word.
JOINT = "Zz0"
# Characters that must follow a place before it is decided while its text grows: farther than
# the exceptions of rules look, and than most of their patterns reach.
LOOKAHEAD = 128


Range = tuple[int, int]  # start and end


class Place(NamedTuple):
    """Where a placeholder stands in a text."""

    original: Original
    start: int
    end: int


def put_back(
    text: str, places: Sequence[Place], *, escape: bool
) -> tuple[str, list[Range]]:
    """The text with its originals, and where they stand in it."""
    pieces, spans, done, length = [], [], 0, 0
    for place in places:
        value = written(place, escape=escape)
        pieces += [text[done : place.start], value]
        length += place.start - done
        spans.append((length, length + len(value)))
        length += len(value)
        done = place.end
    return "".join((*pieces, text[done:])), spans


def covered(spans: Iterable[Range], ranges: Iterable[Range], shift: int) -> set[Range]:
    """The spans that lie in one of the ranges, of a text that begins that much later."""
    wide, inside = sorted(ranges), set[Range]()
    reach = at = 0  # how far those ranges reach that begin before a span
    for start, end in sorted(spans):
        while at < len(wide) and wide[at][0] <= start + shift:
            reach = max(reach, wide[at][1])
            at += 1
        if end + shift <= reach:
            inside.add((start, end))
    return inside


def lasting(fired: Iterable[Fired], length: int) -> Iterator[Range]:
    """What is redacted whatever text follows far behind it: by one finding of a rule that
    asks for no other. One that reaches the text's `length` may grow, and then be none.
    """
    for one in fired:
        rule = one.rule
        if (
            rule.action == "redact"
            and not rule.monitor
            and rule.content is not None
            and is_single(rule.content)
            and all(exempt.near <= LOOKAHEAD // 2 for exempt in rule.exempt)
        ):
            for finding in one.findings:
                yield from ((start, end) for _, start, end in finding.places if end < length)  # fmt: skip


def written(place: Place, *, escape: bool) -> str:
    """A place's value as it stands in the text, or inside of a JSON string."""
    value = place.original.value
    return escaped(value) if escape else value
