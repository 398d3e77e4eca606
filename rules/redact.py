"""The only code that edits text: splice placeholders into a JSON body and leave every other byte as it was.

A body's literals are its strings (keys included) and numbers, counted in the order they stand; an edit names one by that count
and a range of characters of its decoded text.
"""

import hmac
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from operator import attrgetter

from rules.model import Redact

# A string or a number of a valid JSON document, wherever a scan from the left meets one. Linear: no two ways to match.
LITERAL = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|-?\d[\d.eE+-]*', re.DOTALL)
# One decoded character that is written as more than itself.
ESCAPE = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\.", re.DOTALL
)
LETTERS = str.maketrans(
    "0123456789abcdef", "bcdfghjklmnpqrst"
)  # no digits, which might be numbers; no vowels, which might make words
HASH_LENGTH = 8


@dataclass(frozen=True, slots=True)
class Edit:
    """Put `text` in place of characters `start` to `end` of literal number `literal`."""

    literal: int
    start: int
    end: int
    text: str


def placeholder(rule: str, redact: Redact, hash: str) -> str:
    """What stands in place of a finding. By default one word, so that no keyword is found in it."""
    return redact.placeholder.replace("{rule}", rule).replace("{type}", kind_of(rule)).replace("{hash}", hash)


@lru_cache(maxsize=4096)
def kind_of(rule: str) -> str:
    """A rule's id as one word."""
    return "".join(character if character.isalnum() else "_" for character in rule)


def stand_in(rule: str, redact: Redact, value: str, key: bytes) -> str:
    """The placeholder of a value: the same for the same value under one key, and telling nothing of it."""
    if "{hash}" not in redact.placeholder:
        return placeholder(rule, redact, "")
    content = f"{rule}\0{value}".encode("utf-8", "surrogatepass")
    return placeholder(
        rule, redact, hmac.digest(key, content, "sha256").hex()[:HASH_LENGTH].translate(LETTERS)
    )


def merged(weighted: Iterable[tuple[int, Edit]]) -> tuple[Edit, ...]:
    """Edits that do not overlap: those that did become one, under the text of the weightiest."""
    result: list[tuple[int, Edit]] = []
    for weight, edit in sorted(weighted, key=lambda item: (item[1].literal, item[1].start, -item[1].end)):
        if result and result[-1][1].literal == edit.literal and edit.start < result[-1][1].end:
            kept_weight, kept = result[-1]
            text = edit.text if weight > kept_weight else kept.text
            result[-1] = (
                max(weight, kept_weight),
                Edit(edit.literal, kept.start, max(kept.end, edit.end), text),
            )
        else:
            result.append((weight, edit))
    return tuple(edit for _, edit in result)


def splice(body: bytes, edits: Sequence[Edit]) -> bytes:
    """The body with the edits made. `body` must be the valid UTF-8 JSON that the edits' literals were counted in.

    A number that is edited becomes a string. Raises ValueError where an edit names what is not there; never leaves one out.
    """
    source = body.decode("utf-8")
    pieces, done = [], 0
    literals = enumerate(LITERAL.finditer(source))
    for wanted, group in groupby(
        sorted(edits, key=attrgetter("literal", "start")), key=attrgetter("literal")
    ):
        token = next((match for number, match in literals if number == wanted), None)
        if token is None:
            raise ValueError(f"the body has no literal {wanted}")
        pieces += [source[done : token.start()], _rewritten(token[0], list(group))]
        done = token.end()
    return "".join((*pieces, source[done:])).encode("utf-8")


def _rewritten(token: str, edits: Sequence[Edit]) -> str:
    """One literal with its edits made; raw characters outside them are kept as they were written."""
    raw = token[1:-1] if token[0] == '"' else token
    place = _places(raw)
    pieces, done = [], 0
    for edit in edits:
        start, end = place(edit.start), place(edit.end)
        if not 0 <= edit.start < edit.end or start is None or end is None:
            raise ValueError(f"literal {edit.literal} has no characters {edit.start} to {edit.end}")
        pieces += [raw[done:start], edit.text]
        done = end
    return '"' + "".join((*pieces, raw[done:])) + '"'


def _places(raw: str) -> Callable[[int], int | None]:
    """Where in the raw text a decoded character begins; asked in rising order. None beyond the end."""
    escapes = ESCAPE.finditer(raw) if "\\" in raw else iter(())
    following = next(escapes, None)
    shift = 0  # raw places minus decoded ones

    def place(index: int) -> int | None:
        nonlocal following, shift
        while following is not None and following.start() < index + shift:
            shift += following.end() - following.start() - 1
            following = next(escapes, None)
        return index + shift if index + shift <= len(raw) else None

    return place
