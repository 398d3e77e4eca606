"""Small random drawing helpers shared by the corpus generators.

`fill` expands a compact template such as ``glpat-{u:20}`` (twenty URL-safe characters); `expand` expands a
sentence grammar whose placeholders are written ``<name>``.
"""

import re
import string
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from random import Random

DIGITS = string.digits
ALNUM = string.ascii_letters + string.digits
ALPHABETS: dict[str, str] = {
    "d": DIGITS,
    "h": "0123456789abcdef",
    "H": "0123456789ABCDEF",
    "a": ALNUM,
    "u": ALNUM + "-_",
    "w": ALNUM + "_",
    "b": ALNUM + "+/",
    "U": string.ascii_uppercase + DIGITS,
    "l": string.ascii_lowercase + DIGITS,
    "A": string.ascii_uppercase,
    "z": string.ascii_lowercase,
    "B": string.ascii_uppercase + "234567",
    "c": string.ascii_lowercase + "234567",
    "s": "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz",
}
_SLOT = re.compile(r"\{([a-zA-Z]):(\d+)(?:-(\d+))?\}|\{uuid\}")
_NAME = re.compile(r"<([A-Za-z_0-9]+)>")


def chars(rng: Random, alphabet: str, length: int) -> str:
    """Return `length` independent characters of `alphabet`."""
    return "".join(rng.choices(alphabet, k=length))


def digits(rng: Random, length: int, first: str = DIGITS) -> str:
    """Return `length` digits, the first of them drawn from `first`."""
    return rng.choice(first) + chars(rng, DIGITS, length - 1)


def uuid4(rng: Random) -> str:
    """Return a random version 4 UUID in its usual lower-case spelling."""
    text = f"{rng.getrandbits(128):032x}"
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{rng.choice('89ab')}{text[17:20]}-{text[20:]}"


def fill(rng: Random, template: str) -> str:
    """Expand ``{x:n}`` (n characters of alphabet x), ``{x:n-m}`` (n to m of them) and ``{uuid}``."""

    def draw(match: re.Match[str]) -> str:
        if match[0] == "{uuid}":
            return uuid4(rng)
        length = rng.randint(int(match[2]), int(match[3] or match[2]))
        return chars(rng, ALPHABETS[match[1]], length)

    return _SLOT.sub(draw, template)


def expand(rng: Random, grammar: Mapping[str, Sequence[str]], text: str) -> str:
    """Expand every ``<name>`` of `text` by a random entry of `grammar`, recursively, then every `fill` slot.

    A name that the grammar does not know stays as it is, so that text may contain tags.
    """

    def draw(match: re.Match[str]) -> str:
        return (
            _NAME.sub(draw, rng.choice(grammar[match[1]]))
            if match[1] in grammar
            else match[0]
        )

    return fill(rng, _NAME.sub(draw, text))


def day(rng: Random, first: int = 1940, last: int = 2006) -> date:
    """Return a random day of the years `first` to `last`."""
    start = date(first, 1, 1)
    return start + timedelta(days=rng.randrange((date(last, 12, 31) - start).days))


def group(text: str, *sizes: int, sep: str = " ") -> str:
    """Write `text` in groups of the given sizes (the last size repeats)."""
    parts: list[str] = []
    place = index = 0
    while place < len(text):
        size = sizes[min(index, len(sizes) - 1)]
        parts.append(text[place : place + size])
        place, index = place + size, index + 1
    return sep.join(parts)


def words(text: str) -> list[str]:
    """Return the words of `text`; keeps long vocabularies readable in the source."""
    return text.split()


def lines(text: str) -> list[str]:
    """Return the non-empty stripped lines of `text`; keeps lists of sentences readable in the source."""
    return [line.strip() for line in text.splitlines() if line.strip()]
