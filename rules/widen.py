"""A pattern -> what stage 1 asks hyperscan for: an expression over bytes that occurs wherever the pattern does, and is cheaper.

Mechanical, so that it can be proven (tests/properties/test_scan.py): every match of the pattern holds a match of the expression
that ends inside it. To that end a character beyond ASCII is one to four bytes, long repeats lose their upper bound, and once
enough fixed characters were seen the rest is left away. Stage 2 decides with the pattern itself.
"""

import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from functools import cache, lru_cache
from re import _constants as op  # type: ignore[attr-defined]
from re import _parser as sre  # type: ignore[attr-defined]
from typing import Any, NamedTuple

from rules.patterns import readable

STRONG = 5  # fixed characters that make an expression rare enough
EXTRA = 8  # characters of any kind that are asked for behind them, against false alarms
LITERAL = 6  # letters of a word that is looked for without its edges
LOOSE = 16  # a repeat with more room than this has no upper bound in stage 1
SHORT = 16  # a repeat with no more room than this may stand between fixed characters
MAX_RANGES = 160  # of characters beyond ASCII that are spelt out; more are any such character
MAX_FOLDED = 256  # of them, whose other case is spelt out, too
WIDE = r"\x80-\xff"

_CLASSES = {
    op.CATEGORY_DIGIT: (r"\d", False),
    op.CATEGORY_NOT_DIGIT: (r"\D", True),
    op.CATEGORY_SPACE: (
        r"\t\n\f\r\x20",
        False,
    ),  # hyperscan's own takes the vertical tab, too; RE2's does not
    op.CATEGORY_NOT_SPACE: (r"\S\x0b", True),
    op.CATEGORY_WORD: (r"\w", False),
    op.CATEGORY_NOT_WORD: (r"\W", True),
}
CLASSES = (op.IN, op.ANY, op.NOT_LITERAL)
_PLACES = {op.AT_BEGINNING: "^", op.AT_END: "$", op.AT_BOUNDARY: r"\b", op.AT_NON_BOUNDARY: r"\B"}


class _Piece(NamedTuple):
    """An expression, how many of its characters are fixed, and how many there are at least; `open`: it may match more than it must."""

    text: str
    fixed: int
    least: int
    open: bool = False


class _TooStrange(Exception):
    """A construct that is not translated."""


@lru_cache(maxsize=8192)
def widened(pattern: str) -> tuple[bytes, ...]:
    """Expressions of which one occurs wherever the pattern does; none where the pattern is not understood here."""
    text = readable(pattern)
    if text is None:
        return ()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = sre.parse(text)
        caseless, dotall = bool(tree.state.flags & re.IGNORECASE), bool(tree.state.flags & re.DOTALL)
        found = [
            _needed(one, caseless, dotall) or _sequence(one, caseless, dotall).text
            for one in _alternatives(tree, caseless, dotall)
        ]
    except (re.error, OverflowError, RecursionError, ValueError, _TooStrange):
        return ()
    return (
        tuple(dict.fromkeys((("(?i)" if caseless else "") + one).encode() for one in found))
        if all(found)
        else ()
    )


def _alternatives(
    items: Iterable[tuple[Any, Any]], caseless: bool, dotall: bool
) -> list[list[tuple[Any, Any]]]:
    """What stands on either side of the outermost bars; each is an expression of its own, which is what hyperscan does best."""
    items = list(_flat(items, caseless, dotall))
    if len(items) == 1 and items[0][0] is op.BRANCH:
        return [list(one) for branch in items[0][1][1] for one in _alternatives(branch, caseless, dotall)]
    # Python's parser takes out what all branches begin with.
    if len(items) == 2 and items[0][0] in (op.LITERAL, op.AT) and items[1][0] is op.BRANCH:
        return [
            [items[0], *one] for branch in items[1][1][1] for one in _alternatives(branch, caseless, dotall)
        ]
    return [items]


def fixed_characters(pattern: str) -> int:
    """How many fixed characters stand in a row somewhere in every match; 0 where that is not known."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = sre.parse(pattern)
        return _longest(list(tree), bool(tree.state.flags & re.IGNORECASE))
    except (re.error, OverflowError, RecursionError, ValueError, _TooStrange):
        return 0


def _longest(items: Iterable[tuple[Any, Any]], caseless: bool) -> int:
    items = list(_flat(items, caseless, False))
    if len(items) == 1 and items[0][0] is op.BRANCH:
        return min(_longest(branch, caseless) for branch in items[0][1][1])
    pieces = [_piece(item, caseless, False) for item in items]
    return max(
        (_run(items[number:], pieces[number:]) for number in range(len(items)) if pieces[number].least),
        default=0,
    )


def _needed(items: Sequence[tuple[Any, Any]], caseless: bool, dotall: bool) -> str:
    """A stretch of a sequence that every match must hold, from where its fixed characters are densest; empty where there is none."""
    items = list(_flat(items, caseless, dotall))
    if len(items) == 1 and items[0][0] is op.BRANCH:
        branches = [_needed(branch, caseless, dotall) for branch in items[0][1][1]]
        return f"(?:{'|'.join(branches)})" if all(branches) else ""
    pieces = [_piece(item, caseless, dotall) for item in items]
    runs = [
        _run(items[number:], pieces[number:]) if pieces[number].least else 0 for number in range(len(items))
    ]
    strong = (number for number, run in enumerate(runs) if run >= STRONG)
    start = next(strong, max(range(len(runs)), key=lambda number: (runs[number], -number), default=0))
    while (
        start
        and _is_short(items[start - 1])
        and sum(piece.least for piece in pieces[max(0, start - 3) : start]) <= EXTRA
    ):
        start -= 1
    while start and items[start - 1][0] is op.AT:
        start -= 1
    text = _prefix(items[start:], pieces[start:], caseless, dotall)
    # Edges of words cost hyperscan more than they save it, where what stands between them is rare enough.
    bare = text.removeprefix(r"\b").removesuffix(r"\b")
    return bare if len(bare) >= LITERAL and bare.isidentifier() else text


def _is_short(item: tuple[Any, Any]) -> bool:
    """Whether it has no room to wander, so that it may stand before the fixed characters and make them rarer."""
    code, argument = item
    if code in (op.MAX_REPEAT, op.MIN_REPEAT):
        return (
            argument[1] is not op.MAXREPEAT
            and argument[1] - argument[0] <= SHORT
            and all(map(_is_short, argument[2]))
        )
    if code is op.SUBPATTERN:
        return all(map(_is_short, argument[3]))
    if code is op.BRANCH:
        return all(_is_short(inside) for branch in argument[1] for inside in branch)
    return True


def _flat(items: Iterable[tuple[Any, Any]], caseless: bool, dotall: bool) -> Iterator[tuple[Any, Any]]:
    """Groups that change nothing give up their members."""
    for item in items:
        if item[0] is op.SUBPATTERN and _flags(item[1], caseless, dotall) == (caseless, dotall, ""):
            yield from _flat(item[1][3], caseless, dotall)
        else:
            yield item


def _run(items: Sequence[tuple[Any, Any]], pieces: Sequence[_Piece]) -> int:
    """How many fixed characters stand in a row."""
    count = 0
    for (code, _), piece in zip(items, pieces, strict=True):
        count += piece.fixed
        if code is not op.AT and (piece.open or piece.fixed < piece.least):
            break
    return count


def _prefix(items: Sequence[tuple[Any, Any]], pieces: Sequence[_Piece], caseless: bool, dotall: bool) -> str:
    """As much of a sequence as stage 1 needs, from its start."""
    taken: list[_Piece] = []
    fixed = least = 0
    for item, piece in zip(items, pieces, strict=True):
        if least >= STRONG + EXTRA:
            break
        if fixed >= STRONG and ((piece.open and not _is_short(item)) or piece.least > EXTRA):
            taken.append(_start(item, caseless, dotall))
            break
        taken.append(piece)
        fixed, least = fixed + piece.fixed, least + piece.least
    while taken and not taken[-1].least and any(piece.open for piece in taken[-2:]):
        taken.pop()  # what need not be there, and the edges of what may go on
    if taken and taken[-1].open:
        taken[-1] = _start(items[len(taken) - 1], caseless, dotall)
    return "".join(piece.text for piece in taken) if any(piece.least for piece in taken) else ""


def _first(items: Iterable[tuple[Any, Any]], caseless: bool, dotall: bool) -> str:
    """The start of a sequence that follows on something, so that it cannot begin later."""
    items = list(items)
    return _prefix(items, [_piece(item, caseless, dotall) for item in items], caseless, dotall)


def _start(item: tuple[Any, Any], caseless: bool, dotall: bool) -> _Piece:
    """The least that an item must begin with."""
    code, argument = item
    if code in (op.MAX_REPEAT, op.MIN_REPEAT):
        low, _, inside = argument
        if len(inside) == 1 and inside[0][0] in CLASSES:
            return _Piece(
                f"{_class(inside[0], caseless, dotall)[0]}{{{min(low, EXTRA)}}}" if low else "",
                0,
                min(low, EXTRA),
            )
        piece = _sequence(inside, caseless, dotall)
        times = min(low, max(1, EXTRA // max(1, piece.least))) if low else 0
        return _Piece(f"(?:{piece.text}){{{times}}}" if times else "", 0, times)
    piece = _piece(item, caseless, dotall)
    if not piece.open:
        return piece
    if code is op.SUBPATTERN:
        within, dots, flag = _flags(argument, caseless, dotall)
        return piece._replace(text=f"(?{flag}:{_first(argument[3], within, dots)})")
    if code is op.BRANCH:
        starts = [_first(branch, caseless, dotall) for branch in argument[1]]
        return piece._replace(text=f"(?:{'|'.join(starts)})") if all(starts) else _Piece("", 0, 0)
    return _Piece("", 0, 0)


def _sequence(items: Any, caseless: bool, dotall: bool) -> _Piece:
    pieces = [_piece(item, caseless, dotall) for item in items]
    return _Piece(
        "".join(piece.text for piece in pieces),
        sum(piece.fixed for piece in pieces),
        sum(piece.least for piece in pieces),
        any(piece.open for piece in pieces),
    )


def _piece(item: tuple[Any, Any], caseless: bool, dotall: bool) -> _Piece:
    code, argument = item
    if code is op.LITERAL:
        return _literal(argument, caseless)
    if code is op.AT and argument in _PLACES:
        return _Piece(_PLACES[argument], 0, 0)
    if code is op.SUBPATTERN:
        return _group(argument, caseless, dotall)
    if code is op.BRANCH:
        branches = [_sequence(branch, caseless, dotall) for branch in argument[1]]
        text = "(?:" + "|".join(branch.text for branch in branches) + ")"
        least = min(branch.least for branch in branches)
        return _Piece(
            text, min(branch.fixed for branch in branches), least, any(branch.open for branch in branches)
        )
    if code in (op.MAX_REPEAT, op.MIN_REPEAT):
        low, high, inside = argument
        return _repeat(low, high, inside, caseless, dotall)
    text, wide = _class(item, caseless, dotall)
    return _Piece(f"{text}{{1,4}}" if wide else text, 0, 1)


def _group(argument: Any, caseless: bool, dotall: bool) -> _Piece:
    caseless, dotall, flag = _flags(argument, caseless, dotall)
    piece = _sequence(argument[3], caseless, dotall)
    return piece._replace(text=f"(?{flag}:{piece.text})")


def _flags(argument: Any, caseless: bool, dotall: bool) -> tuple[bool, bool, str]:
    """What holds inside a group: whether case is folded, whether a dot is any character, and how the group says so."""
    _, added, taken, _ = argument
    if (added | taken) & ~(re.IGNORECASE | re.MULTILINE | re.DOTALL):
        raise _TooStrange
    flag = "i" if added & re.IGNORECASE else "-i" if taken & re.IGNORECASE else ""
    caseless = (caseless or bool(added & re.IGNORECASE)) and not taken & re.IGNORECASE
    return caseless, (dotall or bool(added & re.DOTALL)) and not taken & re.DOTALL, flag


def _repeat(low: int, high: Any, inside: Any, caseless: bool, dotall: bool) -> _Piece:
    unbounded = high is op.MAXREPEAT or high - low > LOOSE
    if len(inside) == 1 and inside[0][0] in CLASSES:
        text, wide = _class(inside[0], caseless, dotall)
        most = "" if unbounded else str(high * 4 if wide else high)
        return _Piece(f"{text}{{{low},{most}}}", 0, low, low != high)
    piece = _sequence(inside, caseless, dotall)
    most = "" if unbounded else str(high)
    return _Piece(
        f"(?:{piece.text}){{{low},{most}}}", piece.fixed * low, piece.least * low, low != high or piece.open
    )


def _literal(code: int, caseless: bool) -> _Piece:
    character = chr(code)
    if code < 128:
        return _Piece(re.escape(character) if character.isprintable() else f"\\x{code:02x}", 1, 1)
    if 0xD800 <= code < 0xE000:
        return _Piece(f"[{WIDE}]{{1,4}}", 0, 1)
    variants = _alike(character) if caseless else (character,)
    spelt = ["".join(f"\\x{byte:02x}" for byte in variant.encode()) for variant in variants]
    return _Piece(f"(?:{'|'.join(spelt)})", 2, 1)


@cache
def _orbits() -> dict[str, tuple[str, ...]]:
    """Characters beyond ASCII that differ by case alone."""
    together: dict[str, list[str]] = {}
    for code in (*range(0x80, 0xD800), *range(0xE000, 0x1E944)):
        together.setdefault(chr(code).casefold(), []).append(chr(code))
    return {one: tuple(group) for group in together.values() if len(group) > 1 for one in group}


def _alike(character: str) -> tuple[str, ...]:
    return _orbits().get(character, (character,))


def _class(item: tuple[Any, Any], caseless: bool, dotall: bool) -> tuple[str, bool]:
    """A set of characters as a class of bytes, and whether some of them take more than one."""
    code, argument = item
    if code is op.ANY:
        return (r"[\x00-\xff]" if dotall else r"[^\n]"), True
    if code is op.NOT_LITERAL:
        return (f"[^\\x{argument:02x}]" if argument < 128 else r"[\x00-\xff]"), True
    if code is not op.IN:
        raise _TooStrange
    negated = argument[0][0] is op.NEGATE
    text, others, wide = "", [], negated
    for kind, value in argument[1:] if negated else argument:
        if kind is op.CATEGORY and value in _CLASSES:
            member, also = _CLASSES[value]
            text, wide = text + member, wide or also
        elif kind in (op.LITERAL, op.RANGE):
            low, high = (value, value) if kind is op.LITERAL else value
            text += _range(low, min(high, 127)) if low < 128 else ""
            if high > 127:
                others.append((max(low, 128), high))
        else:
            raise _TooStrange
    if negated:
        return (f"[^{text}]" if text else r"[\x00-\xff]"), True
    if caseless and sum(high - low + 1 for low, high in others) <= MAX_FOLDED:
        others += [
            (ord(one), ord(one))
            for low, high in others
            for code in range(low, high + 1)
            for one in _alike(chr(code))
        ]
        others = sorted(set(others))
    elif caseless and others:
        wide = True
    if wide or len(others) > MAX_RANGES:
        return f"[{text}{WIDE}]", True
    spelt = [spelling for low, high in others for spelling in _utf8(low, high)]
    return (f"(?:{'|'.join([f'[{text}]'] * bool(text) + spelt)})" if spelt else f"[{text}]"), False


def _utf8(low: int, high: int) -> Iterator[str]:
    """A range of characters beyond ASCII as ranges of bytes."""
    for first, last in ((0x80, 0x7FF), (0x800, 0xFFFF), (0x10000, 0x10FFFF)):
        if low <= last and high >= first:
            yield from _bytes(_spelling(max(low, first)), _spelling(min(high, last)))


def _range(low: int, high: int) -> str:
    return f"\\x{low:02x}" + (f"-\\x{high:02x}" if high > low else "")


def _spelling(code: int) -> bytes:
    return chr(code).encode("utf-8", "surrogatepass")


def _bytes(low: bytes, high: bytes) -> Iterator[str]:
    """Sequences of as many bytes, from one to the other."""
    if len(low) == 1:
        yield f"[{_range(low[0], high[0])}]"
        return
    if low[0] == high[0]:
        yield from (f"\\x{low[0]:02x}{rest}" for rest in _bytes(low[1:], high[1:]))
        return
    least, most = b"\x80" * (len(low) - 1), b"\xbf" * (len(low) - 1)
    start, end = low[0] + (low[1:] != least), high[0] - (high[1:] != most)
    if start > low[0]:
        yield from (f"\\x{low[0]:02x}{rest}" for rest in _bytes(low[1:], most))
    if start <= end:
        yield f"[\\x{start:02x}-\\x{end:02x}]" + r"[\x80-\xbf]" * (len(low) - 1)
    if end < high[0]:
        yield from (f"\\x{high[0]:02x}{rest}" for rest in _bytes(least, high[1:]))
