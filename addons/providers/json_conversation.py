"""The next turn of a conversation, read from where it differs from the one before it.

    one turn      {"model": …, "messages": [ a, b, c, d      ], "tools": …}
    the next one  {"model": …, "messages": [ a, b, c, d', e, f], "tools": …}
                  ╰───────── head ──────────────╯╰─ more ──╯╰─── tail ───╯

A body that begins with the head and ends with the tail has between them a list's items, or
is no JSON: so only those are parsed, and the parts of head and tail are the ones that are
known. Where anything is unusual the body is read whole. The last messages are not in the
head, since clients change them afterwards.
"""

from collections.abc import Callable
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import msgspec

from addons.providers.provider import Call, Conversation, Format
from rules.leaves import Leaf, Unread, quickly

# Bytes of a body: a shorter one is read as fast as it is compared, and a longer one is not kept.
SHORTEST, LONGEST = 4 * 1024, 1024 * 1024
SAMPLE = 256  # bytes that show whether it may be worth to look closer
NODE = 200  # bytes of memory that a node of a document takes, beside what was written
# What a provider bound to a signature is marked so.
SIGNS = (b"ignature", b"redacted_thinking", b"redactedContent", b"encrypted_content")
BLANKS, MOST_BLANKS = b" \t\r\n", 256

_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_items = msgspec.json.Decoder(list[msgspec.Raw])


class TurnFormat(Format, Protocol):
    """A format whose conversations can be continued: `JsonFormat` says what its members are."""

    @property
    def plain(self) -> str | None: ...
    @property
    def signed(self) -> Callable[[Leaf], str] | None: ...

    def call(
        self, reading: Any, path: str, model: str, conversation: Conversation | None
    ) -> Call:
        """The call of a reading."""


class Reading(Protocol):
    """One pass through a body, `json_reading.Reading`."""

    has_signs: bool

    @property
    def nodes(self) -> int:
        """Values and keys of the document."""

    @property
    def lasting(self) -> int:
        """How many messages the next turn repeats."""

    @property
    def loose(self) -> int:
        """How many at its end it may have in another form."""

    @property
    def is_plain(self) -> bool:
        """Whether all of it is text, in a list of messages, and not too much of it."""

    def next(self, messages: list[Any], body: bytes, /) -> "Reading | None":
        """The reading of a call that repeats this one's first messages, and has these behind them."""


class Place(NamedTuple):
    """What the next turn begins and ends with."""

    head: bytes
    tail: bytes


class JsonConversation:
    """A call that was read whole, or as the next turn of one."""

    def __init__(
        self,
        format: TurnFormat,
        body: bytes,
        reading: Reading,
        place: Place | None = None,
    ):
        """Without its `place` the whole `body` is kept until one may continue it."""
        self.format, self._reading = format, reading
        self.size = 2 * len(body) + NODE * reading.nodes
        self._sample = (body if place is None else place.head)[:SAMPLE]
        if place is None:
            self._body = body
        else:
            self._place = place

    @property
    def cut(self) -> int:
        """As in `Conversation`."""
        return len(self._place.head) if self._place is not None else 0

    def more(self, body: bytes) -> bytes | None:
        """As in `Conversation`."""
        if len(body) > LONGEST or not body.startswith(self._sample):
            return None
        if (place := self._place) is None:
            return None
        head, tail = place
        end = len(body) - len(tail)
        if end < len(head) or not (body.startswith(head) and body.endswith(tail)):
            return None
        return body[len(head) : end]

    def next(self, more: bytes, path: str, model: str) -> Call | None:
        """As in `Conversation`."""
        # A string stands for the last message before: nothing but a comma continues it.
        items = quickly(b'[[""' + more + b"]]")
        if not isinstance(items, list) or len(items) != 1 or not self._signs_alike(more):  # fmt: skip
            return None
        try:
            reading = self._reading.next(items[0][1:], more)
        except Unread:
            return None
        if reading is None:
            return None
        conversation = self._continued(more, reading) if reading.is_plain else None
        return self.format.call(reading, path, model, conversation)

    def _signs_alike(self, more: bytes) -> bool:
        """Whether a reading of the whole body would look for signatures as that of this call did."""
        if self.format.signed is None or self._signed:
            return True
        return not self._reading.has_signs and not has_signs(more)

    @cached_property
    def _signed(self) -> bool:
        """Whether what the next turn repeats has signatures."""
        place = self._place
        return place is not None and (has_signs(place.head) or has_signs(place.tail))

    @cached_property
    def _place(self) -> Place | None:
        """None where a body is written in a way that nobody writes."""
        plain, body, self._body = self.format.plain, self._body, b""
        assert plain is not None
        end = _end_of(body, plain)
        if end is None:
            return None
        at, messages = end
        cut = _before(body, at, _items.decode(messages)[-self._reading.loose :])
        if cut is None:
            return None
        self._sample = self._sample[:cut]
        return Place(body[:cut], body[at:])

    def _continued(self, more: bytes, reading: Reading) -> Conversation | None:
        """The conversation of the next turn."""
        assert self._place is not None
        head, tail = self._place
        if reading.lasting > self._reading.lasting:
            items = _items.decode(b'[""' + more + b"]")[-reading.loose :]
            cut = _before(more, len(more), items)
            if cut is None:
                return None
            head += more[:cut]
        body = self._place.head + more + tail
        return JsonConversation(self.format, body, reading, Place(head, tail))


def has_signs(body: bytes) -> bool:
    """Whether any text of a body may have a signature."""
    return any(sign in body for sign in SIGNS)


def _end_of(body: bytes, key: str) -> tuple[int, msgspec.Raw] | None:
    """Where the list under a key of the body ends, at its bracket, and the list."""
    members = _members.decode(body)
    at = _back(body, len(body.rstrip(BLANKS)) - 1)
    for name, value in reversed(members.items()):
        if not body.endswith(value, 0, at):
            return None
        if name == key:
            return at - 1, value
        at = _back(body, at - len(memoryview(value)))
        at = _back(body, at - 1)  # the colon
        written = msgspec.json.encode(name)
        if not body.endswith(written, 0, at):
            return None
        at = _back(body, _back(body, at - len(written)) - 1)
    return None


def _before(data: bytes, at: int, items: list[msgspec.Raw]) -> int | None:
    """Where the item ends that stands before these, which end at `at` but for blanks."""
    for item in reversed(items):
        at = _back(data, at)
        if not data.endswith(item, 0, at):
            return None
        at = _back(data, at - len(memoryview(item))) - 1
        if data[at : at + 1] != b",":
            return None
    return at


def _back(data: bytes, at: int) -> int:
    """The same place without the blanks before it, of which there are no more than anybody writes."""
    first = max(0, at - MOST_BLANKS)
    return first + len(data[first:at].rstrip(BLANKS))
