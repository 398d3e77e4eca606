"""Finds a redacted value wherever else it stands in the same call.

    "STRIPE_KEY=sk_live_9f…"  redacted by its name       → [REDACTED:…]
    "curl -u sk_live_9f…:"    no rule finds it here      → the same placeholder

Else a value that a client got back (`redact: restore`) would leave on the next turn, and one
that a rule knows by its context would leave out of context. Only values that are hardly
anything else: long enough, and no word.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate

from rules.exchange import Part
from rules.scan import Finding

# Characters of a value that is looked for elsewhere. Shorter ones, and words, stand in texts
# by chance: `password = postgres` must not take out every `postgres`.
SHORTEST = 8
LONG = 16  # from here on, it is the value even as a piece of a longer word
# Values of one call that are looked for, as many as an answer may get back. Each costs a
# search through all its texts, some 0.1 ms for 1 MB; a file of secrets has some tens.
MAX_VALUES = 1_000
# Places of values that are taken out one by one; from then on, of each text that has a value
# all is. An honest call has some hundred.
MAX_PLACES = 10_000
BETWEEN = "\0"


def values_of(findings: Iterable[Finding], parts: Sequence[Part]) -> Iterator[str]:
    """The values of findings that may be looked for: each stands in one text, as such."""
    for finding in findings:
        ((text, start, end), *more) = finding.places
        value = parts[text].text[start:end]
        if (
            not more
            and finding.view.depth == 0
            and len(value) >= SHORTEST
            and not value.isalpha()
        ):
            yield value


def places_of(
    values: Mapping[str, object], parts: Sequence[Part]
) -> Iterator[tuple[str, int, int, int]]:
    """Each value, and the text, start and end where it stands by itself."""
    # One search through all texts for each value; no value has the sign between them.
    joined, count = BETWEEN.join(part.text for part in parts), 0
    starts = [0, *accumulate(len(part.text) + 1 for part in parts)]
    for value in list(values)[:MAX_VALUES]:
        at = joined.find(value) if BETWEEN not in value else -1
        while at >= 0:
            end = at + len(value)
            if len(value) >= LONG or _is_free(joined, at, end):
                number = bisect_right(starts, at) - 1
                first, last = starts[number], starts[number + 1] - 1
                count += 1
                if count > MAX_PLACES:
                    at, end = first, last
                yield value, number, at - first, end - first
            at = joined.find(value, end)


def _is_free(text: str, start: int, end: int) -> bool:
    """Whether it is not a piece of a longer word."""
    before, after = text[start - 1 : start], text[end : end + 1]
    return not (before.isalnum() and text[start].isalnum()) and not (
        after.isalnum() and text[end - 1].isalnum()
    )
