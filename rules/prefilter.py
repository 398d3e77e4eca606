"""Makes of a pattern what stage 1 asks hyperscan for: expressions over bytes that match wherever the pattern does, and are cheaper.

    pattern                                stage 1 looks for          why
    AKIA[0-9A-Z]{16}                       AKIA[0-9A-Z]{8}            4 fixed characters, and 8 more
                                                                      against false alarms
    (?i)\\bpassword\\s{0,9}[:=]\\s{0,9}\\S+    (?i)password               fixed enough to stop early
    foo-[0-9]{2,500}bar                    foo-[0-9]{2,}              long repeats lose their bound:
                                                                      hyperscan counts with memory
    schlüssel                              schl(?:\\xc3\\xbc)ssel       characters become bytes

The translation is mechanical, so that it can be proven (tests/properties/test_scan.py): every
match of the pattern holds a match of an expression that ends inside it. It need not hold the
other way round: stage 2 (`locate.py`) decides with the pattern itself.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache, lru_cache
from typing import NamedTuple

from rules.regex_tree import (
    AnyBut,
    AnyCharacter,
    Branch,
    Edge,
    Group,
    Literal,
    Node,
    Repeat,
    Set,
    flat,
    tree_of,
)

STRONG = 5  # fixed characters that make an expression rare enough
EXTRA = 8  # characters of any kind asked for behind them, against false alarms
WORD = 6  # letters of a word that is looked for without its edges
LOOSE = 16  # a repeat with more room than this loses its upper bound
SHORT = 16  # a repeat with no more room than this may stand between fixed characters
MAX_RANGES = (
    160  # of characters beyond ASCII spelt as bytes; more are any such character
)
MAX_FOLDED = 256  # of them, whose other case is spelt, too
WIDE = r"\x80-\xff"

# Hyperscan's own `\s` has the vertical tab; RE2's has not.
_CLASSES = {
    r"\d": (r"\d", False),
    r"\D": (r"\D", True),
    r"\s": (r"\t\n\f\r\x20", False),
    r"\S": (r"\S\x0b", True),
    r"\w": (r"\w", False),
    r"\W": (r"\W", True),
}
CLASSES = (Set, AnyCharacter, AnyBut)


class _Piece(NamedTuple):
    """An expression; `fixed` of its characters are fixed, and it has `least` at least.

    `open`: it may match more characters than it must.
    """

    text: str
    fixed: int
    least: int
    open: bool = False


@lru_cache(maxsize=8192)
def prefilters(pattern: str) -> tuple[bytes, ...]:
    """Expressions of which one matches wherever the pattern does; none where it has no tree."""
    tree = tree_of(pattern)
    if tree is None:
        return ()
    found = [_needed(one) or _sequence(one).text for one in _alternatives(tree.items)]
    if not all(found):
        return ()
    flag = "(?i)" if tree.flags.caseless else ""
    return tuple(dict.fromkeys((flag + one).encode() for one in found))


def fixed_characters(pattern: str) -> int | None:
    """How many fixed characters stand in a row in every match; None where that is not known."""
    tree = tree_of(pattern)
    return _longest(tree.items) if tree is not None else None


def _alternatives(items: Iterable[Node]) -> list[list[Node]]:
    """The outermost alternatives. Each becomes an expression: that suits hyperscan best."""
    items = list(flat(items))
    match items:
        case [Branch(branches=branches)]:
            return [list(one) for branch in branches for one in _alternatives(branch)]
        # Python's parser takes out what all branches begin with.
        case [Literal() | Edge() as first, Branch(branches=branches)]:
            return [
                [first, *one] for branch in branches for one in _alternatives(branch)
            ]
    return [items]


def _longest(items: Iterable[Node]) -> int:
    items = list(flat(items))
    match items:
        case [Branch(branches=branches)]:
            return min(map(_longest, branches))
    pieces = list(map(_piece, items))
    return max(
        (
            _run(items[number:], pieces[number:])
            for number, piece in enumerate(pieces)
            if piece.least
        ),
        default=0,
    )


def _needed(items: Sequence[Node]) -> str:
    """A stretch of a sequence that every match holds, where its fixed characters are densest.

    Empty where there is none.
    """
    items = list(flat(items))
    match items:
        case [Branch(branches=branches)]:
            needed = list(map(_needed, branches))
            return f"(?:{'|'.join(needed)})" if all(needed) else ""
    pieces = list(map(_piece, items))
    start = _densest(items, pieces)
    text = _prefix(items[start:], pieces[start:])
    # The edges of a word cost hyperscan more than they save where the word is rare enough.
    bare = text.removeprefix(r"\b").removesuffix(r"\b")
    return bare if len(bare) >= WORD and bare.isidentifier() else text


def _densest(items: Sequence[Node], pieces: Sequence[_Piece]) -> int:
    """The number of the item at which the expression starts.

    The first run of STRONG fixed characters, else the longest run; then back over short items
    before it, which make it rarer.
    """
    runs = [
        _run(items[number:], pieces[number:]) if piece.least else 0
        for number, piece in enumerate(pieces)
    ]
    strong = (number for number, run in enumerate(runs) if run >= STRONG)
    longest = max(
        range(len(runs)), key=lambda number: (runs[number], -number), default=0
    )
    start = next(strong, longest)
    while (
        start
        and _is_short(items[start - 1])
        and sum(piece.least for piece in pieces[max(0, start - 3) : start]) <= EXTRA
    ):
        start -= 1
    while start and isinstance(items[start - 1], Edge):
        start -= 1
    return start


def _is_short(item: Node) -> bool:
    """Whether it has little room, so that it may stand before the fixed characters."""
    match item:
        case Repeat(low, high, inside):
            return (
                high is not None and high - low <= SHORT and all(map(_is_short, inside))
            )
        case Group(inside):
            return all(map(_is_short, inside))
        case Branch(branches):
            return all(_is_short(one) for branch in branches for one in branch)
    return True


def _run(items: Sequence[Node], pieces: Sequence[_Piece]) -> int:
    """How many fixed characters stand in a row from here."""
    count = 0
    for item, piece in zip(items, pieces, strict=True):
        count += piece.fixed
        if not isinstance(item, Edge) and (piece.open or piece.fixed < piece.least):
            break
    return count


def _prefix(items: Sequence[Node], pieces: Sequence[_Piece]) -> str:
    """As much of a sequence, from its start, as makes it rare."""
    taken: list[_Piece] = []
    fixed = least = 0
    for item, piece in zip(items, pieces, strict=True):
        if least >= STRONG + EXTRA:
            break
        too_much = (piece.open and not _is_short(item)) or piece.least > EXTRA
        if fixed >= STRONG and too_much:
            taken.append(_start(item))
            break
        taken.append(piece)
        fixed, least = fixed + piece.fixed, least + piece.least
    while taken and not taken[-1].least and any(piece.open for piece in taken[-2:]):
        taken.pop()  # what may be missing, and the edges of what may continue
    if taken and taken[-1].open:
        taken[-1] = _start(items[len(taken) - 1])
    if not any(piece.least for piece in taken):
        return ""
    return "".join(piece.text for piece in taken)


def _first(items: Sequence[Node]) -> str:
    """The start of a sequence that stands behind something, so that it cannot begin later."""
    return _prefix(items, list(map(_piece, items)))


def _start(item: Node) -> _Piece:
    """The least with which an item must begin."""
    if isinstance(item, Repeat):
        return _start_of_repeat(item)
    piece = _piece(item)
    if not piece.open:
        return piece
    if isinstance(item, Group):
        return piece._replace(text=f"(?{item.case}:{_first(item.items)})")
    if isinstance(item, Branch):
        starts = list(map(_first, item.branches))
        if all(starts):
            return piece._replace(text=f"(?:{'|'.join(starts)})")
    return _Piece("", 0, 0)


def _start_of_repeat(item: Repeat) -> _Piece:
    low, inside = item.low, item.items
    if len(inside) == 1 and isinstance(inside[0], CLASSES):
        times = min(low, EXTRA)
        text = f"{_class(inside[0])[0]}{{{times}}}" if low else ""
        return _Piece(text, 0, times)
    piece = _sequence(inside)
    times = min(low, max(1, EXTRA // max(1, piece.least))) if low else 0
    return _Piece(f"(?:{piece.text}){{{times}}}" if times else "", 0, times)


def _sequence(items: Sequence[Node]) -> _Piece:
    pieces = list(map(_piece, items))
    return _Piece(
        "".join(piece.text for piece in pieces),
        sum(piece.fixed for piece in pieces),
        sum(piece.least for piece in pieces),
        any(piece.open for piece in pieces),
    )


def _piece(item: Node) -> _Piece:
    match item:
        case Literal(code, caseless):
            return _literal(code, caseless)
        case Edge(sign):
            return _Piece(sign, 0, 0)
        case Group():
            piece = _sequence(item.items)
            return piece._replace(text=f"(?{item.case}:{piece.text})")
        case Branch():
            branches = list(map(_sequence, item.branches))
            return _Piece(
                "(?:" + "|".join(branch.text for branch in branches) + ")",
                min(branch.fixed for branch in branches),
                min(branch.least for branch in branches),
                any(branch.open for branch in branches),
            )
        case Repeat():
            return _repeat(item)
        case AnyBut() | AnyCharacter() | Set():
            text, wide = _class(item)
            return _Piece(f"{text}{{1,4}}" if wide else text, 0, 1)


def _repeat(item: Repeat) -> _Piece:
    low, high, inside = item.low, item.high, item.items
    bounded = high is not None and high - low <= LOOSE
    if len(inside) == 1 and isinstance(inside[0], CLASSES):
        text, wide = _class(inside[0])
        most = "" if high is None or not bounded else high * 4 if wide else high
        return _Piece(f"{text}{{{low},{most}}}", 0, low, low != high)
    piece = _sequence(inside)
    return _Piece(
        f"(?:{piece.text}){{{low},{high if bounded else ''}}}",
        piece.fixed * low,
        piece.least * low,
        low != high or piece.open,
    )


def _literal(code: int, caseless: bool) -> _Piece:
    character = chr(code)
    if code < 128:
        printable = character.isprintable()
        text = re.escape(character) if printable else f"\\x{code:02x}"
        return _Piece(text, 1, 1)
    if 0xD800 <= code < 0xE000:
        return _Piece(f"[{WIDE}]{{1,4}}", 0, 1)
    variants = _alike(character) if caseless else (character,)
    spelt = [
        "".join(f"\\x{byte:02x}" for byte in variant.encode()) for variant in variants
    ]
    return _Piece(f"(?:{'|'.join(spelt)})", 2, 1)


@cache
def _orbits() -> dict[str, tuple[str, ...]]:
    """Characters beyond ASCII that differ by case alone."""
    together: dict[str, list[str]] = {}
    for code in (*range(0x80, 0xD800), *range(0xE000, 0x1E944)):
        together.setdefault(chr(code).casefold(), []).append(chr(code))
    groups = (tuple(group) for group in together.values() if len(group) > 1)
    return {one: group for group in groups for one in group}


def _alike(character: str) -> tuple[str, ...]:
    return _orbits().get(character, (character,))


def _class(item: Node) -> tuple[str, bool]:
    """A set of characters as a class of bytes; whether some of them take several bytes."""
    match item:
        case AnyCharacter(newline):
            return (r"[\x00-\xff]" if newline else r"[^\n]"), True
        case AnyBut(code):
            return (f"[^\\x{code:02x}]" if code < 128 else r"[\x00-\xff]"), True
        case Set():
            return _set(item)
    raise AssertionError("no class of characters")


def _set(item: Set) -> tuple[str, bool]:
    text, others, wide = "", list[tuple[int, int]](), item.negated
    for member in item.order:
        if isinstance(member, str):
            spelt, also_wide = _CLASSES[member]
            text, wide = text + spelt, wide or also_wide
            continue
        low, high = member
        text += _range(low, min(high, 127)) if low < 128 else ""
        if high > 127:
            others.append((max(low, 128), high))
    if item.negated:
        return (f"[^{text}]" if text else r"[\x00-\xff]"), True
    if item.caseless and sum(high - low + 1 for low, high in others) <= MAX_FOLDED:
        others += [
            (ord(one), ord(one))
            for low, high in others
            for code in range(low, high + 1)
            for one in _alike(chr(code))
        ]
        others = sorted(set(others))
    elif item.caseless and others:
        wide = True
    if wide or len(others) > MAX_RANGES:
        return f"[{text}{WIDE}]", True
    sequences = [spelling for low, high in others for spelling in _utf8(low, high)]
    if not sequences:
        return f"[{text}]", False
    return f"(?:{'|'.join([f'[{text}]'] * bool(text) + sequences)})", False


def _utf8(low: int, high: int) -> Iterator[str]:
    """A range of characters beyond ASCII, as sequences of ranges of bytes."""
    for first, last in ((0x80, 0x7FF), (0x800, 0xFFFF), (0x10000, 0x10FFFF)):
        if low <= last and high >= first:
            yield from _bytes(_spelling(max(low, first)), _spelling(min(high, last)))


def _range(low: int, high: int) -> str:
    return f"\\x{low:02x}" + (f"-\\x{high:02x}" if high > low else "")


def _spelling(code: int) -> bytes:
    return chr(code).encode("utf-8", "surrogatepass")


def _bytes(low: bytes, high: bytes) -> Iterator[str]:
    """Sequences of ranges that cover the bytes from `low` to `high`, which have one length."""
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
