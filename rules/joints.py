"""Texts that a reader would take as one, and what stands where they meet: a secret may be split over two of them."""

import string
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple

from rules.exchange import Part
from rules.views import Back, Place, View

# Parts whose joints form one view; the last four belong to the next view, too.
JOINED = 16
# Where parts are short, those of one view have this many characters, half of which the next
# view has, too: a key may be sent letter by letter.
CHARACTERS = 512
EDGE = 128  # characters on each side of a joint
WORD = frozenset(string.ascii_letters + string.digits + "+/_-=")


def runs(parts: Sequence[Part]) -> list[list[int]]:
    """Parts whose texts a reader may take as one: blocks of one speaker, and parts cut
    inside a word.
    """
    found: list[list[int]] = []
    speaker, end, last = "", "", 0
    # `AKIAIOSF` at the end of one block and `ODNN7EXAMPLE` at the start of the next are one
    # key to a model. Names and attributes between them part nothing: they are passed over.
    for number, (text, role, kind, *_) in enumerate(parts):
        if not text or kind not in ("text", "tool_result"):
            continue
        if speaker == role or (end in WORD and text[0] in WORD):
            if not found or found[-1][-1] != last:
                found.append([last])
            found[-1].append(number)
        speaker, end, last = role, text[-1], number
    return found


def joints(texts: Sequence[str], runs: Sequence[Sequence[int]]) -> Iterator[View]:
    """A view for each run of texts: what stands where they meet, without a separator."""
    for run in (run for whole in runs for run in _windows(texts, whole)):
        pieces: list[_Cut] = []
        for number in run:
            text = texts[number]
            # A short text is there whole: a secret may run through it.
            if len(text) <= 2 * EDGE:
                pieces.append(_Cut(text, number, 0))
            else:
                pieces += [
                    _Cut(text[:EDGE], number, 0, ends=True),
                    _Cut("\n", -1, 0),
                    _Cut(text[-EDGE:], number, len(text) - EDGE, begins=True),
                ]
        yield View("".join(piece.text for piece in pieces), _joined_back(pieces))


def _windows(texts: Sequence[str], whole: Sequence[int]) -> Iterator[Sequence[int]]:
    """The parts of each view. Views overlap, so that a secret cut into five pieces, or into
    single letters, is whole in one of them.
    """
    ends = list(accumulate((len(texts[number]) for number in whole), initial=0))
    at = 0
    while at < max(1, len(whole) - 1):
        end = max(at + JOINED, bisect_right(ends, ends[at] + CHARACTERS) - 1)
        yield whole[at:end]
        half = bisect_right(ends, ends[at] + CHARACTERS // 2) - 1
        at = max(at + JOINED - 4, half)


class _Cut(NamedTuple):
    """A piece of text `number`, from `at` on.

    `begins`, `ends`: it is cut there, so a finding that touches that edge is none.
    """

    text: str
    number: int
    at: int
    begins: bool = False
    ends: bool = False


def _joined_back(pieces: Sequence[_Cut]) -> Back:
    bounds = list(accumulate((len(piece.text) for piece in pieces), initial=0))

    def back(start: int, end: int) -> list[Place]:
        places = []
        for index in range(bisect_right(bounds, start) - 1, len(pieces)):
            if bounds[index] >= end:
                break
            piece = pieces[index]
            first = max(start, bounds[index]) - bounds[index]
            last = min(end, bounds[index + 1]) - bounds[index]
            if (
                piece.number < 0
                or (piece.begins and first == 0)
                or (piece.ends and last == len(piece.text))
            ):
                return []
            # What is empty here only touches the finding.
            if first < last:
                places.append((piece.number, piece.at + first, piece.at + last))
        return places

    return back
