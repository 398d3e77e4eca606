"""A JSON body as its leaves: every text that would leave, with its place.

Keys, strings and longer numbers are all leaves, so nothing is passed over because nobody thought of the field. A leaf's `literal`
counts the body's literals as rules.redact does. Total and bounded: any bytes give a document or Unreadable.
"""

import json
from collections.abc import Container, Iterator, Sequence
from typing import Any, NamedTuple

from rules.exchange import Unreadable

MAX_DEPTH = 64
MAX_NODES = 200_000  # values and keys
MAX_MARKS = 2_000_000  # commas and opening brackets, in strings or not: bounds what parsing may build, before it builds it
SHORT_NUMBER = 6  # digits; a shorter number holds no card, account or telephone

Path = tuple[str | int, ...]


class Number(str):
    """A number as it was written."""

    __slots__ = ()


class Leaf(NamedTuple):
    """`path` leads from the root to the leaf; a key's path ends in the key itself. `around` are the containers on that way,
    the innermost last; it changes as the walk goes on.
    """

    path: Path
    text: str
    literal: int
    is_key: bool
    around: Sequence[Any]


class TooDeep(Exception):
    """The document is nested or long beyond what is read."""


class _DuplicateKey(ValueError):
    pass


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise _DuplicateKey
    return value


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


_decoder = json.JSONDecoder(object_pairs_hook=_object, parse_int=Number, parse_float=Number, parse_constant=_no_constant)


def parse(body: bytes) -> Any | Unreadable:
    """The document, numbers as written. A key that stands twice makes it unreadable: two readers would see two calls."""
    if body.count(b",") + body.count(b"[") + body.count(b"{") > MAX_MARKS:
        return Unreadable("too_deep")
    try:
        return _decoder.decode(body.decode("utf-8"))
    except UnicodeDecodeError:
        return Unreadable("not_utf8")
    except _DuplicateKey:
        return Unreadable("duplicate_key")
    except RecursionError:
        return Unreadable("too_deep")
    except ValueError:
        return Unreadable("bad_json")


def leaves(document: Any, known: Container[str] = ()) -> Iterator[Leaf]:
    """Every leaf, in the order of the text: keys (but `known` ones), strings, and numbers that say something. Raises TooDeep."""
    literal = nodes = 0
    around: list[Any] = []
    stack: list[tuple[Path, Iterator[tuple[str | int, Any]]]] = [((), iter(((0, document),)))]
    while stack:
        parent, children = stack[-1]
        entry = next(children, None)
        if entry is None:
            stack.pop()
            if around:
                around.pop()
            continue
        key, value = entry
        path = (*parent, key) if len(stack) > 1 else ()
        nodes += 1
        if nodes > MAX_NODES or len(stack) > MAX_DEPTH:
            raise TooDeep
        if isinstance(key, str):
            if key not in known:
                yield Leaf(path, key, literal, True, around)
            literal += 1
        if isinstance(value, str):
            if type(value) is str or len(value) >= SHORT_NUMBER:
                yield Leaf(path, value, literal, False, around)
            literal += 1
        elif isinstance(value, dict):
            stack.append((path, iter(value.items())))
            around.append(value)
        elif isinstance(value, list):
            stack.append((path, iter(enumerate(value))))
            around.append(value)
