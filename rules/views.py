"""Views: second readings of a text in which hidden text shows, with the way back to the original.

    original   "p%61ssword: x"
    view       "password: x"        a finding at 0–8 of the view is at 0–10 of the original

So a redaction edits what the client sent. A view's way back is computed only for a finding.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass

# Shrunk tokens of a view that are followed back one by one; beyond them a finding covers the
# whole text. A megabyte of escaped quotes has as many.
MAX_TOKENS = 20_000

Place = tuple[int, int, int]  # text number, start, end
Back = Callable[[int, int], list[Place]]


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """A reading of a text.

    `back` leads from a span of it to the places in the original texts. `whole` is the view
    that it shows once more as a whole, in fewer characters.
    """

    text: str
    back: Back
    depth: int = 0
    whole: "View | None" = None


def plain(number: int, text: str) -> View:
    """A text as it is."""
    return View(text, lambda start, end: [(number, start, end)])


def shrunk(
    view: View, shown: str, tokens: Callable[[], Iterator[tuple[int, int, int]]]
) -> View:
    """A view in which tokens of the outer text shrank, each (start, end, length).

    The tokens are listed only when a span is followed back.
    """
    starts: list[
        int
        # Positions in the view from which on `shifts` says how far the original is
        # away.
    ] = []
    shifts: list[int] = []
    edges: dict[
        int, int
    ] = {}  # Position of a shrunk token in the view -> its end in the original.

    def learn() -> bool:
        shift = 0
        for start, end, length in tokens():
            if len(starts) > MAX_TOKENS:
                return False
            at = start - shift
            if length:
                edges[at] = end
            shift += end - start - length
            starts.append(at + length)
            shifts.append(shift)
        return True

    known: list[bool] = []

    def place(at: int) -> int:
        stretch = bisect_right(starts, at) - 1
        return at + (shifts[stretch] if stretch >= 0 else 0)

    def back(start: int, end: int) -> list[Place]:
        if not known:
            known.append(learn())
        if not known[0]:
            return view.back(0, len(view.text))
        last = end - 1
        return view.back(place(start), edges.get(last, place(last) + 1))

    return View(shown, back, view.depth + 1, view.whole or view)


def covering(view: View, first: int, last: int) -> Back:
    """A way back that leads from any span to the whole of `first` to `last`."""
    return lambda start, end: view.back(first, last)
