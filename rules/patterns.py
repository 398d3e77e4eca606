"""Regular expressions and keywords, as RE2 understands them: linear in the text, whatever the pattern."""

import re
import warnings
from collections.abc import Iterable, Sequence
from functools import lru_cache
from re import _parser as sre  # type: ignore[attr-defined]  # the only tree of a pattern that Python offers; used for widths alone
from typing import Protocol

import re2

MAX_PATTERN_MEMORY = 8 * 1024 * 1024  # bytes RE2 may use for one pattern and its cache
MAX_WIDTH = 4096  # characters; a pattern that may match more is looked for in whole texts, not in windows

# Letters that people write with and without their marks, and Arabic ones that are exchanged for one another.
MARKED = {mark: base for base, marks in {
    "a": "áàâäãå", "c": "ç", "e": "éèêë", "i": "íìîï", "n": "ñ", "o": "óòôöõ", "u": "úùûü", "y": "ýÿ",
}.items() for mark in marks}  # fmt: skip
EXCHANGED = ("اأإآ", "ةه", "ىي", "'’")
CONTINUATION = bytes(range(0x80, 0xC0))  # bytes of UTF-8 that continue a character
POSIX_CLASS = re.compile(r"\[:\^?[a-z]{1,8}:\]")
SPACE = r"[\s\x{a0}\x{202f}]{1,8}"


class BadPattern(ValueError):
    """Not a pattern we can use, and why."""


class Regex(Protocol):
    """A compiled RE2 pattern over UTF-8 bytes; `pos` and `endpos` bound a search without hiding what stands around."""

    def finditer(self, text: bytes, pos: int = 0, endpos: int = ...) -> Iterable["re.Match[bytes]"]: ...

    def search(self, text: bytes, pos: int = 0, endpos: int = ...) -> "re.Match[bytes] | None": ...

    @property
    def groupindex(self) -> dict[bytes, int]: ...


def keywords_as_regex(keywords: Sequence[str]) -> str:
    """Any of the keywords, whole words where they begin or end with an ASCII word character; case, spaces and marks are folded."""

    def one(keyword: str) -> str:
        body = SPACE.join("".join(map(_folded, word)) for word in keyword.split())
        before = r"\b" if re.match(r"\w", keyword[:1], re.ASCII) else ""
        after = r"\b" if re.match(r"\w", keyword[-1:], re.ASCII) else ""
        return before + body + after

    return "(?i)(?:" + "|".join(map(one, keywords)) + ")"


def _folded(character: str) -> str:
    base = MARKED.get(character.lower())
    if base:
        return rf"(?:{character}|{base}\x{{301}}?)"
    group = next((group for group in EXCHANGED if character in group), None)
    return f"[{group}]" if group else str(re2.escape(character))


@lru_cache(maxsize=8192)
def compile_regex(regex: str) -> Regex:
    """Raises BadPattern, in words, for what RE2 cannot do, for an empty match, and for anchors to the whole text."""
    if re.search(r"(?<!\\)(?:\\\\)*\\[AzC]", regex):
        raise BadPattern(
            r"`\A`, `\z` and `\C` are not supported; use `^` and `$`, which mean the start and end of a text"
        )
    if re.search(r"\(\?[a-zA-Z]*-[a-zA-Z]*m", regex):
        raise BadPattern(
            "the flag `m` cannot be switched off; `^` and `$` already mean the start and end of a text"
        )
    if re.search(r"\(\?[a-zA-Z]*U", regex):
        raise BadPattern("the flag `U` is not supported; write `*?` or `+?` where the shortest is meant")
    try:
        pattern: Regex = re2.compile(regex.encode(), options())
        empty = pattern.search(b"")
    except re2.error as error:
        reason = error.args[0].decode() if error.args and isinstance(error.args[0], bytes) else str(error)
        raise BadPattern(f"regex is not linear-time (RE2): {reason}") from None
    except UnicodeEncodeError:
        raise BadPattern("the regex holds half of a surrogate pair") from None
    if empty is not None:
        raise BadPattern("the regex matches the empty text, so it would fire everywhere")
    return pattern


@lru_cache(maxsize=8192)
def joined(regexes: tuple[str, ...]) -> tuple[Regex, ...]:
    """As few patterns as tell whether any of these occurs; each must compile alone."""
    chosen = options()
    chosen.never_capture = True
    chosen.max_mem = MAX_PATTERN_MEMORY * max(1, len(regexes))
    try:
        return (
            (re2.compile("|".join(f"(?:{regex})" for regex in regexes).encode(), chosen),) if regexes else ()
        )
    except re2.error:  # such as a `\Q` without its end, which takes in what follows
        return tuple(map(compile_regex, regexes))


@lru_cache(maxsize=256)
def at_end(regexes: tuple[str, ...]) -> Regex:
    """One pattern that tells where, up to a text's end, the longest match of any of these begins; each must compile alone."""
    chosen = options()
    chosen.never_capture = True
    chosen.max_mem = MAX_PATTERN_MEMORY * max(1, len(regexes))
    pattern: Regex = re2.compile(f"(?:{'|'.join(regexes)})\\z".encode(), chosen)
    return pattern


def options() -> "re2.Options":
    """RE2's, for all patterns."""
    chosen = re2.Options()
    chosen.log_errors = False
    chosen.max_mem = MAX_PATTERN_MEMORY
    return chosen


def readable(regex: str) -> str | None:
    """The regex as Python's parser reads it, or None where the two would read it differently."""
    if POSIX_CLASS.search(regex) or re.search(r"\{,\d", regex) or "\u017f" in regex or "\u212a" in regex:
        return None
    try:
        return re.sub(
            r"(?<!\\)((?:\\\\)*)\\x\{([0-9a-fA-F]{1,6})\}",
            lambda found: found[1] + re.escape(chr(int(found[2], 16))),
            regex,
        )
    except ValueError:
        return None


@lru_cache(maxsize=8192)
def width(regex: str) -> int | None:
    """The most characters that a match can have, or None where that is unknown or more than MAX_WIDTH."""
    text = readable(regex)
    if text is None:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            widest = int(sre.parse(text).getwidth()[1])
    except (re.error, OverflowError, RecursionError):
        return None
    return widest if widest <= MAX_WIDTH else None
