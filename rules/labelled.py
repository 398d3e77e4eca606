"""Arguments of a tool that are an object, read with their names: to a model, the two are one assignment.

    {"db_password": "Zx81mk3ls!"}     two texts, and no rule knows the second by itself
    view  "db_password": "Zx81mk3ls!"

Where the arguments are one string of JSON, it reads so by itself.
"""

import re
from collections.abc import Iterator, Sequence
from functools import partial

from rules.exchange import Part
from rules.views import Place, View

# Names that may be a secret's; the rules say which are.
NAMES = re.compile(r"pass|pwd|pw\b|secret|token|key|credential|auth|code|pin\b|cvv|iban|ssn", re.IGNORECASE)  # fmt: skip
# Characters of a value that is read so; a longer one is no password, and other tokens are
# known by their own form.
LONGEST = 4096


def labels(parts: Sequence[Part]) -> list[tuple[int, str]]:
    """The numbers of arguments whose name says something of their value, with that name."""
    return [
        (number, part.argument)
        for number, part in enumerate(parts)
        if part.argument
        and part.kind == "tool_call"
        and len(part.text) <= LONGEST
        and NAMES.search(part.argument)
    ]


def labelled(texts: Sequence[str], labels: Sequence[tuple[int, str]]) -> Iterator[View]:
    """A view for each of them: its name, and the text."""
    for number, name in labels:
        shown, length = as_named(name, texts[number]), len(texts[number])
        yield View(shown, partial(_back, number, len(shown) - 1 - length, length))


def as_named(name: str, text: str) -> str:
    """A text behind its name, as JSON has them."""
    return f'"{name}": "{text}"'


def _back(number: int, before: int, length: int, start: int, end: int) -> list[Place]:
    first, last = max(start - before, 0), min(end - before, length)
    return [(number, first, last)] if first < last else []
