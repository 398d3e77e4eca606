"""Judges an answer while it streams: events in, the events that may be sent out, in
their order.

An event is sent once all of its text is settled: no later text can change what the
rules find in it. An example, with a rule that redacts `sk-[a-z0-9]{8}`:

    event   its text      settled                   sent
    1       "use sk-"     "use "                    –   ("sk-" may begin a key)
    2       "a1b2"        "use "                    –
    3       "c3d4, now"   "use sk-a1b2c3d4, now"    "use [REDACTED:key_…]", "", ", now"

A block ends the stream before any of the finding was sent. Work is done for each event,
never for each chunk of bytes, so it does not matter where the bytes were cut. At the
end the whole answer is judged once more (`Transcript`), by the rules that cannot decide
earlier.

Nobody knows for sure which pieces a client joins. So a piece may stand in several
channels (`channels.py`), and is sent once it is settled in all. A channel that waits
while others get 32 events, or until a final one, is overtaken: its text is judged as if
it ended there, and sent.

    state       entered when                         left when more of its text arrives
    normal      –                                    –
    overtaken   PATIENCE events without it, the end  what was sent is settled: normal; else strict
    strict      what was sent may still become       never: nothing unsettled of it is sent again
                a match

Pure. Bounded by MAX_HELD, MAX_WAITING, and `channels.MAX_CHANNELS`.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import replace

from rules.channels import (
    Channel,
    Channels,
    Name,
    Piece,
    Released,
    Span,
    Waiting,
    after_split,
    edits_of,
    insert_edit,
    settled_now,
    with_fixed,
)
from rules.commands.calls import StreamedCalls
from rules.evaluate import decide, evaluate
from rules.exchange import NOWHERE, Coverage, Exchange, Part
from rules.redact import Edit
from rules.restore.restorer import Restorer, with_restored
from rules.restore.streamed import StreamedRestore
from rules.restore.whole import with_originals
from rules.rulebook import Rulebook
from rules.scan import Finding
from rules.transcript import Transcript, as_carried_out
from rules.verdict import Fired, Verdict

# Characters of one channel that wait. Shipped patterns of a bounded width need less; a longer
# wait is for patterns without a bound, and ends as "endless".
MAX_HELD = 8 * 1024
MAX_WAITING = 1024 * 1024  # characters of all events that wait; more ends the answer
PATIENCE = 32  # events without new text of a channel, after which its held text is sent
OVERHEAD = 100  # characters that an event counts besides its texts


class Stream[Payload]:
    """One answer. Once `blocked` is set, nothing more is released."""

    def __init__(
        self,
        book: Rulebook,
        exchange: Exchange,
        *,
        key: bytes,
        restorer: Restorer | None = None,
    ):
        """`exchange` is the answer's context, without parts. `key` makes placeholders; `restorer` puts originals back."""
        self.blocked: Verdict | None = None
        self.redacted = False
        self.size = 0
        self.unreadable: dict[str, None] = {}
        self._book, self._exchange, self._key = book, exchange, key
        self._acting = book.stream
        self._channels = Channels(book.stream.partial if book.stream else {})
        self._transcript = Transcript()
        self.text_of = self._transcript.text  # a channel's text so far
        self.count_texts = self._transcript.count
        self._fired: dict[str, Fired] = {}
        self._events = 0  # taken so far
        self._waits = 0  # characters of the events that wait
        self._concluded_at = 0  # characters of the transcript when it was last judged
        self._verdict: tuple[object, Verdict] | None = None
        self._queue: deque[Waiting[Payload]] = deque()
        commands = book.of_commands
        self._calls = (
            StreamedCalls(commands, exchange, key) if commands or restorer else None
        )
        self._restore = (
            StreamedRestore(restorer, self._transcript.text) if restorer else None
        )

    @property
    def waiting(self) -> int:
        """How many events wait."""
        return len(self._queue)

    @property
    def overfull(self) -> bool:
        """Whether more waits than MAX_WAITING."""
        return self._waits > MAX_WAITING

    def is_clean(self, pieces: Iterable[Piece]) -> bool:
        """Whether the complete texts among these were judged before, without findings."""
        clean = self._transcript.is_clean
        return all(piece.channels or clean(piece) for piece in pieces)

    def feed(
        self,
        payload: Payload,
        pieces: Sequence[Piece],
        *,
        last: bool = False,
        final: bool = False,
    ) -> list[Released[Payload]]:
        """Take an event; give those that may be sent now. `last`: it looks like the last one.

        `final`: a client waits for none after it, and a provider may be silent from then on.
        """
        if self._calls is not None:
            self._judge_calls(pieces)
        touched: dict[Channel, None] = {}
        spans: list[Span] = []
        complete: list[Piece] = []
        size = OVERHEAD + sum(len(piece.text) for piece in pieces)
        for piece in pieces:
            if not piece.channels:
                if piece.text and not self._transcript.is_clean(piece):
                    complete.append(piece)
                continue
            channels = self._channels_of(piece, spans) if piece.text else ()
            starts = [channel.add(piece, self._events) for channel in channels]
            for channel, start in zip(channels, starts, strict=True):
                spans.append(Span(channel, start, channel.length, piece.literal))
                touched[channel] = None
            if self._restore is not None and channels:
                self._restore.take(piece, channels, starts)
        if self._restore is not None and self._calls is not None:
            self._restore.end(touched, self._calls.ended)
            if final:
                self._restore.end(self._channels)
                touched |= dict.fromkeys(self._channels)
            if self._waits > MAX_WAITING // 2:
                touched |= dict.fromkeys(self._restore.leave_all(self._channels))
        edits = self._judge_new([*touched], complete, at_end=False)
        if self._restore is not None:
            whole = [piece for piece in pieces if not piece.channels]
            edits = with_originals(edits, whole, self._restore.restorer)
        self._events += 1
        self._waits += size
        self._queue.append(Waiting(payload, tuple(spans), edits, size))
        # It costs time in proportion to the answer's length: repeated when that has doubled.
        if last and self._transcript.kept >= 2 * self._concluded_at:
            self._conclude()
        return self._release(0 if final else PATIENCE)

    def release_at_once(self, names: tuple[Name, ...], text: str) -> bool:
        """Take an event that differs from the last one only in this text, if it may be sent at once.

        False: it was not taken, and must be given to `feed`.
        """
        if self._queue or (self._restore and self._restore.may_begin(text)):
            return False
        ends_call = self._calls and not self._calls.changes_nothing(names[0], text)
        if ends_call or not self._channels.extend_idle(names, text):
            return False
        if not self._transcript.extend(names[0], text):
            self.cannot_read("too_large")
        return True

    def end(self) -> list[Released[Payload]]:
        """The answer is over: everything is settled."""
        if self._restore is not None:
            self._restore.end(self._channels)
        self._judge_new(list(self._channels), [], at_end=True)
        self._conclude()
        return self._release()

    def take_held(self) -> list[Payload]:
        """Take back the events that wait; none does any more."""
        waiting, self._queue = self._queue, deque()
        return [event.payload for event in waiting]

    def cannot_read(self, reason: str) -> None:
        """Note what could not be read, one of `rules.exchange.REASONS`. A rule may block for it."""
        if reason not in self.unreadable:
            self.unreadable[reason] = None
            self._conclude()

    @property
    def coverage(self) -> Coverage:
        """How much of the answer was readable."""
        return self._so_far().coverage

    def verdict(self) -> Verdict:
        """The verdict on the answer so far. `would`: what was found too late to be done."""
        judged = (self._transcript.kept, self.size, len(self.unreadable))
        counts = self._restore.restorer.counts if self._restore else ()
        state = (*judged, *counts, self.blocked, self.redacted)
        if self._verdict is None or self._verdict[0] != state:
            verdict = evaluate(self._book, self._so_far(), key=self._key)
            done = as_carried_out(verdict, self._fired, self.blocked, self.redacted)
            self._verdict = (state, with_restored(done, *counts))
        return self._verdict[1]

    def _so_far(self) -> Exchange:
        return replace(
            self._exchange,
            parts=self._transcript.parts,
            unreadable=tuple(self.unreadable),
            size=self.size,
        )

    def _conclude(self) -> None:
        """Block where the whole answer demands it, before its last event is sent."""
        self._concluded_at = self._transcript.kept
        if self.blocked is None and (verdict := self.verdict()).action == "BLOCK":
            self.blocked = verdict

    def _channels_of(self, piece: Piece, spans: list[Span]) -> list[Channel]:
        """The channels that a piece continues.

        Where the names of one part ways, events that waited for it wait for both new
        channels.
        """
        channels, splits, complete = self._channels.continued_by(piece)
        if not complete:
            self.cannot_read("too_deep")
        for split in splits:
            spans += after_split(spans, split)
            for event in self._queue:
                event.spans += tuple(after_split(event.spans, split))
        if not self._transcript.start(piece):
            self.cannot_read("too_large")
        return channels

    def _judge_new(
        self, touched: Sequence[Channel], complete: Sequence[Piece], *, at_end: bool
    ) -> tuple[Edit, ...]:
        """Settle and judge the touched channels, and judge the complete texts; the
        edits of the latter.
        """
        parts = [piece.part for piece in complete]
        moved: list[tuple[Channel, int]] = []  # with the earlier `settled`
        for channel in touched:
            before = channel.settled
            if at_end:
                channel.settled = channel.length
            else:
                self._settle(channel)
            if channel.settled > before:
                moved.append((channel, before))
        scanned = [
            (channel, before)
            for channel, before in moved
            if channel.partial.may_match(channel.window, before - channel.base)
        ]
        edits = self._decide(scanned, parts)
        for channel in touched:
            channel.release_settled()
        return edits

    def _judge_calls(self, pieces: Sequence[Piece]) -> None:
        """Judge the commands of calls that these pieces complete."""
        assert self._calls is not None
        verdict, unread = self._calls.judge(
            pieces, self._transcript.text, self._channels.tool_of
        )
        for reason in unread:
            self.cannot_read(reason)
        if verdict is not None:
            self._fired.update({one.rule.id: one for one in verdict.fired})
            if verdict.action == "BLOCK":
                self.blocked = verdict

    def _settle(self, channel: Channel) -> None:
        """Move `settled` to the earliest position where a match may still begin."""
        first = channel.settled - channel.base
        held = self._restore.held(channel, first) if self._restore else None
        if held == first:
            return  # and is not scanned again for each piece
        settled = channel.partial.earliest(channel.window, first)
        if len(channel.window) - settled > MAX_HELD and held is None:
            settled = len(channel.window)
            self.cannot_read("endless")
        if held is not None:
            settled = min(settled, held)
        if not channel.settle(settled):
            self.cannot_read("endless")

    def _decide(
        self, scanned: Sequence[tuple[Channel, int]], complete: Sequence[Part]
    ) -> tuple[Edit, ...]:
        """Apply the rules to newly settled text and to complete texts.

        Edits of channels are kept there; those of complete texts are returned.
        """
        book = self._acting
        if book is None:
            self._keep(complete, [], 0)
        if book is None or (not scanned and not complete):
            return ()
        # Here `literal` is the index in `parts`, so that edits can be assigned.
        parts = [
            *(channel.part._replace(text=channel.window) for channel, _ in scanned),
            *complete,
        ]
        numbered = tuple(
            part if part.literal == NOWHERE else part._replace(literal=number)
            for number, part in enumerate(parts)
        )
        found = book.scanner.scan([part.text for part in numbered])
        if found.hidden:
            self.cannot_read("hidden")
        findings = [
            finding
            for finding in found.findings
            if all(settled_now(place, scanned) for place in finding.places)
        ]
        self._keep(complete, findings, len(scanned))
        if not findings:
            return ()
        places = (place for finding in findings for place in finding.places)
        numbered = with_fixed(numbered, places, scanned)
        exchange = replace(self._exchange, parts=numbered)
        verdict = decide(book, exchange, findings, key=self._key)
        self._fired.update({one.rule.id: one for one in verdict.fired})
        if verdict.action == "BLOCK":
            self.blocked = verdict
        self.redacted = self.redacted or bool(verdict.edits)
        of_complete = []
        for edit in verdict.edits:
            if edit.literal < len(scanned):
                channel = scanned[edit.literal][0]
                start, end = edit.start + channel.base, edit.end + channel.base
                insert_edit(channel.edits, Edit(0, start, end, edit.text))
            else:
                literal = complete[edit.literal - len(scanned)].literal
                of_complete.append(edit._replace(literal=literal))
        return tuple(of_complete)

    def _keep(
        self, complete: Sequence[Part], findings: Sequence[Finding], before: int
    ) -> None:
        """Put complete texts, which are numbered from `before` on, into the transcript."""
        dirty = {place[0] for finding in findings for place in finding.places}
        for number, part in enumerate(complete, before):
            if not self._transcript.add(part, clean=number not in dirty):
                self.cannot_read("too_large")

    def _release(self, patience: int = PATIENCE) -> list[Released[Payload]]:
        released: list[Released[Payload]] = []
        while self._queue and self.blocked is None:
            event = self._queue[0]
            while event.first < len(event.spans) and self._may_send(
                event.spans[event.first], patience
            ):
                event.first += 1
            if event.first < len(event.spans):
                break
            self._queue.popleft()
            self._waits -= event.size
            edits = (*event.edits, *edits_of(event.spans))
            released.append(Released(event.payload, edits))
        return released

    def _may_send(self, span: Span, patience: int) -> bool:
        """Whether a channel allows a piece to be sent.

        One that has waited for these events is judged as if it ended here.
        """
        channel = span.channel
        if span.end <= channel.free:
            return True
        if (
            self._events - channel.last_event < patience
            or channel.strict
            or any(edit.end > channel.settled for edit in channel.edits)
        ):
            return False
        # Judge it as if its text ended here, then send it.
        if self._restore is not None:
            self._restore.leave(channel)
        settled, channel.settled = channel.settled, channel.length
        self._decide([(channel, settled)], ())
        channel.settled = settled
        channel.overtaken = channel.free = channel.length
        return self.blocked is None
