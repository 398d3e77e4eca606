"""An answer judged while it comes: texts in pieces in, what may be released out, in the order in which it came.

An event is released once all of its text is settled (rules.live): then whatever follows, what is found in it is found already. What is
redacted is edited in the events that hold it; a block ends the stream before anything of what was found is out. Each event is judged
by itself, so the same events give the same result however their bytes were cut. At the end the whole answer is judged once more, by
the rules that cannot decide earlier.

Nobody can tell for sure which pieces a client puts together. So a piece may stand in several texts at once, and goes on when it may in
all of them. Where other texts have long gone on while one waits, it goes on once; if it then becomes what it might have become, it
waits for good. Pure. Bounded: MAX_HELD characters of a text, MAX_WAITING of all that waits, MAX_CHANNELS texts.
"""

from bisect import insort
from collections import deque
from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import NamedTuple

from rules.evaluate import Fired, Verdict, decide, evaluate
from rules.exchange import NOWHERE, Coverage, Exchange, Kind, Part, Role
from rules.live import NOTHING, Live, is_plain
from rules.redact import Edit
from rules.rulebook import Rulebook

MAX_HELD = (
    8 * 1024
)  # characters of one text that wait; patterns of a bounded width need less, so this is for the others
MAX_KEPT = 1024 * 1024  # characters of an answer that are judged once more at its end
PATIENCE = 32  # events without it for which a text waits
MAX_WAITING = 1024 * 1024  # characters of events that wait; an answer that makes more wait is ended
MAX_CHANNELS = 5000  # names of texts of one answer
OVERHEAD = 100  # characters that a text which is whole, or an event, counts for besides its own

Name = tuple[Hashable, ...]  # of a text that comes in pieces


class Piece(NamedTuple):
    """A text of an event, which goes on what came before in all of its `channels`; without any it is whole. `literal`: as in Part.

    The first channel is the one that is judged once more at the end.
    """

    text: str
    channels: tuple[Name, ...]
    role: Role
    kind: Kind
    literal: int
    tool: str = ""


class Released[Payload](NamedTuple):
    """An event that may go on, with what is to be changed in it."""

    payload: Payload
    edits: tuple[Edit, ...]


@dataclass(slots=True, eq=False)
class _Channel:
    """A text that comes in pieces, under all names that stood for the same so far. Places are counted from its start; `window` holds it
    from `base` on.
    """

    part: Part
    live: Live
    names: set[Name]
    window: str = ""
    base: int = 0
    settled: int = 0  # what stands before is found
    free: int = 0  # what stands before may go
    last: int = 0  # the number of the last event that brought some of it
    let_go: int = 0  # up to here it went while it might still have become a match
    strict: bool = False  # what went so did go on to become one: it waits for good now
    covered: int = 0  # the end of the last edit of which the text is out
    plain: bool = False  # nothing in the window stands for anything else
    edits: list[Edit] = field(default_factory=list)

    @property
    def length(self) -> int:
        return self.base + len(self.window)


class _Place(NamedTuple):
    """Where a piece stands in one of its channels, and its literal in the event."""

    channel: _Channel
    start: int
    end: int
    literal: int


@dataclass(slots=True, eq=False)
class _Waiting[Payload]:
    payload: Payload
    places: tuple[_Place, ...]
    edits: tuple[Edit, ...]
    size: int
    first: int = 0  # place that may not be free yet


class Stream[Payload]:
    """One answer. After `blocked` is set nothing more is released."""

    def __init__(
        self, book: Rulebook, exchange: Exchange, *, key: bytes, restore: Sequence[tuple[str, str]] = ()
    ):
        """`exchange` is the answer's context, without parts; `restore` are placeholders and what stands for them."""
        self.blocked: Verdict | None = None
        self.redacted = False
        self.size = 0
        self.unreadable: dict[str, None] = {}
        self._book, self._exchange, self._key = book, exchange, key
        self._acting = book.stream
        self._restore = Restore(restore) if restore else None
        self._channels: dict[Name, _Channel] = {}
        self._said: dict[Name, tuple[Part, list[str]]] = {}  # by the first names of pieces
        self._fields: dict[tuple[str, ...], Part] = {}
        self._clean: set[tuple[str, ...]] = set()
        self._fired: dict[str, Fired] = {}
        self._kept = self._count = self._waits = self._concluded_at = 0
        self._known: tuple[object, Verdict] | None = None
        self._queue: deque[_Waiting[Payload]] = deque()

    @property
    def waiting(self) -> int:
        """How many events are held."""
        return len(self._queue)

    @property
    def overfull(self) -> bool:
        """Whether more waits than is held."""
        return self._waits > MAX_WAITING

    def is_clean(self, pieces: Sequence[Piece]) -> bool:
        """Whether all texts among these that are whole were judged before, and nothing was found in them."""
        return all(piece.channels or _name(piece) in self._clean for piece in pieces)

    # -- coming and going ---------------------------------------------------------------------------------------------

    def feed(
        self, payload: Payload, pieces: Sequence[Piece], *, last: bool = False
    ) -> list[Released[Payload]]:
        """Take one event; give what may go on now. `last`: it looks as if nothing more would be said."""
        touched: dict[_Channel, None] = {}
        places: list[_Place] = []
        whole: list[Piece] = []
        size = OVERHEAD
        for piece in pieces:
            size += len(piece.text)
            if not piece.channels:
                if piece.text and _name(piece) not in self._clean:
                    whole.append(piece)
                continue
            for channel in self._texts(piece, places) if piece.text else ():
                start = channel.length
                channel.window += piece.text
                channel.last = self._count
                places.append(_Place(channel, start, channel.length, piece.literal))
                touched[channel] = None
        edits = self._judge([*touched], whole, at_end=False)
        self._count += 1
        self._waits += size
        self._queue.append(_Waiting(payload, tuple(places), edits, size))
        if last and self._kept >= 2 * self._concluded_at:
            self._conclude()
        return self._release()

    def go_on(self, names: tuple[Name, ...], text: str) -> bool:
        """Whether an event that differs from the last one in nothing but this text may go on at once; then it has."""
        if self._queue or self._restore is not None:
            return False
        channels = dict.fromkeys(map(self._channels.get, names))
        several = 0
        for channel in channels:
            if channel is None or not channel.plain or channel.settled < channel.base + len(channel.window):
                return False
            if not channel.live.idle(channel.window[-1:], text):
                return False
            several += len(channel.names)
        if several != len(names):
            return False
        for channel in channels:
            assert channel is not None
            channel.window += text
            channel.settled = channel.free = channel.base + len(channel.window)
            if len(channel.window) > 4 * channel.live.behind:
                _trim(channel)
        if self._may_keep(len(text)):
            self._said[names[0]][1].append(text)
        return True

    def end(self) -> list[Released[Payload]]:
        """Nothing more comes: all is settled."""
        self._judge(list(dict.fromkeys(self._channels.values())), [], at_end=True)
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

    # -- the whole ----------------------------------------------------------------------------------------------------

    @property
    def coverage(self) -> Coverage:
        """How much of the answer was readable."""
        return self._so_far().coverage

    def verdict(self) -> Verdict:
        """The whole answer judged. What could no longer be taken back is said beside what was done."""
        state = (self._kept, self.size, len(self.unreadable), self.blocked, self.redacted)
        if self._known is None or self._known[0] != state:
            self._known = (state, self._judged())
        return self._known[1]

    def _judged(self) -> Verdict:
        verdict = evaluate(self._book, self._so_far(), key=self._key)
        known = {one.judge.id for one in verdict.fired}
        verdict = replace(
            verdict,
            fired=(*verdict.fired, *(one for name, one in self._fired.items() if name not in known)),
            edits=(),
        )
        if self.blocked is not None:
            return replace(verdict, action="BLOCK", by=self.blocked.by, would=None)
        if self.redacted and verdict.action in ("ALLOW", "FLAG"):
            return replace(verdict, action="REDACT")
        if verdict.action == "REDACT" and not self.redacted:
            return replace(verdict, action="FLAG", would="REDACT")
        return verdict

    def _so_far(self) -> Exchange:
        parts = [part._replace(text="".join(texts)) for part, texts in self._said.values()]
        return replace(
            self._exchange,
            parts=(*parts, *self._fields.values()),
            unreadable=tuple(self.unreadable),
            size=self.size,
        )

    def _conclude(self) -> None:
        """Block where the whole asks for it, before the last event is out."""
        self._concluded_at = self._kept
        if self.blocked is None and (verdict := self.verdict()).action == "BLOCK":
            self.blocked = verdict

    # -- judging ------------------------------------------------------------------------------------------------------

    def _texts(self, piece: Piece, places: list[_Place]) -> list[_Channel]:
        """The texts that a piece goes on; those that went the same way so far are one."""
        together: dict[_Channel, list[Name]] = {}
        new: list[Name] = []
        for name in piece.channels:
            channel = self._channels.get(name)
            if channel is not None:
                together.setdefault(channel, []).append(name)
            elif len(self._channels) < MAX_CHANNELS or name[0] == ALL:
                new.append(name)
            else:
                self.cannot_read("too_deep")
        channels = [
            one if len(names) == len(one.names) else self._split(one, names, places)
            for one, names in together.items()
        ]
        part = Part("", piece.role, piece.kind, piece.literal, piece.tool)
        if new:
            live = (
                self._acting.live.get("tool_call" if piece.kind == "tool_call" else "text", NOTHING)
                if self._acting
                else NOTHING
            )
            channels.append(_Channel(part, live, set(new)))
            self._channels.update(dict.fromkeys(new, channels[-1]))
        for channel in channels:
            if piece.tool and piece.tool != channel.part.tool:
                channel.part = channel.part._replace(tool=piece.tool)
        if self._may_keep(len(piece.text)):
            self._said.setdefault(piece.channels[0], (part, []))[1].append(piece.text)
        return channels

    def _split(self, channel: _Channel, names: Sequence[Name], places: list[_Place]) -> _Channel:
        """Some names of a text part from the others; what waits for it, waits for both."""
        other = replace(channel, names=set(names), edits=list(channel.edits))
        channel.names.difference_update(names)
        self._channels.update(dict.fromkeys(names, other))
        places += [place._replace(channel=other) for place in places if place.channel is channel]
        for event in self._queue:
            event.places += tuple(
                place._replace(channel=other) for place in event.places if place.channel is channel
            )
        return other

    def _judge(
        self, touched: Sequence[_Channel], whole: Sequence[Piece], *, at_end: bool
    ) -> tuple[Edit, ...]:
        """Settle what can be; the edits of the texts that are whole."""
        fields = [Part(piece.text, piece.role, piece.kind, piece.literal, piece.tool) for piece in whole]
        moved: list[tuple[_Channel, int]] = []  # and where it was settled before
        for channel in touched:
            before = channel.settled
            if at_end:
                channel.settled = channel.length
            else:
                self._settle(channel)
            if channel.settled > before:
                moved.append((channel, before))
        edits = self._decide(
            [one for one in moved if one[0].live.may_match(one[0].window, one[1] - one[0].base)], fields
        )
        for channel, before in moved:
            if self._restore is not None and channel.part.literal != NOWHERE:
                for edit in self._restore.edits(channel.window, channel.base, before, channel.settled):
                    _add(channel.edits, edit)
        for channel in touched:
            _free(channel)
        return edits

    def _settle(self, channel: _Channel) -> None:
        """Move the place up to which everything is found."""
        first = channel.settled - channel.base
        settled = channel.live.start(channel.window, first)
        if self._restore is not None:
            settled = min(settled, self._restore.start(channel.window, first))
        if len(channel.window) - settled > MAX_HELD:
            settled = len(channel.window)
            self.cannot_read("endless")
        channel.settled = channel.base + settled
        if channel.let_go and channel.settled >= channel.let_go:
            channel.let_go = 0  # nothing came of it
        elif channel.let_go:
            channel.strict = True
            self.cannot_read("endless")

    def _decide(self, scanned: Sequence[tuple[_Channel, int]], fields: Sequence[Part]) -> tuple[Edit, ...]:
        """Judge what was settled just now, and whole texts."""
        book = self._acting
        if book is None:
            self._remember(fields, ())
        if book is None or (not scanned and not fields):
            return ()
        # For this one look, a part's literal is its number; NOWHERE stays what it is.
        parts = [*(channel.part._replace(text=channel.window) for channel, _ in scanned), *fields]
        numbered = tuple(
            part if part.literal == NOWHERE else part._replace(literal=number)
            for number, part in enumerate(parts)
        )
        found = book.scanner.scan([part.text for part in numbered])
        if found.hidden:
            self.cannot_read("hidden")
        findings = [
            finding for finding in found.findings if all(_is_new(place, scanned) for place in finding.places)
        ]
        self._remember(
            fields, {number - len(scanned) for finding in findings for number, _, _ in finding.places}
        )
        if not findings:
            return ()
        verdict = decide(book, replace(self._exchange, parts=numbered), findings, key=self._key)
        self._fired.update({one.judge.id: one for one in verdict.fired})
        if verdict.action == "BLOCK":
            self.blocked = verdict
        of_fields = []
        for edit in verdict.edits:
            self.redacted = True
            if edit.literal < len(scanned):
                channel = scanned[edit.literal][0]
                _add(channel.edits, Edit(0, edit.start + channel.base, edit.end + channel.base, edit.text))
            else:
                of_fields.append(replace(edit, literal=fields[edit.literal - len(scanned)].literal))
        return tuple(of_fields)

    def _remember(self, fields: Sequence[Part], dirty: Collection[int]) -> None:
        """Whole texts are judged once more at the end; those in which nothing is are not looked at again before."""
        for number, part in enumerate(fields):
            name = (part.text, part.role, part.kind, part.tool)
            if name not in self._fields and self._may_keep(len(part.text) + OVERHEAD):
                self._fields[name] = part
                if number not in dirty:
                    self._clean.add(name)

    def _may_keep(self, length: int) -> bool:
        """For the end; an answer that is longer is judged to that length, and says so."""
        if self._kept + length > MAX_KEPT:
            self.cannot_read("too_large")
            return False
        self._kept += length
        return True

    # -- releasing ----------------------------------------------------------------------------------------------------

    def _release(self) -> list[Released[Payload]]:
        released: list[Released[Payload]] = []
        while self._queue and self.blocked is None:
            event = self._queue[0]
            while event.first < len(event.places) and self._may_go(event.places[event.first]):
                event.first += 1
            if event.first < len(event.places):
                break
            self._queue.popleft()
            self._waits -= event.size
            released.append(Released(event.payload, (*event.edits, *_edits(event.places))))
        return released

    def _may_go(self, place: _Place) -> bool:
        """Whether a piece may go by one of its channels; or must, since others have long gone on."""
        channel = place.channel
        if place.end <= channel.free:
            return True
        if (
            self._count - channel.last < PATIENCE
            or channel.strict
            or any(edit.end > channel.settled for edit in channel.edits)
        ):
            return False
        # If nothing more came to it, this would be its end.
        moved, channel.settled, settled = channel.settled, channel.length, channel.settled
        self._decide([(channel, moved)], ())
        channel.settled, channel.let_go = settled, channel.length
        channel.free = channel.length
        return self.blocked is None


ALL = "all"  # begins the names of texts that take in everything of one kind


def _name(piece: Piece) -> tuple[str, ...]:
    return (piece.text, piece.role, piece.kind, piece.tool)


def _is_new(place: tuple[int, int, int], scanned: Sequence[tuple[_Channel, int]]) -> bool:
    """Whether it was settled just now, or is in a text that is whole."""
    number, start, end = place
    if number >= len(scanned):
        return True
    channel, before = scanned[number]
    return channel.base + start < channel.settled and channel.base + end > before


def _free(channel: _Channel) -> None:
    """Move the place up to which text may go: an edit goes as a whole."""
    free = channel.settled
    for edit in reversed(channel.edits):
        if edit.start < free < edit.end:
            free = edit.start
    channel.free = max(channel.free, free)
    _trim(channel)
    channel.plain = is_plain(channel.window)


def _trim(channel: _Channel) -> None:
    """Forget what no rule looks at any more."""
    spare = min(channel.settled, channel.free) - channel.live.behind - channel.base
    if spare > channel.live.behind:
        channel.window = channel.window[spare:]
        channel.base += spare


def _edits(places: Sequence[_Place]) -> tuple[Edit, ...]:
    """What is to be changed in an event's pieces: the text of an edit goes where it begins, and what it covers goes away."""
    edits: list[Edit] = []
    for channel, first, last, literal in places:
        while channel.edits and channel.edits[0].end <= first:
            del channel.edits[0]
        for edit in channel.edits:
            if edit.start >= last:
                break
            text = "" if edit.start < channel.covered else edit.text
            _add(edits, Edit(literal, max(edit.start, first) - first, min(edit.end, last) - first, text))
            channel.covered = max(channel.covered, edit.end)
    return tuple(edits)


def _add(edits: list[Edit], edit: Edit) -> None:
    """Put an edit among others, in their order; those that overlap become one, under the first one's text."""
    at = len(edits)
    while at and (edits[at - 1].literal, edits[at - 1].end) > (edit.literal, edit.start):
        at -= 1
    while at < len(edits) and edits[at].literal == edit.literal and edits[at].start < edit.end:
        other = edits.pop(at)
        text = (other.text or edit.text) if other.start <= edit.start else (edit.text or other.text)
        edit = Edit(edit.literal, min(edit.start, other.start), max(edit.end, other.end), text)
    insort(edits, edit, key=attrgetter("literal", "start"))


class Restore:
    """Placeholders in an answer, and what they stood for."""

    def __init__(self, pairs: Sequence[tuple[str, str]]):
        self._pairs = dict(pairs)
        self._longest = max(map(len, self._pairs))
        self._firsts = {placeholder[0] for placeholder in self._pairs}

    def start(self, text: str, first: int) -> int:
        """Where a placeholder may have begun that is not whole yet; the text's length where none has."""
        for at in range(max(first, len(text) - self._longest + 1), len(text)):
            if text[at] in self._firsts and any(
                placeholder.startswith(text[at:]) for placeholder in self._pairs
            ):
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
