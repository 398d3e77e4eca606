"""The template of a stream's events: most differ in nothing but one text, and need not be parsed.

    event       {"type":"delta","index":0,"text":"He"}
    template    {"type":"delta","index":0,"text":"  …  "}      before, after
    next event  {"type":"delta","index":0,"text":"llo"}        fits: its text is "llo"

A text with an escape does not fit, and is parsed.
"""

import re
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

from rules.channels import Name, Piece
from rules.redact import literals

# What JSON writes as an escape, or what ends the string.
NOT_PLAIN = re.compile(rb'["\\\x00-\x1f]')


class Bound(NamedTuple):
    """A text that is bound to a signature: as it stands, or in channels so far."""

    signature: str
    text: str
    channels: tuple[Name, ...] = ()


@dataclass(frozen=True, slots=True)
class Texts:
    """The texts of one document.

    `last`: it looks like the last one with text, `final`: of the whole answer.
    `unreadable`: one of REASONS each. `bound` are texts whose signature it has.
    """

    pieces: tuple[Piece, ...] = ()
    last: bool = False
    unreadable: tuple[str, ...] = ()
    document: Any = None
    bound: tuple[Bound, ...] = ()
    final: bool = False


@dataclass(frozen=True, slots=True)
class Template:
    """A document around the one text in it that continues others.

    A document that is equal around that text need not be parsed.
    """

    before: bytes
    after: bytes
    name: str
    texts: Texts
    number: int  # of the text among the pieces

    @property
    def piece(self) -> Piece:
        """The text of this document."""
        return self.texts.pieces[self.number]

    def read(self, body: bytes, name: str) -> Texts | None:
        """The texts of `body`, if it differs in that text alone, and the text has no escapes."""
        text = (
            text_between(body, self.before, self.after) if name == self.name else None
        )
        if text is None:
            return None
        pieces = self.texts.pieces
        return Texts(
            (
                *pieces[: self.number],
                self.piece._replace(text=text),
                *pieces[self.number + 1 :],
            ),
            False,
            self.texts.unreadable,
            None,
        )


def text_between(data: bytes, before: bytes, after: bytes) -> str | None:
    """What stands in `data` between these bytes, as the content of a JSON string.

    None where the bytes differ, or the content is not plain.
    """
    start, end = len(before), len(data) - len(after)
    if (
        start > end
        or not data.startswith(before)
        or not data.endswith(after)
        or NOT_PLAIN.search(data, start, end) is not None
    ):
        return None
    try:
        return data[start:end].decode()
    except UnicodeDecodeError:
        return None


def template_of(body: bytes, name: str, texts: Texts) -> Template | None:
    """The template of a document, where exactly one text of it continues others."""
    continuing = [number for number, piece in enumerate(texts.pieces) if piece.channels]
    if len(continuing) != 1 or texts.last or texts.bound:
        return None
    literal = texts.pieces[continuing[0]].literal
    source = body.decode()
    start, end = next(islice(literals(source), literal, None))
    if source[start] != '"':
        return None
    return Template(
        source[: start + 1].encode(),
        source[end - 1 :].encode(),
        name,
        texts,
        continuing[0],
    )
