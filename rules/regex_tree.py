"""A regular expression as a tree, with the flags that hold at each node. The only place that reads Python's regex parser.

RE2 gives no tree of a pattern. Python's parser reads the same language but for some corners;
a pattern in which the two differ, or that has what RE2 has not (lookaround, backreferences), has
no tree here, and its users treat it as one they know nothing of.

    (?i)sk-[a-z]{2,}    →  Literal "s", Literal "k", Literal "-", Repeat 2… of Set a-z
                           all of them caseless
"""

import re
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from re import _constants as op  # type: ignore[attr-defined]
from re import _parser as python_parser  # type: ignore[attr-defined]
from typing import Any, NamedTuple

POSIX_CLASS = re.compile(r"\[:\^?[a-z]{1,8}:\]")
BRACED_CODE = re.compile(r"(?<!\\)((?:\\\\)*)\\x\{([0-9a-fA-F]{1,6})\}")
# RE2 folds these into `s` and `k`, Python does not.
FOLDED_OTHERWISE = ("\u017f", "\u212a")
_FLAGS = re.IGNORECASE | re.MULTILINE | re.DOTALL
_CATEGORIES = {
    op.CATEGORY_DIGIT: r"\d",
    op.CATEGORY_NOT_DIGIT: r"\D",
    op.CATEGORY_SPACE: r"\s",
    op.CATEGORY_NOT_SPACE: r"\S",
    op.CATEGORY_WORD: r"\w",
    op.CATEGORY_NOT_WORD: r"\W",
}
_EDGES = {
    op.AT_BEGINNING: "^",
    op.AT_BEGINNING_STRING: "^",  # `\A`: never multiline
    op.AT_END: "$",
    op.AT_BOUNDARY: r"\b",
    op.AT_NON_BOUNDARY: r"\B",
}


class Flags(NamedTuple):
    """What holds at a node: (?i), (?s) and (?m)."""

    caseless: bool = False
    dotall: bool = False
    multiline: bool = False


@dataclass(frozen=True, slots=True)
class Literal:
    """One character, by its code point."""

    code: int
    caseless: bool


@dataclass(frozen=True, slots=True)
class AnyBut:
    """Any character but this one."""

    code: int


@dataclass(frozen=True, slots=True)
class AnyCharacter:
    """A dot; with `newline`, also a line end."""

    newline: bool


@dataclass(frozen=True, slots=True)
class Set:
    """A character class: ranges of code points (both ends belong to it), and `\\d`, `\\W`, ….

    `order` are the members as they were written.
    """

    order: tuple["tuple[int, int] | str", ...]
    negated: bool
    caseless: bool


@dataclass(frozen=True, slots=True)
class Edge:
    """A position: `^`, `$`, `\\b` or `\\B`."""

    sign: str
    multiline: bool


@dataclass(frozen=True, slots=True)
class Repeat:
    """Items `low` to `high` times; None: without an upper bound."""

    low: int
    high: int | None
    items: "Items"


@dataclass(frozen=True, slots=True)
class Branch:
    """One of several sequences."""

    branches: tuple["Items", ...]


@dataclass(frozen=True, slots=True)
class Group:
    """Items in parentheses. `case` is the change of case folding: `i`, `-i` or nothing.

    `changes`: other flags hold inside than outside, or are stated again. `captures`: it has a
    number, as `(?P<secret>…)` has.
    """

    items: "Items"
    case: str
    changes: bool
    captures: bool


Node = Literal | AnyBut | AnyCharacter | Set | Edge | Repeat | Branch | Group
Items = tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Tree:
    """A pattern. A match has `least` to `most` characters; `flags` hold at its top."""

    items: Items
    flags: Flags
    least: int
    most: int


class _Unknown(Exception):
    """A construct that has no node."""


@lru_cache(maxsize=8192)
def tree_of(regex: str) -> Tree | None:
    """The tree of a pattern; None where RE2 could read it differently."""
    text = _in_python(regex)
    if text is None:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            parsed = python_parser.parse(text)
        flags = _changed(Flags(), parsed.state.flags, 0)
        least, most = parsed.getwidth()
        return Tree(_items(parsed, flags), flags, int(least), int(most))
    except (re.error, OverflowError, RecursionError, ValueError, _Unknown):
        return None


def flat(items: Iterable[Node]) -> Iterator[Node]:
    """The items, with groups that change no flag replaced by their members."""
    for item in items:
        if isinstance(item, Group) and not item.changes:
            yield from flat(item.items)
        else:
            yield item


def _in_python(regex: str) -> str | None:
    """The pattern as Python's parser reads it; None where it would read something else."""
    if (
        POSIX_CLASS.search(regex)
        or re.search(r"\{,\d", regex)
        or any(character in regex for character in FOLDED_OTHERWISE)
    ):
        return None
    try:
        return BRACED_CODE.sub(
            lambda found: found[1] + re.escape(chr(int(found[2], 16))), regex
        )
    except ValueError:
        return None


def _items(parsed: Iterable[tuple[Any, Any]], flags: Flags) -> Items:
    return tuple(_node(code, argument, flags) for code, argument in parsed)


def _node(code: Any, argument: Any, flags: Flags) -> Node:
    if code is op.LITERAL:
        return Literal(argument, flags.caseless)
    if code is op.NOT_LITERAL:
        return AnyBut(argument)
    if code is op.ANY:
        return AnyCharacter(flags.dotall)
    if code is op.AT and argument in _EDGES:
        multiline = flags.multiline and argument is not op.AT_BEGINNING_STRING
        return Edge(_EDGES[argument], multiline)
    if code is op.IN:
        return _set(argument, flags)
    if code is op.BRANCH:
        return Branch(tuple(_items(branch, flags) for branch in argument[1]))
    if code is op.SUBPATTERN:
        return _group(argument, flags)
    if code in (op.MAX_REPEAT, op.MIN_REPEAT):
        low, high, inside = argument
        most = None if high is op.MAXREPEAT else int(high)
        return Repeat(int(low), most, _items(inside, flags))
    raise _Unknown(str(code))


def _group(argument: Any, flags: Flags) -> Group:
    number, added, taken, parsed = argument
    if (added | taken) & ~_FLAGS:
        raise _Unknown("flags")
    case = "i" if added & re.IGNORECASE else "-i" if taken & re.IGNORECASE else ""
    inside = _changed(flags, added, taken)
    changes = bool(case) or inside != flags
    return Group(_items(parsed, inside), case, changes, captures=number is not None)


def _set(members: Any, flags: Flags) -> Set:
    order: list[tuple[int, int] | str] = []
    negated = members[0][0] is op.NEGATE
    for kind, value in members[1:] if negated else members:
        if kind is op.CATEGORY and value in _CATEGORIES:
            order.append(_CATEGORIES[value])
        elif kind is op.LITERAL:
            order.append((value, value))
        elif kind is op.RANGE:
            order.append((value[0], value[1]))
        else:
            raise _Unknown(str(kind))
    return Set(tuple(order), negated, flags.caseless)


def _changed(flags: Flags, added: int, taken: int) -> Flags:
    def holds(before: bool, flag: int) -> bool:
        return (before or bool(added & flag)) and not taken & flag

    return Flags(
        holds(flags.caseless, re.IGNORECASE),
        holds(flags.dotall, re.DOTALL),
        holds(flags.multiline, re.MULTILINE),
    )
