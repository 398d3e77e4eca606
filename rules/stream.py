"""An answer judged while it comes: texts in pieces in, what may be released out, in the order in which it came.

An event is released once all of its text is settled (rules.live): then whatever follows, what is found in it is found already. What is
redacted is edited in the events that hold it; a block ends the stream before anything of what was found is out. Each event is judged
by itself, so the same events give the same result however their bytes were cut. At the end the whole answer is judged once more, by
the rules that cannot decide earlier. Pure; holds MAX_HELD characters of a text and as many events as wait for them.
"""

from collections import deque
from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from rules.evaluate import Verdict, decide, evaluate
from rules.exchange import NOWHERE, Coverage, Exchange, Kind, Part, Role
from rules.live import NOTHING, Live, is_plain
from rules.redact import Edit
from rules.rulebook import Rulebook

MAX_HELD = 8 * 1024  # characters of one text that wait; patterns of a bounded width need less, so this is for the others
MAX_KEPT = 1024 * 1024  # characters of an answer that are judged once more at its end
OVERHEAD = 100  # characters that a text which is whole counts for besides its own


Name = tuple[Hashable, ...]  # of a text that comes in pieces


class Piece(NamedTuple):
    """A text of an event. With a `channel` it goes on what came there before; without, it is whole. `literal`: as in Part."""

    text: str
    channel: Name | None
    role: Role
    kind: Kind
    literal: int
    tool: str = ""


class Released[Payload](NamedTuple):
    """An event that may go on, with what is to be changed in it."""

    payload: Payload
    edits: tuple[Edit, ...]


@dataclass(slots=True)
class _Channel:
    """A text that comes in pieces. Places are counted from its start; `window` holds it from `base` on."""

    part: Part
    live: Live
    window: str = ""
    base: int = 0
    settled: int = 0  # what stands before is found
    free: int = 0  # what stands before may go
    covered: int = 0  # the end of the last edit of which the text is out
    plain: bool = False  # nothing in the window stands for anything else
    edits: list[Edit] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)

    @property
    def length(self) -> int:
        return self.base + len(self.window)


@dataclass(slots=True)
class _Waiting[Payload]:
    payload: Payload
    pieces: tuple[tuple[_Channel, int, int, int], ...]  # channel, start, end, literal
    edits: tuple[Edit, ...]


class Stream[Payload]:
    """One answer. After `blocked` is set nothing more is released."""

    def __init__(self, book: Rulebook, exchange: Exchange, *, key: bytes, restore: Sequence[tuple[str, str]] = ()):
        """`exchange` is the answer's context, without parts; `restore` are placeholders and what stands for them."""
        self.blocked: Verdict | None = None
        self.redacted = False
        self.unreadable: dict[str, None] = {}
        self._book, self._exchange, self._key = book, exchange, key
        self._acting = book.stream
        self._restore = Restore(restore) if restore else None
        self._channels: dict[Name, _Channel] = {}
        self._fields: dict[tuple[str, ...], Part] = {}
        self._clean: set[tuple[str, ...]] = set()
        self._kept = 0
        self._concluded: tuple[object, Verdict] | None = None
        self._queue: deque[_Waiting[Payload]] = deque()

    def is_clean(self, pieces: Sequence[Piece]) -> bool:
        """Whether all texts among these that are whole were judged before, and nothing was found in them."""
        return all(piece.channel is not None or piece[:1] + piece[2:4] in self._clean for piece in pieces)

    @property
    def waiting(self) -> int:
        """How many events are held."""
        return len(self._queue)

    def feed(self, payload: Payload, pieces: Sequence[Piece], ended: Sequence[Name] = ()) -> list[Released[Payload]]:
        """Take one event; give what may go on now. Nothing more will come to channels whose names begin as one of `ended`."""
        touched: dict[int, _Channel] = {}
        places: list[tuple[_Channel, int, int, int]] = []
        whole: list[Piece] = []
        for piece in pieces:
            if piece.channel is None:
                if piece.text and piece[:1] + piece[2:4] not in self._clean:
                    whole.append(piece)
                continue
            channel = self._channel(piece.channel, piece)
            start = channel.length
            channel.window += piece.text
            if self._may_keep(len(piece.text)):
                channel.kept.append(piece.text)
            places.append((channel, start, channel.length, piece.literal))
            touched[id(channel)] = channel
        closing = [one for prefix in ended for one in self._under(prefix)]
        edits = self._judge([*touched.values()], whole, closing)
        self._queue.append(_Waiting(payload, tuple(places), edits))
        if ended and all(channel.settled == channel.length for channel in self._channels.values()):
            self._conclude()
        return self._release()

    def go_on(self, name: Name, text: str) -> bool:
        """Whether an event that differs from the last one in nothing but this text may go on at once; then it has."""
        channel = self._channels.get(name)
        if channel is None or self._queue or self._restore is not None or not channel.plain or channel.settled < channel.length:
            return False
        if not channel.live.idle(channel.window[-1:], text):
            return False
        if self._may_keep(len(text)):
            channel.kept.append(text)
        channel.window += text
        channel.settled = channel.free = channel.length
        self._trim(channel)
        return True

    def end(self) -> list[Released[Payload]]:
        """Nothing more comes: all is settled."""
        self._judge([], [], list(self._channels.values()))
        self._conclude()
        return self._release()

    def held(self) -> list[Payload]:
        """The events that wait, no longer held."""
        waiting = [event.payload for event in self._queue]
        self._queue.clear()
        return waiting

    def cannot_read(self, reason: str) -> None:
        """Something could not be looked at: one of rules.exchange.REASONS. A rule may block for it."""
        if reason not in self.unreadable:
            self.unreadable[reason] = None
            self._conclude()

    def _under(self, prefix: Name) -> list[_Channel]:
        """The channels whose names begin so, of those that are not settled."""
        return [one for name, one in self._channels.items() if one.settled < one.length and name[: len(prefix)] == prefix]

    @property
    def coverage(self) -> Coverage:
        """How much of the answer was readable."""
        return self._so_far().coverage

    def _so_far(self) -> Exchange:
        parts = [channel.part._replace(text="".join(channel.kept)) for channel in self._channels.values()]
        return replace(self._exchange, parts=(*parts, *self._fields.values()), unreadable=tuple(self.unreadable))

    def _conclude(self) -> None:
        """Block where the whole asks for it, before the last event is out."""
        if self.blocked is None and (verdict := self.verdict()).action == "BLOCK":
            self.blocked = verdict

    def verdict(self) -> Verdict:
        """The whole answer judged. What could no longer be taken back is said beside what was done."""
        known = (self._kept, len(self.unreadable), self.blocked, self.redacted)
        if self._concluded is None or self._concluded[0] != known:
            self._concluded = (known, self._judged())
        return self._concluded[1]

    def _judged(self) -> Verdict:
        verdict = evaluate(self._book, self._so_far(), key=self._key)
        if self.blocked is not None:
            known = {one.judge.id for one in verdict.fired}
            fired = (*verdict.fired, *(one for one in self.blocked.fired if one.judge.id not in known))
            return replace(verdict, action="BLOCK", by=self.blocked.by, fired=fired, would=None, edits=())
        if self.redacted and verdict.action in ("ALLOW", "FLAG"):
            return replace(verdict, action="REDACT")
        if verdict.action == "REDACT" and not self.redacted:
            return replace(verdict, action="FLAG", would="REDACT", edits=())
        return verdict

    # -- judging ------------------------------------------------------------------------------------------------------

    def _channel(self, name: Name, piece: Piece) -> _Channel:
        channel = self._channels.get(name)
        if channel is None:
            part = Part("", piece.role, piece.kind, piece.literal, piece.tool)
            live = self._acting.live.get("tool_call" if piece.kind == "tool_call" else "text", NOTHING) if self._acting else NOTHING
            channel = self._channels[name] = _Channel(part, live)
        return channel

    def _judge(self, touched: Sequence[_Channel], whole: Sequence[Piece], closing: Sequence[_Channel]) -> tuple[Edit, ...]:
        """Settle what can be; the edits of the texts that are whole."""
        fields = [Part(piece.text, piece.role, piece.kind, piece.literal, piece.tool) for piece in whole]
        moved: list[tuple[_Channel, int]] = []  # and where it was settled before
        for channel in touched:
            if channel not in closing:
                moved.append((channel, channel.settled))
                self._settle(channel)
        for channel in closing:
            moved.append((channel, channel.settled))
            channel.settled = channel.length
        scanned = [(channel, before) for channel, before in moved if channel.live.may_match(channel.window, before - channel.base)]
        edits = self._decide(scanned, fields)
        for channel, before in moved:
            if self._restore is not None:
                channel.edits += self._restore.edits(channel.window, channel.base, before, channel.settled)
            self._free(channel)
        return edits

    def _settle(self, channel: _Channel) -> None:
        """Move the place up to which everything is found."""
        first = channel.settled - channel.base
        settled = channel.live.start(channel.window, first)
        if self._restore is not None:
            settled = min(settled, self._restore.start(channel.window, first))
        if len(channel.window) - settled > MAX_HELD:
            settled = len(channel.window)
            self.unreadable["endless"] = None
        channel.settled = channel.base + settled

    def _decide(self, scanned: Sequence[tuple[_Channel, int]], fields: Sequence[Part]) -> tuple[Edit, ...]:
        """Judge what was settled just now, and whole texts."""
        book = self._acting
        if book is None:
            self._remember(fields, ())
        if book is None or (not scanned and not fields):
            return ()
        parts = [channel.part._replace(text=channel.window, literal=self._place(channel.part, n)) for n, (channel, _) in enumerate(scanned)]
        parts += [part._replace(literal=self._place(part, len(scanned) + n)) for n, part in enumerate(fields)]
        found = book.scanner.scan([part.text for part in parts])
        if found.hidden:
            self.unreadable["hidden"] = None
        findings = [finding for finding in found.findings if all(self._is_new(place, scanned) for place in finding.places)]
        self._remember(fields, {number - len(scanned) for finding in findings for number, _, _ in finding.places})
        if not findings:
            return ()
        verdict = decide(book, replace(self._exchange, parts=tuple(parts)), findings, key=self._key)
        if verdict.action == "BLOCK":
            self.blocked = verdict
        of_fields = []
        for edit in verdict.edits:
            self.redacted = True
            if edit.literal < len(scanned):
                channel = scanned[edit.literal][0]
                channel.edits.append(replace(edit, start=edit.start + channel.base, end=edit.end + channel.base))
            else:
                of_fields.append(replace(edit, literal=fields[edit.literal - len(scanned)].literal))
        return tuple(of_fields)

    def _remember(self, fields: Sequence[Part], dirty: Collection[int]) -> None:
        """Whole texts are judged once more at the end; those in which nothing is are not looked at again before."""
        for number, part in enumerate(fields):
            name = (part.text, part.role, part.kind)
            if name not in self._fields and self._may_keep(len(part.text) + OVERHEAD):
                self._fields[name] = part
                if number not in dirty:
                    self._clean.add(name)

    @staticmethod
    def _place(part: Part, number: int) -> int:
        return NOWHERE if part.literal == NOWHERE else number

    @staticmethod
    def _is_new(place: tuple[int, int, int], scanned: Sequence[tuple[_Channel, int]]) -> bool:
        """Whether it was settled just now, or is in a text that is whole."""
        number, start, end = place
        if number >= len(scanned):
            return True
        channel, before = scanned[number]
        return channel.base + start < channel.settled and channel.base + end > before

    # -- releasing ----------------------------------------------------------------------------------------------------

    def _free(self, channel: _Channel) -> None:
        """Move the place up to which text may go: an edit goes as a whole."""
        channel.edits = _joined(channel.edits)
        channel.free = channel.settled
        for edit in reversed(channel.edits):
            if edit.start < channel.free < edit.end:
                channel.free = edit.start
        self._trim(channel)
        channel.plain = is_plain(channel.window)

    @staticmethod
    def _trim(channel: _Channel) -> None:
        """Forget what no rule looks at any more."""
        spare = channel.free - channel.live.behind - channel.base
        if spare > channel.live.behind:
            channel.window = channel.window[spare:]
            channel.base += spare

    def _release(self) -> list[Released[Payload]]:
        released: list[Released[Payload]] = []
        while self._queue and self.blocked is None:
            event = self._queue[0]
            if any(end > channel.free for channel, _, end, _ in event.pieces):
                break
            self._queue.popleft()
            released.append(Released(event.payload, (*event.edits, *self._edits(event)) if event.pieces else event.edits))
        return released

    @staticmethod
    def _edits(event: _Waiting[Payload]) -> list[Edit]:
        """What is to be changed in an event's pieces: the text of an edit goes where it begins, and what it covers goes away."""
        edits = []
        for channel, first, last, literal in event.pieces:
            while channel.edits and channel.edits[0].end <= first:
                channel.edits.pop(0)
            for edit in channel.edits:
                if edit.start >= last:
                    break
                text = "" if edit.start < channel.covered else edit.text
                edits.append(Edit(literal, max(edit.start, first) - first, min(edit.end, last) - first, text))
                channel.covered = max(channel.covered, edit.end)
        return edits

    def _may_keep(self, length: int) -> bool:
        """For the end; an answer that is longer is judged to that length, and says so."""
        self._kept += length
        if self._kept > MAX_KEPT:
            self.unreadable["too_large"] = None
        return self._kept <= MAX_KEPT


class Restore:
    """Placeholders in an answer, and what they stood for."""

    def __init__(self, pairs: Sequence[tuple[str, str]]):
        self._pairs = dict(pairs)
        self._longest = max(map(len, self._pairs))
        self._firsts = {placeholder[0] for placeholder in self._pairs}

    def start(self, text: str, first: int) -> int:
        """Where a placeholder may have begun that is not whole yet; the text's length where none has."""
        for at in range(max(first, len(text) - self._longest + 1), len(text)):
            if text[at] in self._firsts and any(placeholder.startswith(text[at:]) for placeholder in self._pairs):
                return at
        return len(text)

    def edits(self, window: str, base: int, first: int, last: int) -> list[Edit]:
        """What is to be put into a text, of which `first` to `last` is settled now."""
        edits = []
        for placeholder, original in self._pairs.items():
            at = window.find(placeholder, max(0, first - base))
            while 0 <= at < last - base:
                edits.append(Edit(0, base + at, base + at + len(placeholder), original))
                at = window.find(placeholder, at + len(placeholder))
        return edits


def _joined(edits: Sequence[Edit]) -> list[Edit]:
    """Edits in their order; those that overlap become one, under the first one's text."""
    joined: list[Edit] = []
    for edit in sorted(edits, key=lambda edit: (edit.start, -edit.end)):
        if joined and edit.start < joined[-1].end:
            joined[-1] = replace(joined[-1], end=max(joined[-1].end, edit.end))
        else:
            joined.append(edit)
    return joined
