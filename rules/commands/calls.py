"""Judges the commands in a streamed answer's tool calls, each when it is complete.

The event that completes the arguments waits until they are judged, so no client has a whole
call that a rule would have stopped.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import replace

from rules.channels import Name, Piece
from rules.commands.lines import lines_of
from rules.evaluate import evaluate_by
from rules.exchange import Exchange, Part
from rules.rulebook import Rulebook
from rules.verdict import Verdict

OUTSIDE = re.compile(r'["{}\[\]]')
INSIDE = re.compile(r'["\\]')
SIGNS = re.compile(r'["\\{}\[\]]')


class JsonEnd:
    """Follows the arguments of one call through their pieces. Linear in their length."""

    __slots__ = ("_depth", "_escaped", "_in_string", "begun", "is_json", "judged", "length")  # fmt: skip

    def __init__(self) -> None:
        self.length = self.judged = 0  # characters: so far, and when last judged
        self.begun = self.is_json = False
        self._depth = 0
        self._in_string = self._escaped = False

    def changes_nothing(self, text: str) -> bool:
        """Whether a piece has no sign of JSON. If it has, it must be given to `ends_in`."""
        if not self.is_json or SIGNS.search(text) is not None:
            return False
        self.length += len(text)
        self._escaped = self._escaped and not text
        return True

    def ends_in(self, text: str) -> bool:
        """Take a piece; whether an object or array ends in it."""
        if not self.begun:
            first = text.lstrip()[:1]
            self.begun, self.is_json = bool(first), first in ("{", "[")
        self.length += len(text)
        if not self.is_json:
            return False
        at, ended = int(self._escaped and bool(text)), False
        self._escaped = self._escaped and not text
        while True:
            found = (INSIDE if self._in_string else OUTSIDE).search(text, at)
            if found is None:
                self.is_json = not ended  # what follows an end is not JSON
                return ended
            at, sign = found.end(), found[0]
            if sign == "\\":
                self._escaped = at >= len(text)
                at += 1
            elif sign == '"':
                self._in_string = not self._in_string
            elif sign in "{[":
                self._depth += 1
            else:
                self._depth -= 1
                ended = ended or self._depth <= 0


MAX_CALLS = (
    5_000  # calls of one answer that are followed, as many as there are channels
)


class StreamedCalls:
    """The calls of one answer, by the book of its rules on commands, if it has any."""

    def __init__(self, book: Rulebook | None, exchange: Exchange, key: bytes):
        self.ended: set[Name] = set()  # the channels whose arguments ended last
        self._book, self._exchange, self._key = book, exchange, key
        self._open: dict[Name, JsonEnd] = {}

    def changes_nothing(self, name: Name, text: str) -> bool:
        """Whether a piece cannot end the arguments that it continues."""
        call = self._open.get(name)
        return call is None or call.changes_nothing(text)

    def judge(
        self,
        pieces: Iterable[Piece],
        text: Callable[[Name], str],
        tool: Callable[[Name], str],
    ) -> tuple[Verdict | None, list[str]]:
        """The verdict on the calls that end with these pieces, None where none does; and
        why some could not be read. `text` and `tool` are what is known of a channel.
        """
        ended, unread = [], []
        self.ended.clear()
        for piece in pieces:
            part = self._ended(piece, text, tool) if piece.kind == "tool_call" else None
            if isinstance(part, str):
                unread.append(part)
            elif part is not None:
                ended.append(part)
        if not ended or self._book is None:
            return None, unread
        exchange = replace(self._exchange, parts=tuple(ended))
        return evaluate_by(self._book, exchange, key=self._key), unread

    def _ended(
        self, piece: Piece, text: Callable[[Name], str], tool: Callable[[Name], str]
    ) -> Part | str | None:
        """The arguments that end with a piece, or why they cannot be read."""
        if not piece.channels:
            return piece.part  # complete by itself
        name = piece.channels[0]
        if name not in self._open and len(self._open) >= MAX_CALLS:
            return "too_deep"
        call = self._open.setdefault(name, JsonEnd())
        length = call.length + len(piece.text)
        ended = call.ends_in(piece.text)
        if ended:
            self.ended.add(name)
        # Where no JSON says where arguments end, they are judged each time they have doubled.
        if not ended and (call.is_json or length < 2 * call.judged):
            return None
        call.judged = length
        whole = text(name) + piece.text
        part = piece.part._replace(text=whole, tool=piece.tool or tool(name))
        return "long_command" if lines_of(part).cut else part
