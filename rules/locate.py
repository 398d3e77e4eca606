"""Stage 2 of a scan: where a pattern occurs in one text, by RE2, in windows around the
bytes that stage 1 named.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, groupby
from typing import NamedTuple

from rules.patterns import CONTINUATION, Regex, compile_regex, width

# Findings of a text with more than SHORT bytes, where stage 1 had too many matches to
# note their bytes.
FEW = 20
# Bytes of a text that is scanned whole.
SHORT = 1024
# Findings of a pattern in a text; the rest of the text is one more finding.
MAX_FINDINGS = 200
SECRET = b"secret"  # the group that is the finding, where a regex has it
# Our placeholders as `redact.placeholder` writes them, with their kind.
STAND_IN = "[REDACTED:"
OWN_STAND_IN = re.compile(r"\[REDACTED:(\w{1,80})_[b-t]{8}\]")
LONGEST_STAND_IN = 110  # characters
SURROGATE = re.compile("[\ud800-\udfff]")
# RE2 folds these to `k` and `s`; hyperscan over bytes does not.
KELVIN, LONG_S = "\u212a", "\u017f"

# Start and end in characters; whether it was looked at by itself.
Span = tuple[int, int, bool]


class Pattern(NamedTuple):
    """What to find.

    With `near`: only within `within` characters of a match of that regex. A `private` one
    is never written down.
    """

    regex: str
    near: str = ""
    within: int = 0
    private: bool = False

    def __repr__(self) -> str:
        return "Pattern(private)" if self.private else f"Pattern{tuple(self)}"

    @property
    def trigger(self) -> str:
        """The expression that stage 1 looks for."""
        return self.near or self.regex


class Locator:
    """A pattern, compiled."""

    __slots__ = (
        "_group",
        "_near",
        "_near_width",
        "_regex",
        "_width",
        "_within",
        "touching",
    )

    def __init__(self, pattern: Pattern):
        self._regex = compile_regex(pattern.regex)
        self._width = width(pattern.regex)
        self._group = self._regex.groupindex.get(SECRET, 0)
        self._within = pattern.within
        self._near = compile_regex(pattern.near) if pattern.near else None
        self._near_width = width(pattern.near) if pattern.near else None
        self.touching = "(?m)" + pattern.trigger

    def occurs(self, data: bytes) -> bool:
        """Whether the pattern occurs in a text."""
        return (
            self._near is None or self._near.search(data) is not None
        ) and self._regex.search(data) is not None

    def spans(self, text: str, data: bytes, ends: list[int] | None) -> Iterator[Span]:
        """Where the pattern occurs in a text, given as characters and as bytes.

        `ends` are the bytes behind matches of its trigger; None: anywhere.
        """
        # Then a byte is a character, and nothing has to be mapped.
        ascii = len(data) == len(text)
        most = MAX_FINDINGS if ends is not None or len(data) <= SHORT else FEW
        places = None if ascii else _Characters(data)
        windows = (
            _windows(ends, self._width, ascii, len(data))
            if self._near is None
            else None
        )
        words: list[tuple[int, int]] = []
        if self._near is not None:
            for match in _matches(
                self._near, data, _windows(ends, self._near_width, ascii, len(data))
            ):
                words.append(places.of(*match.span()) if places else match.span())
                if len(words) > MAX_FINDINGS:  # the whole text
                    words, windows = [(0, len(text))], [(0, len(data))]
                    break
            if STAND_IN in text:
                words = _outside_of_ours(text, words)
            if not words:
                return
            windows = windows or self._around(words, places, ascii, len(data))
        count = 0
        for match in self._found(data, windows or ()):
            start, end = places.of(*match.span()) if places else match.span()
            if start == end or (
                words and not _is_near(start, end, words, self._within)
            ):
                continue
            if self._group and match.span(self._group)[0] >= 0:
                start, end = (
                    places.of(*match.span(self._group))
                    if places
                    else match.span(self._group)
                )
            count += 1
            yield start, len(text) if count == most else end, count < most
            # The rest of the text is part of this last finding.
            if count == most:
                return

    def _found(
        self, data: bytes, windows: Sequence[tuple[int, int]]
    ) -> Iterator["re.Match[bytes]"]:
        """Matches. Where a group is the finding, the search continues behind the group.

        What stood beside one finding may stand beside the next, too.
        """
        if not self._group:
            yield from _matches(self._regex, data, windows)
            return
        for first, last in windows:
            at, last = first, min(last, len(data))
            while (
                at <= last and (match := self._regex.search(data, at, last)) is not None
            ):
                yield match
                # At least one byte on: an empty group would be found for ever.
                at = max(
                    match.span(self._group)[1]
                    if match.span(self._group)[1] > at
                    else match.end(),
                    at + 1,
                )

    def _around(
        self,
        words: Sequence[tuple[int, int]],
        places: "_Characters | None",
        ascii: bool,
        length: int,
    ) -> list[tuple[int, int]]:
        """Stretches of bytes around keywords, wide enough for a match and its distance."""
        if self._width is None:
            return [(0, length)]
        reach = (self._within + self._width) * (1 if ascii else 4)
        inside = (places.back(*word) if places else word for word in words)
        return _merged((start - reach, end + reach) for start, end in inside)


def _matches(
    regex: Regex, data: bytes, windows: Sequence[tuple[int, int]]
) -> Iterator["re.Match[bytes]"]:
    for first, last in windows:
        yield from regex.finditer(data, first, last)


def _windows(
    ends: list[int] | None, widest: int | None, ascii: bool, length: int
) -> list[tuple[int, int]]:
    """Stretches of bytes that hold every match that ends at one of `ends`, with what
    follows from it.

    The whole text where `ends` is None.
    """
    if ends is None or widest is None:
        return [(0, length)]
    # Four bytes a character, and one for what `\b` looks at.
    reach = widest * (1 if ascii else 4) + 1
    return (
        _merged((end - reach, end + reach) for end in ends)
        if length > reach
        else [(0, length)]
    )


def _merged(stretches: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, end in stretches:
        start = max(start, 0)
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _is_near(
    start: int, end: int, words: Sequence[tuple[int, int]], within: int
) -> bool:
    return any(
        first - end <= within and start - last <= within for first, last in words
    )


class Buffer:
    """Texts joined for stage 1, and the way back to each of them."""

    def __init__(self, texts: Sequence[str]):
        self.texts = texts
        joined = "\n".join(texts)
        self.ascii = joined.isascii()
        self.folds = not self.ascii and (KELVIN in joined or LONG_S in joined)
        self.data = encoded(joined + "\n")
        self._starts: list[int] | None = None

    @property
    def starts(self) -> list[int]:
        """The byte at which each text begins, and one past the last."""
        if self._starts is None:
            # One more each: the newline that joins them.
            lengths = (
                map(len, self.texts)
                if self.ascii
                else (len(encoded(text)) for text in self.texts)
            )
            self._starts = list(
                accumulate((length + 1 for length in lengths), initial=0)
            )
        return self._starts

    def bytes_of(self, index: int) -> bytes:
        """One text."""
        return self.data[self.starts[index] : self.starts[index + 1] - 1]

    def touched(
        self, locator: Locator, ends: Sequence[int] | None
    ) -> Iterator[tuple[int, list[int] | None]]:
        """The texts in which a pattern may occur, each with the bytes behind its
        trigger's matches there.
        """
        if ends is None:
            yield from (
                (index, None)
                for index in self._touching(compile_regex(locator.touching))
            )
            return
        starts, last = self.starts, len(self.texts) - 1
        # The byte behind a match may be the newline: the match is in the text before it.
        for index, group in groupby(
            sorted(ends), lambda end: min(bisect_right(starts, end) - 1, last)
        ):
            yield index, [end - starts[index] for end in group]

    def _touching(self, regex: Regex) -> Iterator[int]:
        """The texts that matches in the joined text touch.

        A match inside one text can be missing only where another match took its first
        character, and that one touches the text, too.
        """
        done, starts, last_index = -1, self.starts, len(self.texts) - 1
        while (
            done < last_index
            and (match := regex.search(self.data, starts[done + 1])) is not None
        ):
            first, last = (bisect_right(starts, place) - 1 for place in match.span())
            yield from range(max(first, done + 1), min(last, last_index) + 1)
            done = max(done, last)


class _Characters:
    """Maps the bytes of a text to its characters; counts only as far as it is asked."""

    def __init__(self, data: bytes):
        self._data = data
        self._known = [(0, 0)]  # (byte, character), ascending
        self._bytes: dict[int, int] = {0: 0}

    def of(self, start: int, end: int) -> tuple[int, int]:
        """The characters that begin at these bytes."""
        return self._count(start), self._count(end)

    def back(self, start: int, end: int) -> tuple[int, int]:
        """The bytes of characters that were counted before."""
        return self._bytes[start], self._bytes[end]

    def _count(self, byte: int) -> int:
        index = bisect_right(self._known, (byte, len(self._data))) - 1
        at, count = self._known[index]
        if at != byte:
            count += len(self._data[at:byte].translate(None, CONTINUATION))
            self._known.insert(index + 1, (byte, count))
            self._bytes[count] = byte
        return count


def encoded(text: str) -> bytes:
    """UTF-8. Lone surrogates become U+FFFD, which is as long.

    Two characters that RE2 folds into ASCII letters, and stage 1 does not, are
    replaced; they trip a wire.
    """
    if not text.isascii() and (KELVIN in text or LONG_S in text):
        text = text.replace(KELVIN, "\ufffd").replace(LONG_S, "\u0180")
    try:
        return text.encode()
    except UnicodeEncodeError:
        return SURROGATE.sub("\ufffd", text).encode()


def _outside_of_ours(text: str, words: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The words that do not stand inside of our placeholders: a rule's name there says nothing of
    what stands beside it.
    """
    return [
        (start, end)
        for start, end in words
        if (at := text.rfind(STAND_IN, max(0, start - LONGEST_STAND_IN), start)) < 0
        or (ours := OWN_STAND_IN.match(text, at)) is None
        or ours.end() < end
    ]
