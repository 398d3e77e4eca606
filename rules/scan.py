"""The one multi-pattern pass: which patterns occur anywhere in a call's texts, then where, in each text by itself.

Stage 1 looks at all texts joined by newlines and may only be too generous; stage 2 runs the patterns that stage 1 named over
each text alone, so nothing is found across a joint. RE2 throughout: linear in the text, whatever the pattern.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Protocol

import re2

MAX_PATTERN_MEMORY = 32 * 1024 * 1024  # bytes RE2 may use for one pattern and its cache
MAX_FINDINGS = 200  # per pattern and text; what lies behind the 200th is covered by one finding to the text's end


class BadPattern(ValueError):
    """Not a pattern we can use, and why."""


class Pattern(Protocol):
    """A compiled RE2 pattern over UTF-8 bytes."""

    def finditer(self, text: bytes) -> Iterable["re.Match[bytes]"]: ...

    def search(self, text: bytes) -> "re.Match[bytes] | None": ...


@dataclass(frozen=True, slots=True)
class Finding:
    """Pattern `pattern` occurs in text `text` from `start` to `end`, counted in characters."""

    pattern: int
    text: int
    start: int
    end: int


def keywords_as_regex(keywords: Sequence[str]) -> str:
    """Any of the keywords: case and white space folded, whole words where they begin or end with an ASCII word character."""

    def one(keyword: str) -> str:
        words = keyword.split()
        body = r"\s+".join(re2.escape(word) for word in words)
        before = r"\b" if re.match(r"\w", keyword[:1], re.ASCII) else ""
        after = r"\b" if re.match(r"\w", keyword[-1:], re.ASCII) else ""
        return before + body + after

    return "(?i)(?:" + "|".join(map(one, keywords)) + ")"


def compile_pattern(regex: str) -> Pattern:
    """Raises BadPattern, in words, for what RE2 cannot do, for an empty match, and for anchors to the whole text."""
    if re.search(r"(?<!\\)(?:\\\\)*\\[Az]", regex):
        raise BadPattern(r"`\A` and `\z` are not supported; use `^` and `$`, which mean the start and end of a text")
    if re.search(r"\(\?[a-zA-Z]*-[a-zA-Z]*m", regex):
        raise BadPattern("the flag `m` cannot be switched off; `^` and `$` already mean the start and end of a text")
    try:
        pattern: Pattern = re2.compile(regex.encode(), _options())
        empty = pattern.search(b"")
    except re2.error as error:
        reason = error.args[0].decode() if error.args and isinstance(error.args[0], bytes) else str(error)
        raise BadPattern(f"regex is not linear-time (RE2): {reason}") from None
    if empty is not None:
        raise BadPattern("the regex matches the empty text, so it would fire everywhere")
    return pattern


def _options() -> "re2.Options":
    options = re2.Options()
    options.log_errors = False
    options.max_mem = MAX_PATTERN_MEMORY
    return options


class Scanner:
    """All patterns of a rulebook, compiled once and never changed."""

    def __init__(self, regexes: Sequence[str]):
        self._patterns = [compile_pattern(regex) for regex in regexes]
        self._filter = re2.Filter()
        # In the joined text ^ and $ must also mean a text's edge, or stage 1 would miss what stage 2 finds.
        joined = [("(?m)" + regex).encode() for regex in regexes]
        try:
            self._joined: list[Pattern] = [re2.compile(regex, _options()) for regex in joined]
            for regex in joined:
                self._filter.Add(regex, _options())
            if regexes:
                self._filter.Compile()
        except re2.error as error:
            raise BadPattern(f"all patterns together are too large for RE2: {error}") from None

    def scan(self, texts: Sequence[str]) -> list[Finding]:
        """Every finding, ordered by pattern, text and place."""
        if not self._patterns or not texts:
            return []
        encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
        joined = b"\n".join(encoded)
        fired = self._filter.Match(joined)
        if not fired:
            return []
        starts = list(accumulate((len(text) + 1 for text in encoded), initial=0))
        findings: list[Finding] = []
        for pattern in sorted(fired):
            for index in self._touched(pattern, joined, starts, len(texts)):
                findings.extend(self._locate(pattern, index, encoded[index]))
        return findings

    def _touched(self, pattern: int, joined: bytes, starts: Sequence[int], count: int) -> Iterator[int]:
        """The texts in which a pattern may occur: those that its matches in the joined text touch.

        A match in one text alone can be missing there only because another match took its first character; that one touches the text, too.
        """
        done = -1
        for match in self._joined[pattern].finditer(joined):
            first, last = (bisect_right(starts, place) - 1 for place in match.span())
            yield from range(max(first, done + 1), min(last, count - 1) + 1)
            done = max(done, last)

    def _locate(self, pattern: int, index: int, text: bytes) -> Iterable[Finding]:
        place, at = 0, 0  # characters before byte `at`
        count = 0
        for match in self._patterns[pattern].finditer(text):
            start, end = match.span()
            if start == end:
                continue
            count += 1
            if count == MAX_FINDINGS:
                end = len(text)
            first = place + _characters(text[at:start]) - (text[start] & 0xC0 == 0x80)
            place, at = first + _characters(text[start:end]) + (text[start] & 0xC0 == 0x80), end
            yield Finding(pattern, index, first, place)
            if count == MAX_FINDINGS:
                return


CONTINUATION = bytes(range(0x80, 0xC0))


def _characters(data: bytes) -> int:
    """How many characters begin in `data`: UTF-8 bytes that continue one are not counted."""
    return len(data.translate(None, CONTINUATION))
