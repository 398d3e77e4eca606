"""Finds placeholders in an answer, to put back the originals that they replaced in the call."""

from collections.abc import Sequence

from rules.redact import Edit


class Placeholders:
    """Pairs of a placeholder and its original. At least one pair."""

    def __init__(self, pairs: Sequence[tuple[str, str]]):
        self._pairs = dict(pairs)
        self._longest = max(map(len, self._pairs))
        self._firsts = {placeholder[0] for placeholder in self._pairs}

    def earliest(self, text: str, first: int) -> int:
        """The earliest position, from `first` on, where an unfinished placeholder may begin.

        The text's length where none may.
        """
        for at in range(max(first, len(text) - self._longest + 1), len(text)):
            if text[at] in self._firsts and any(
                placeholder.startswith(text[at:]) for placeholder in self._pairs
            ):
                return at
        return len(text)

    def edits(self, window: str, base: int, first: int, last: int) -> list[Edit]:
        """The edits of the placeholders between `first` and `last`.

        Positions count from the start of a text, of which `window` begins at `base`.
        """
        edits = []
        for placeholder, original in self._pairs.items():
            at = window.find(placeholder, max(0, first - base))
            while 0 <= at < last - base:
                end = at + len(placeholder)
                edits.append(Edit(0, base + at, base + end, original))
                at = window.find(placeholder, end)
        return edits
