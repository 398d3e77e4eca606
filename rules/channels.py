"""Texts that arrive in pieces, as `rules.stream` keeps them: what is known of each, and
the edits in it.

A channel keeps the end of its text in `window`. Positions count from the text's start,
and each character passes these states:

    position                 state      it moves on when
    settled … length         held       later text completes, or rules out, every match there
    free … settled           settled    it is not inside an edit that is still growing
    base … free              free       its event is free in all its channels: then it is sent
    0 … base                 trimmed    (no pattern looks back that far)
"""

from bisect import insort
from collections import deque
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import Any, NamedTuple

from rules.exchange import NOWHERE, Kind, Part, Role
from rules.partial_match import NOTHING, PartialMatches, is_plain
from rules.redact import Edit

Name = tuple[Hashable, ...]  # of a channel
MAX_CHANNELS = 5000  # names, of one answer; a tool call opens some ten
ALL = "all"  # the first member of the name of a channel that has every text of a kind


class Piece(NamedTuple):
    """A text of an event. It continues all of its `channels`; without any it is complete.

    The first channel is the one whose text is judged once more at the end of the answer.
    `literal`: as in `Part`. `arguments` are all that the call of a tool has, where they
    arrive in one event.
    """

    text: str
    channels: tuple[Name, ...]
    role: Role
    kind: Kind
    literal: int
    tool: str = ""
    argument: str = ""
    signature: str = ""
    arguments: Mapping[str, Any] | None = None

    @property
    def part(self) -> Part:
        """The piece as a part of an exchange."""
        return Part(
            text=self.text,
            role=self.role,
            kind=self.kind,
            literal=self.literal,
            tool=self.tool,
            argument=self.argument,
            signature=self.signature,
        )


@dataclass(slots=True, eq=False)
class Channel:
    """One growing text.

    Names that received exactly the same pieces share a channel until they differ.

    `last_event` is the number of the last event with a piece of it. `overtaken`: text
    before this position was sent unsettled. `strict`: such text may still become a
    match, so nothing unsettled is sent any more. `covered` is the end of the last edit
    whose replacement was sent. `plain`: the window is ASCII without escapes. `waits`: a
    placeholder in it, at `waits_at`, is not decided; before `decided` all are. `fixed`: stretches
    of the text that cannot be edited.
    """

    part: Part
    partial: PartialMatches
    names: set[Name]
    window: str = ""
    base: int = 0
    settled: int = 0
    free: int = 0
    last_event: int = 0
    overtaken: int = 0
    strict: bool = False
    covered: int = 0
    plain: bool = False
    waits: bool = False
    waits_at: int = 0
    decided: int = 0
    edits: list[Edit] = field(default_factory=list)
    fixed: deque[tuple[int, int]] = field(default_factory=deque)

    @property
    def length(self) -> int:
        """The length of the text so far."""
        return self.base + len(self.window)

    def add(self, piece: Piece, event: int) -> int:
        """Take a text of an event; the position at which it starts."""
        start = self.length
        self.window += piece.text
        self.last_event = event
        if piece.literal == NOWHERE:
            while self.fixed and self.fixed[0][1] <= self.base:
                self.fixed.popleft()
            self.fixed.append((start, self.length))
        return start

    def is_fixed(self, start: int, end: int) -> bool:
        """Whether a part of this stretch of the window cannot be edited."""
        start, end = start + self.base, end + self.base
        return any(first < end and start < last for first, last in self.fixed)

    def settle(self, settled: int) -> bool:
        """Move `settled` to a position of the window; False where text that was sent
        before it was settled may become a match.
        """
        self.settled = self.base + settled
        if self.overtaken and self.settled < self.overtaken:
            self.strict = True
            return False
        self.overtaken = 0  # no match came of what was sent
        return True

    def release_settled(self) -> None:
        """Move `free` up to what is settled, or to the edit that crosses it."""
        free = self.settled
        for edit in reversed(self.edits):
            # Its replacement goes where the edit begins, which must not be sent before.
            if edit.start < free < edit.end:
                free = edit.start
        self.free = max(self.free, free)
        self.trim()
        self.plain = is_plain(self.window)

    def trim(self) -> None:
        """Forget what no pattern looks back at."""
        behind = self.partial.lookback
        spare = min(self.settled, self.free) - behind - self.base
        # Not character by character: a slice copies the rest of the window.
        if spare > behind:
            self.window = self.window[spare:]
            self.base += spare


class Channels:
    """The channels of one answer, by name. `partial` gives the prefix patterns of a kind."""

    def __init__(self, partial: Mapping[Kind, PartialMatches]):
        self._partial = partial
        self._by_name: dict[Name, Channel] = {}
        # Bound once: it is called for every name of every token.
        self.find = self._by_name.get

    def __iter__(self) -> Iterator[Channel]:
        return iter(dict.fromkeys(self._by_name.values()))

    def extend_idle(self, names: Sequence[Name], text: str) -> bool:
        """Add a text to all channels of these names, if it is settled in each at once.

        False: nothing was added.
        """
        channels = dict.fromkeys(map(self.find, names))
        known = 0
        for channel in channels:
            if channel is None or not channel.plain:
                return False
            if channel.settled < channel.base + len(channel.window):
                return False
            if not channel.partial.is_idle(channel.window[-1:], text):
                return False
            known += len(channel.names)
        if known != len(names):
            return False
        for channel in channels:
            assert channel is not None
            channel.window += text
            channel.settled = channel.free = channel.base + len(channel.window)
            if len(channel.window) > 4 * channel.partial.lookback:
                channel.trim()
        return True

    def tool_of(self, name: Name) -> str:
        """The tool whose call a channel has; empty where it is not known."""
        channel = self._by_name.get(name)
        return channel.part.tool if channel is not None else ""

    def continued_by(self, piece: Piece) -> tuple[list[Channel], list["Split"], bool]:
        """The channels of a piece; the splits that were made for it; False where
        MAX_CHANNELS prevented one.

        Names that received the same pieces so far share a channel.
        """
        together: dict[Channel, list[Name]] = {}
        new: list[Name] = []
        complete = True
        for name in piece.channels:
            channel = self._by_name.get(name)
            if channel is not None:
                together.setdefault(channel, []).append(name)
            elif len(self._by_name) < MAX_CHANNELS or name[0] == ALL:
                new.append(name)
            else:
                complete = False
        # `all` texts and text 0 are the same until text 1 begins: one channel, scanned once.
        # Then `all` continues with both, and text 0 keeps a copy of its own.
        channels, splits = [], []
        for channel, names in together.items():
            if len(names) == len(channel.names):
                channels.append(channel)
            else:
                splits.append(Split(channel, self._split(channel, names)))
                channels.append(splits[-1].other)
        if new:
            part = piece.part._replace(text="")
            kind: Kind = "tool_call" if piece.kind == "tool_call" else "text"
            partial = self._partial.get(kind, NOTHING)
            channels.append(Channel(part, partial, set(new)))
            self._by_name.update(dict.fromkeys(new, channels[-1]))
        for channel in channels:
            if piece.tool and piece.tool != channel.part.tool:
                channel.part = channel.part._replace(tool=piece.tool)
        return channels, splits, complete

    def _split(self, channel: Channel, names: Sequence[Name]) -> Channel:
        """Part some names of a channel from the others."""
        other = replace(
            channel,
            names=set(names),
            edits=list(channel.edits),
            fixed=channel.fixed.copy(),
        )
        channel.names.difference_update(names)
        self._by_name.update(dict.fromkeys(names, other))
        return other


class Split(NamedTuple):
    """A channel of which some names went another way, and their channel from now on."""

    channel: Channel
    other: Channel


class Span(NamedTuple):
    """Where a piece stands in one of its channels, and its literal in the event."""

    channel: Channel
    start: int
    end: int
    literal: int


@dataclass(slots=True, eq=False)
class Waiting[Payload]:
    """An event that waits. Its spans before number `first` are free."""

    payload: Payload
    spans: tuple[Span, ...]
    edits: tuple[Edit, ...]
    size: int
    first: int = 0


class Released[Payload](NamedTuple):
    """An event that may be sent, with its edits."""

    payload: Payload
    edits: tuple[Edit, ...]


def after_split(spans: Sequence[Span], split: Split) -> list[Span]:
    """Copies of the old channel's spans, for the new one."""
    return [
        span._replace(channel=split.other)
        for span in spans
        if span.channel is split.channel
    ]


def edits_of(spans: Sequence[Span]) -> tuple[Edit, ...]:
    """The edits in an event's pieces.

    Where an edit reaches over several events, the first one gets the replacement, and the
    covered text of the others is removed.
    """
    edits: list[Edit] = []
    for channel, first, last, literal in spans:
        while channel.edits and channel.edits[0].end <= first:
            del channel.edits[0]
        for edit in channel.edits:
            if edit.start >= last:
                break
            # The replacement was sent with an earlier event: here the rest only disappears.
            text = "" if edit.start < channel.covered else edit.text
            start, end = max(edit.start, first) - first, min(edit.end, last) - first
            insert_edit(edits, Edit(literal, start, end, text))
            channel.covered = max(channel.covered, edit.end)
    return tuple(edits)


def insert_edit(edits: list[Edit], edit: Edit) -> None:
    """Insert an edit in order. Edits that overlap become one, with the first one's text."""
    at = len(edits)
    while at and (edits[at - 1].literal, edits[at - 1].end) > (
        edit.literal,
        edit.start,
    ):
        at -= 1
    while (
        at < len(edits)
        and edits[at].literal == edit.literal
        and edits[at].start < edit.end
    ):
        other = edits.pop(at)
        first, second = (other, edit) if other.start <= edit.start else (edit, other)
        edit = Edit(
            edit.literal,
            min(edit.start, other.start),
            max(edit.end, other.end),
            first.text or second.text,
        )
    insort(edits, edit, key=attrgetter("literal", "start"))


def settled_now(
    place: tuple[int, int, int], scanned: Sequence[tuple[Channel, int]]
) -> bool:
    """Whether a finding's place was settled just now, or is in a complete text."""
    number, start, end = place
    if number >= len(scanned):
        return True
    channel, before = scanned[number]
    return channel.base + start < channel.settled and channel.base + end > before


def with_fixed(
    parts: tuple[Part, ...],
    places: Iterable[tuple[int, int, int]],
    scanned: Sequence[tuple[Channel, int]],
) -> tuple[Part, ...]:
    """The parts, the first of which are the windows of these channels. One with a place that cannot
    be edited stands nowhere.
    """
    fixed = {
        text
        for text, start, end in places
        if text < len(scanned) and scanned[text][0].is_fixed(start, end)
    }
    if not fixed:
        return parts
    return tuple(
        part._replace(literal=NOWHERE) if number in fixed else part
        for number, part in enumerate(parts)
    )
