"""The only code that edits a text: puts placeholders into a JSON body and leaves every
other byte unchanged.

A body's literals are its strings (keys included) and its numbers, numbered in their
order. An edit names a literal by its number, and a range of characters of its decoded
text.
"""

import hmac
import json
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

from rules.leaves import SHORT_NUMBER
from rules.model import Redact

# A number of a JSON document, or the beginning of a string, and its end if that is near; and
# more of that string. Linear: there is one way to match. At most 130,000 characters at a time,
# since a match keeps every other thread waiting, a millisecond here and 300 for 30 MB.
_INSIDE = r'[^"\\]{0,65536}(?:\\.[^"\\]{0,64}){0,1000}("?)'
_LITERAL = re.compile(rf'"{_INSIDE}|-?\d[\d.eE+-]*', re.DOTALL)
_MORE = re.compile(_INSIDE, re.DOTALL)
# A character that is written as an escape.
ESCAPE = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\.",
    re.DOTALL,
)
# Characters that do not stand in a JSON string as they are.
NEEDS_ESCAPE = re.compile(r'["\\\x00-\x1f\ud800-\udfff]')
# Letters of a hash: no digits, which could form numbers; no vowels, which could form
# words.
LETTERS = str.maketrans("0123456789abcdef", "bcdfghjklmnpqrst")
# Letters of 16: 32 bits. Two of a thousand values in a call share a hash once in 8,600
# calls.
HASH_LENGTH = 8


class Edit(NamedTuple):
    """Replace characters `start` to `end` of literal number `literal` by `text`."""

    literal: int
    start: int
    end: int
    text: str


def placeholder(rule: str, redact: Redact, hash: str) -> str:
    """What replaces a finding.

    By default it is one word, so that no keyword is found in it.
    """
    return (
        redact.placeholder.replace("{rule}", rule)
        .replace("{type}", kind_of(rule))
        .replace("{hash}", hash)
    )


@lru_cache(maxsize=4096)
def kind_of(rule: str) -> str:
    """A rule's id as one word."""
    return "".join(character if character.isalnum() else "_" for character in rule)


def stand_in(rule: str, redact: Redact, value: str, key: bytes) -> str:
    """The placeholder of a value: the same for the same value under one key, and
    without information on it.
    """
    if "{hash}" not in redact.placeholder:
        return placeholder(rule, redact, "")
    content = f"{rule}\0{value}".encode("utf-8", "surrogatepass")
    return placeholder(
        rule,
        redact,
        hmac.digest(key, content, "sha256").hex()[:HASH_LENGTH].translate(LETTERS),
    )


class StandIns:
    """The placeholders of one exchange, each made once, under one key."""

    def __init__(self, key: bytes):
        self._key = key
        self._made: dict[tuple[str, str], str] = {}

    def of(self, rule: str, redact: Redact, value: str) -> str:
        """The placeholder of a value that a rule found."""
        known = self._made.get((rule, value))
        if known is None:
            known = stand_in(rule, redact, value, self._key)
            self._made[rule, value] = known
        return known


def merged(weighted: Iterable[tuple[int, Edit]]) -> tuple[Edit, ...]:
    """Edits that do not overlap.

    Those that did become one, with the text of the highest priority.
    """
    result: list[tuple[int, Edit]] = []
    for weight, edit in sorted(
        weighted, key=lambda item: (item[1].literal, item[1].start, -item[1].end)
    ):
        if (
            result
            and result[-1][1].literal == edit.literal
            and edit.start < result[-1][1].end
        ):
            kept_weight, kept = result[-1]
            text = edit.text if weight > kept_weight else kept.text
            # The union, so that no character of either finding remains.
            result[-1] = (
                max(weight, kept_weight),
                Edit(edit.literal, kept.start, max(kept.end, edit.end), text),
            )
        else:
            result.append((weight, edit))
    return tuple(edit for _, edit in result)


def literals(source: str) -> Iterator[tuple[int, int]]:
    """Where the strings and numbers of a valid JSON document begin and end, in its order."""
    end = 0
    while found := _LITERAL.search(source, end):
        start, end, closed = found.start(), found.end(), found[1]
        while closed == "" and (more := _MORE.match(source, end)) and more[0]:
            end, closed = more.end(), more[1]
        yield start, end


def splice(body: bytes, edits: Sequence[Edit]) -> bytes:
    """The body with its edits made.

    `body` must be the valid UTF-8 JSON whose literals the edits number. An edited
    number becomes another number. Raises ValueError where an edit names what is not there;
    never leaves one out.
    """
    source = body.decode("utf-8")
    pieces, done = [], 0
    # Both in one walk: literals and edits are in the order of the body.
    numbered = enumerate(literals(source))
    for wanted, group in groupby(
        sorted(edits, key=attrgetter("literal", "start")), key=attrgetter("literal")
    ):
        span = next((span for number, span in numbered if number == wanted), None)
        if span is None:
            raise ValueError(f"the body has no literal {wanted}")
        start, end = span
        pieces += [source[done:start], _rewritten(source[start:end], list(group))]
        done = end
    return "".join((*pieces, source[done:])).encode("utf-8")


def escaped(text: str) -> str:
    """A text as it stands inside a JSON string."""
    if NEEDS_ESCAPE.search(text) is None:
        return text  # as nearly every placeholder
    try:
        text.encode()
    except UnicodeEncodeError:  # half a character, which only an escape can write
        return json.dumps(text)[1:-1]
    return json.dumps(text, ensure_ascii=False)[1:-1]


def _rewritten(token: str, edits: Sequence[Edit]) -> str:
    """A literal with its edits made.

    Characters outside of them stay as they were written.
    """
    raw = token[1:-1] if token[0] == '"' else token
    place = _places(raw)
    pieces, done = [], 0
    for edit in edits:
        start, end = place(edit.start), place(edit.end)
        if not 0 <= edit.start < edit.end or start is None or end is None:
            raise ValueError(
                f"literal {edit.literal} has no characters {edit.start} to {edit.end}"
            )
        pieces += [raw[done:start], escaped(edit.text)]
        done = end
    text = "".join((*pieces, raw[done:]))
    return f'"{text}"' if token[0] == '"' else _number(text)


def _number(text: str) -> str:
    """A number in place of one with a finding, since its reader wants a number.

    Another one for another placeholder, and shorter than any number that is judged: no
    check digit can accept it.
    """
    lowest = 10 ** (SHORT_NUMBER - 2)
    return str(lowest + zlib.crc32(text.encode()) % (9 * lowest))


def _places(raw: str) -> Callable[[int], int | None]:
    """Where decoded characters begin in the raw text, asked for in rising order.

    None beyond the end.
    """
    escapes = ESCAPE.finditer(raw) if "\\" in raw else iter(())
    following = next(escapes, None)
    shift = 0  # raw position minus decoded position

    def place(index: int) -> int | None:
        nonlocal following, shift
        # `a\nb`: character 2 is raw character 3, since the escape before it took one more.
        while following is not None and following.start() < index + shift:
            shift += following.end() - following.start() - 1
            following = next(escapes, None)
        return index + shift if index + shift <= len(raw) else None

    return place
