"""A JSON body as its leaves: every text that would leave, with its place.

Keys, strings and longer numbers are all leaves, so nothing is passed over because nobody thought of the field. A leaf's `literal`
counts the body's literals as rules.redact does. Total and bounded: any bytes give a document or Unreadable.
"""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from rules.exchange import Unreadable

MAX_DEPTH = 64
MAX_LITERALS = 400_000
SHORT_NUMBER = 6  # digits; a shorter number holds no card, account or telephone

Path = tuple[str | int, ...]


class Number(str):
    """A number as it was written."""

    __slots__ = ()


class Leaf(NamedTuple):
    """`path` leads from the root to the leaf; a key's path ends in the key itself."""

    path: Path
    text: str
    literal: int
    is_key: bool


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


def leaves(document: Any) -> list[Leaf] | Unreadable:
    """Every leaf, in the order of the text; keys, strings, and numbers that are long enough to say something."""
    found: list[Leaf] = []
    literal = 0
    stack: list[tuple[Path, Iterator[tuple[str | int, Any]]]] = [((), iter(((0, document),)))]
    while stack:
        parent, children = stack[-1]
        entry = next(children, None)
        if entry is None:
            stack.pop()
            continue
        key, value = entry
        path = (*parent, key) if len(stack) > 1 else ()
        if isinstance(key, str):
            found.append(Leaf(path, key, literal, True))
            literal += 1
        if isinstance(value, str):
            if type(value) is str or len(value) >= SHORT_NUMBER:
                found.append(Leaf(path, value, literal, False))
            literal += 1
        elif isinstance(value, dict):
            stack.append((path, iter(value.items())))
        elif isinstance(value, list):
            stack.append((path, iter(enumerate(value))))
        if literal > MAX_LITERALS or len(stack) > MAX_DEPTH:
            return Unreadable("too_deep")
    return found
