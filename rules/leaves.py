"""Reads a JSON body as leaves: every string, key and longer number, with its place.

No field is skipped for being unknown. A leaf's `literal` is its number among the body's
literals, as in `redact.py`. Total and bounded: any bytes give a document or Unreadable.
"""

import json
import re
from collections.abc import Container, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from rules.exchange import Unreadable

# Containers inside one another. Schemas of tools reach some 20; Python recurses to
# 1,000.
MAX_DEPTH = 64
MAX_NODES = 200_000  # values and keys of a document
# Commas and opening brackets, in strings or not. It bounds what parsing can build,
# before it does.
MAX_MARKS = 2_000_000
SHORT_NUMBER = 6  # digits; a shorter number is no card, account or telephone
# An array of as many numbers, all of them short or fractions, is a vector or ids of tokens: none
# is read by itself. An embedding has 256 and more.
BULK = 64
_BULK = re.compile(
    r"(?:-?(?:\d{1,7}|\d{1,4}\.\d{1,25})(?:[eE][-+]?\d{1,3})?,)+", re.ASCII
)

SLICE = 4096  # numbers that are looked at together: nobody else has a turn meanwhile

Path = tuple[str | int, ...]


class Number(str):
    """A number as written."""

    __slots__ = ()


class Leaf(NamedTuple):
    """A text of a document.

    `path` leads from the root to it; a key's path ends in the key itself. `around` are
    the containers on that path, the innermost last; it changes as the walk continues.
    """

    path: Path
    text: str
    literal: int
    is_key: bool
    around: Sequence[Any]


class Unread(Exception):
    """The document cannot be read; `why` is one of `rules.exchange.REASONS`."""

    def __init__(self, why: str):
        super().__init__(why)
        self.why = why


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise Unread("duplicate_key")
    return value


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _constant(name: str) -> Any:
    return None


def _number(written: str) -> str:
    """A function, and not the class: at its beginning the interpreter lets other threads have their turn, which one call
    of the decoder would not in 100,000 numbers.
    """
    return Number(written)


REJECTED = object()
_quick = msgspec.json.Decoder(float_hook=_number)
_thorough = json.JSONDecoder(
    object_pairs_hook=_object,
    parse_int=Number,
    parse_float=Number,
    parse_constant=_no_constant,
)
_lenient = json.JSONDecoder(
    object_pairs_hook=_object,
    parse_int=Number,
    parse_float=Number,
    parse_constant=_constant,
)


def parse(body: bytes, *, constants: bool = False) -> Any | Unreadable:
    """The document, with numbers as they were written.

    Whether a key stands twice is known only after a Walk. With `constants`, NaN and the
    infinities, which are no JSON but which some write, are read as null. What the fast
    decoder rejects (lone surrogates, endless integers) a thorough one decides.
    """
    if len(body) > MAX_MARKS and (_marks(body) > MAX_MARKS or _keys(body) > MAX_NODES):
        return Unreadable("too_deep")
    found = quickly(body)
    if found is not REJECTED:
        return found
    try:
        return (_lenient if constants else _thorough).decode(body.decode("utf-8"))
    except UnicodeDecodeError:
        return Unreadable("not_utf8")
    except Unread as error:
        return Unreadable(error.why)
    except RecursionError:
        return Unreadable("too_deep")
    except ValueError:
        return Unreadable("bad_json")


def quickly(body: bytes) -> Any:
    """The document as the fast decoder makes it, or REJECTED."""
    try:
        return _quick.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return REJECTED


def _marks(body: bytes) -> int:
    return body.count(b",") + body.count(b"[") + body.count(b"{")


def _keys(body: bytes) -> int:
    """An upper bound for the keys: a quote before a colon ends a key, unless it is
    escaped.
    """
    return body.count(b'":') - body.count(b'\\":')


class Walk:
    """One pass through a document in the order of its text.

    `literal` is the number of the next literal; `nodes` counts values and keys.
    """

    def __init__(self, known: Container[str] = (), literal: int = 0, nodes: int = 0):
        """Keys that are `known` are no leaves. It begins behind this many literals and nodes."""
        self.literal, self.nodes = literal, nodes
        self._known = known
        self._strings = 0
        self._quotes = 0  # inside strings

    def passed(self, strings: int, quotes: int = 0) -> None:
        """Account for strings, with quotes inside, that were read without the walk.

        Raises Unread("too_deep").
        """
        self.literal += strings
        self._strings += strings
        self._quotes += quotes
        self.nodes += strings
        if self.nodes > MAX_NODES:
            raise Unread("too_deep")

    def leaves(
        self, value: Any, path: Path = (), around: Sequence[Any] = ()
    ) -> Iterator[Leaf]:
        """Every leaf of a value. Raises Unread("too_deep")."""
        known = self._known
        inside = list(around)
        stack: list[tuple[Path, Iterator[tuple[str | int, Any]]]] = [
            ((), iter(((0, value),)))
        ]
        while stack:
            parent, children = stack[-1]
            entry = next(children, None)
            if entry is None:
                stack.pop()
                if stack:
                    inside.pop()
                continue
            key, value = entry
            here = (*parent, key) if len(stack) > 1 else path
            self.nodes += 1
            if self.nodes > MAX_NODES or len(stack) + len(path) > MAX_DEPTH:
                raise Unread("too_deep")
            if isinstance(key, str):
                if key not in known:
                    yield Leaf(here, key, self.literal, True, inside)
                self.literal += 1
                self._strings += 1
                self._quotes += key.count('"')
            if type(value) is str:
                yield Leaf(here, value, self.literal, False, inside)
                self.literal += 1
                self._strings += 1
                self._quotes += value.count('"')
            elif type(value) is list and _is_bulk(value):
                self.literal += len(value)
            elif isinstance(value, dict | list):
                stack.append(
                    (
                        here,
                        iter(
                            value.items()
                            if isinstance(value, dict)
                            else enumerate(value)
                        ),
                    )
                )
                inside.append(value)
            elif isinstance(value, Number) or type(value) is int:
                written = str(value)
                if len(written) >= SHORT_NUMBER:
                    yield Leaf(here, written, self.literal, False, inside)
                self.literal += 1

    def end(self, body: bytes) -> None:
        """Check that every string of the body was met.

        One is lost where a key stands twice, and then two readers would see two calls.
        Raises Unread("duplicate_key").
        """
        quotes = body.count(b'"')
        if quotes == 2 * self._strings + self._quotes and b"\\u0022" not in body:
            return
        if b"\\" in body:
            quotes = (
                body.replace(b"\\\\", b"").replace(b'\\"', b"").count(b'"')
                if b"\\\\" in body
                else quotes - body.count(b'\\"')
            )
        if quotes != 2 * self._strings:
            raise Unread("duplicate_key")


def _is_bulk(value: list[Any]) -> bool:
    """Whether a list is nothing but many numbers, none of which may be one to be found."""
    if len(value) < BULK or not {int, Number}.issuperset(map(type, value)):
        return False
    return all(
        _BULK.fullmatch(",".join(map(str, value[at : at + SLICE])) + ",")
        for at in range(0, len(value), SLICE)
    )


def leaves(body: bytes, document: Any) -> list[Leaf] | Unreadable:
    """Every leaf of a document, or why its body cannot be read. Total."""
    walk = Walk()
    try:
        found = [
            leaf._replace(around=tuple(leaf.around)) for leaf in walk.leaves(document)
        ]
        walk.end(body)
    except Unread as error:
        return Unreadable(error.why)
    return found
