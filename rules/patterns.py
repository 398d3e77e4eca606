"""Regular expressions and keywords, compiled by RE2: linear in the text, whatever the
pattern.
"""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Protocol

import re2

from rules.regex_tree import tree_of

# Bytes that RE2 may use for a pattern and its cache
MAX_PATTERN_MEMORY = 8 * 1024 * 1024
# characters; a wider pattern is searched in whole texts, not in windows
MAX_WIDTH = 4096

# Letters that people write with and without their marks, and Arabic ones that they
# interchange.
MARKED = {mark: base for base, marks in {
    "a": "áàâäãå", "c": "ç", "e": "éèêë", "i": "íìîï", "n": "ñ", "o": "óòôöõ", "u": "úùûü", "y": "ýÿ",
}.items() for mark in marks}  # fmt: skip
EXCHANGED = ("اأإآ", "ةه", "ىي", "'’")
CONTINUATION = bytes(range(0x80, 0xC0))  # bytes of UTF-8 that continue a character
# White space between the words of a keyword, with no-break spaces.
SPACE = r"[\s\x{a0}\x{202f}]{1,8}"
# And in names of fields, where single words would stand far too often.
SPACE_IN_NAMES, EDGE_IN_NAMES = r"[\s\x{a0}\x{202f}_-]{0,8}", r"(?:\b|_)"


class BadPattern(ValueError):
    """A pattern that cannot be used, and why."""


class Regex(Protocol):
    """A compiled RE2 pattern over UTF-8 bytes.

    `pos` and `endpos` bound a search; edges still see what stands outside.
    """

    def finditer(
        self, text: bytes, pos: int = 0, endpos: int | None = None
    ) -> Iterable["re.Match[bytes]"]: ...

    def search(
        self, text: bytes, pos: int = 0, endpos: int | None = None
    ) -> "re.Match[bytes] | None": ...

    @property
    def groupindex(self) -> dict[bytes, int]: ...


def keywords_as_regex(keywords: Sequence[str]) -> str:
    """A regex for any of the keywords.

    Whole words, where they begin or end with an ASCII word character. Case, spaces and
    marks are folded.
    """

    return _any_of(_keyword(word, SPACE, r"\b") for word in keywords)


def near_as_regex(keywords: Sequence[str]) -> str:
    """As `keywords_as_regex`, but what has several words may be the name of a field, too:
    `phone number` is also `home_phone_number` and `phoneNumber`.
    """
    several = (re.sub(r"(?<=\w)-(?=\w)", " ", keyword) for keyword in keywords)
    return _any_of(
        _keyword(word, SPACE_IN_NAMES, EDGE_IN_NAMES)
        if " " in word
        else _keyword(word, SPACE, r"\b")
        for word in several
    )


def _any_of(regexes: Iterable[str]) -> str:
    return f"(?i)(?:{'|'.join(regexes)})"


def _keyword(keyword: str, space: str, edge: str) -> str:
    body = space.join("".join(map(_folded, word)) for word in keyword.split())
    before = edge if re.match(r"\w", keyword[:1], re.ASCII) else ""
    after = edge if re.match(r"\w", keyword[-1:], re.ASCII) else ""
    return before + body + after


def _folded(character: str) -> str:
    base = MARKED.get(character.lower())
    if base:
        return rf"(?:{character}|{base}\x{{301}}?)"
    group = next((group for group in EXCHANGED if character in group), None)
    return f"[{group}]" if group else escaped(character)


def escaped(text: str) -> str:
    """A regex for exactly this text."""
    return str(re2.escape(text))


@lru_cache(maxsize=8192)
def compile_regex(regex: str) -> Regex:
    """A pattern, compiled when it is first searched for.

    Raises BadPattern for what RE2 cannot do, an empty match, or anchors to the text.
    """
    if re.search(r"(?<!\\)(?:\\\\)*\\[AzC]", regex):
        raise BadPattern(
            r"`\A`, `\z` and `\C` are not supported; use `^` and `$`, which mean the start and end of a text"
        )
    if re.search(r"\(\?[a-zA-Z]*-[a-zA-Z]*m", regex):
        raise BadPattern(
            "the flag `m` cannot be switched off; `^` and `$` already mean the start and end of a text"
        )
    if re.search(r"\(\?[a-zA-Z]*U", regex):
        raise BadPattern(
            "the flag `U` is not supported; write `*?` or `+?` where the shortest is meant"
        )
    try:
        pattern: Regex = re2.compile(regex.encode(), options())
        empty = pattern.search(b"")
    except re2.error as error:
        reason = (
            error.args[0].decode()
            if error.args and isinstance(error.args[0], bytes)
            else str(error)
        )
        raise BadPattern(f"regex is not linear-time (RE2): {reason}") from None
    except UnicodeEncodeError:
        raise BadPattern("the regex holds half of a surrogate pair") from None
    if empty is not None:
        raise BadPattern(
            "the regex matches the empty text, so it would fire everywhere"
        )
    return _Late(regex, pattern.groupindex)


class _Late:
    """A pattern that is known to compile, and does once a text is searched for it.

    Stage 1 asks for few of a rulebook's 1,300 patterns, and each takes some 25 KB.
    """

    __slots__ = ("_compiled", "_regex", "groupindex")

    def __init__(self, regex: str, groupindex: dict[bytes, int]):
        self._regex, self.groupindex = regex, groupindex
        self._compiled: Regex | None = None

    def finditer(
        self, text: bytes, pos: int = 0, endpos: int | None = None
    ) -> Iterable["re.Match[bytes]"]:
        compiled = self._compiled or self._compile()
        return compiled.finditer(text, pos, len(text) if endpos is None else endpos)

    def search(
        self, text: bytes, pos: int = 0, endpos: int | None = None
    ) -> "re.Match[bytes] | None":
        compiled = self._compiled or self._compile()
        return compiled.search(text, pos, len(text) if endpos is None else endpos)

    def _compile(self) -> Regex:
        compiled: Regex = re2.compile(self._regex.encode(), options())
        self._compiled = compiled
        return compiled


@lru_cache(maxsize=8192)
def joined(regexes: tuple[str, ...]) -> tuple[Regex, ...]:
    """As few patterns as find whether any of these occurs. Each must compile by itself."""
    chosen = options()
    chosen.never_capture = True
    chosen.max_mem = MAX_PATTERN_MEMORY * max(1, len(regexes))
    try:
        return (
            (
                re2.compile(
                    "|".join(f"(?:{regex})" for regex in regexes).encode(), chosen
                ),
            )
            if regexes
            else ()
        )
    except re2.error:  # such as a `\Q` without its end, which would quote what follows
        return tuple(map(compile_regex, regexes))


@lru_cache(maxsize=256)
def at_end(regexes: tuple[str, ...]) -> Regex:
    """A pattern for the earliest match of any of these that reaches the text's end.

    Each must compile by itself.
    """
    chosen = options()
    chosen.never_capture = True
    chosen.max_mem = MAX_PATTERN_MEMORY * max(1, len(regexes))
    pattern: Regex = re2.compile(f"(?:{'|'.join(regexes)})\\z".encode(), chosen)
    return pattern


def options() -> "re2.Options":
    """The options of every RE2 pattern."""
    chosen = re2.Options()
    chosen.log_errors = False
    chosen.max_mem = MAX_PATTERN_MEMORY
    return chosen


def width(regex: str) -> int | None:
    """The most characters of a match; None where that is unknown, or more than MAX_WIDTH."""
    tree = tree_of(regex)
    return tree.most if tree is not None and tree.most <= MAX_WIDTH else None
