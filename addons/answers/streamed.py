"""An answer judged while it streams: raw chunks in, the bytes to send out. No I/O.

    chunk → decode → framing (events) → AnswerReader (texts) → rules.stream (what is settled)
          ← the event's own bytes, or the event rewritten with its edits

Most chunks are one event that differs from the one before in nothing but its text, a few
characters long. Such a chunk is recognised by the bytes around the text (`_ChunkTemplate`),
and where its text is settled at once, it is sent without any of the steps above.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from addons.answers.answer import may_have_usage, unparsed
from addons.answers.template import Bound, Template, text_between
from addons.answers.texts import ENDING, ENDS, AnswerReader
from addons.calls.signed_texts import Pair
from addons.framing import PACKED
from addons.framing.decode import Decoder, NoEncoding, Undecodable
from addons.framing.frame import Frame, Framing
from addons.providers.error_formats import BLOCKED, TORN, UNREADABLE, Ending
from addons.providers.provider import Usage
from rules.channels import Name, Piece, Released
from rules.exchange import NOWHERE, Coverage, Kind, Unreadable
from rules.redact import splice
from rules.stream import Stream
from rules.verdict import Verdict

DONE = b"[DONE]"  # with which some streams end
NO_JSON = (b"", DONE)


@dataclass(frozen=True, slots=True)
class _ChunkTemplate:
    """The bytes around the one text that changes from chunk to chunk."""

    head: bytes
    tail: bytes
    channels: tuple[Name, ...]

    @classmethod
    def of(cls, raw: bytes, data: bytes, template: Template) -> "_ChunkTemplate | None":
        """The template of the chunks that may follow this frame.

        None where the frame's bytes do not hold its data as it is.
        """
        head, found, tail = raw.partition(data)
        if not found:
            return None
        channels = template.piece.channels
        return cls(head + template.before, template.after + tail, channels)

    def released_at_once(self, chunk: bytes, stream: Stream[Frame]) -> bool:
        """Whether `chunk` fits, and its text may be sent at once; then it is accounted for."""
        text = text_between(chunk, self.head, self.tail)
        return text is not None and stream.release_at_once(self.channels, text)


# Bytes of a stream, and texts: a text costs some 10 us at the end.
MUCH, MANY_TEXTS = 256 * 1024, 1_000
LAST = tuple(end.encode() for end in ENDS)


class StreamedAnswer:
    """One answer. Once it is `ended`, nothing that the provider still sends is passed on."""

    def __init__(
        self,
        framing: Framing,
        decoder: Decoder,
        stream: Stream[Frame],
        end_events: Callable[[str, str], Ending],
        message: Callable[[Verdict], str],
        saw: Callable[[Sequence[Pair]], None] = lambda pairs: None,
    ):
        """`end_events` makes the last events of a stream that is cut off, of the reason and its code.

        `message` is that reason where a verdict blocks. `saw` takes texts with their
        signatures, as the client receives them.
        """
        self.size = 0
        self.usage = Usage()
        self.ended = False
        self.torn = False  # it broke off, by its encoding
        self._framing, self._decoder, self._stream = framing, decoder, stream
        self._end_events, self._message, self._saw = end_events, message, saw
        self._reader = AnswerReader()
        self._unread: deque[Frame] = deque()  # events that were cut and not judged yet
        self._output: list[bytes] = []  # what the current call of feed or end sends
        self._releasing: list[Frame] = []  # events whose edits are being written
        self._begun = False  # something was sent
        self._template: _ChunkTemplate | None = None
        self._plain = isinstance(decoder, NoEncoding)
        self._judging = True

    @property
    def verdict(self) -> Verdict:
        """What the rules say of everything received so far."""
        return self._stream.verdict()

    @property
    def coverage(self) -> Coverage:
        """How much of it was readable."""
        return self._stream.coverage

    @property
    def keepalive(self) -> bytes:
        """Bytes without meaning, where text is held and the format has such bytes."""
        return (
            self._framing.keepalive if self._stream.waiting and not self.ended else b""
        )

    @property
    def is_long(self) -> bool:
        """Whether all of it together takes long to judge, as is done at its end."""
        return self.size > MUCH or self._stream.count_texts() > MANY_TEXTS

    def may_conclude(self, chunk: bytes) -> bool:
        """Whether all of it may be judged together once this chunk was taken."""
        return ENDING.search(chunk) is not None or any(map(chunk.__contains__, LAST))

    @property
    def is_packed(self) -> bool:
        """Whether it is compressed."""
        return not self._plain

    @property
    def held(self) -> int:
        """Bytes of an event that is not whole yet: with its end, all of it is judged."""
        return self._framing.held

    def feed(self, chunk: bytes) -> list[bytes]:
        """Take raw bytes; give the events that may be sent."""
        if not self.size and self._plain and chunk.startswith(PACKED):
            self._stream.cannot_read("opaque")
        self.size += len(chunk)
        self._stream.size = self.size
        template = self._template
        # The fast way: no decoding, no JSON, no scan. Most chunks of a chat take it.
        if (
            template is not None
            and self._framing.idle
            and template.released_at_once(chunk, self._stream)
        ):
            self._begun = True
            return [chunk]
        try:
            decoded = self._decoder.feed(chunk)
        except Undecodable:
            self._stream.cannot_read("bad_encoding")
            why = "The provider's answer could not be decoded"
            return self.cut_off(why, UNREADABLE)
        # Decoded, since what was sent before was, and the header that names an encoding is gone.
        if not self._judging:
            return [decoded]
        self._unread += self._framing.feed(decoded)
        return self._judge_unread()

    def end(self) -> list[bytes]:
        """The provider has ended; give the rest, or the last events of a blocked answer."""
        if self.ended or not self._judging:
            return []
        if not self._decoder.complete:
            self.torn = True
            self._stream.cannot_read("bad_encoding")
            return self.cut_off("The provider's answer broke off", TORN)
        self._unread += self._framing.end()
        passed = self._judge_unread()
        return passed if self.ended else passed + self._written(self._stream.end())

    def cut_off(self, why: str, code: str) -> list[bytes]:
        """End the stream with events that say why, behind what was released before.

        `code`: one of `error_formats`.
        """
        self.ended = True
        passed, self._output = self._output, []
        first = not self._begun and not passed
        return passed + [
            self._framing.own_frame(name, data, first=first)
            for name, data in self._end_events(why, code)
        ]

    def stop_judging(self) -> list[bytes]:
        """Pass all that is held and all that follows unjudged (EARTHFLOW_FAIL_MODE=open)."""
        self._judging = False
        passed, self._output = self._output, []
        held = (*self._releasing, *self._stream.take_held())
        # The event being judged may be held, too, and must not be sent twice.
        taken = set(map(id, held))
        unread = [frame for frame in self._unread if id(frame) not in taken]
        rest = (*held, *unread, *self._framing.end())
        return passed + [frame.raw for frame in rest]

    def finish(self) -> None:
        """Nothing is left to read."""

    def _judge_unread(self) -> list[bytes]:
        while self._unread and not self.ended:
            # Removed only after it was judged: `stop_judging` finds it where the judge raised.
            judged = self._judge(self._unread[0])
            self._output += judged
            self._unread.popleft()
        passed, self._output = self._output, []
        self._begun = self._begun or bool(passed)
        return passed

    def _judge(self, frame: Frame) -> list[bytes]:
        """Read one event and judge it; give what may be sent now."""
        pieces = [_beside(frame.beside)] if frame.beside else []
        pieces += self._taken_for_data(frame.beside)
        last = final = False
        bound: tuple[Bound, ...] = ()
        if frame.unreadable:
            self._stream.cannot_read(frame.unreadable)
        if frame.data is not None:
            texts = self._reader.read(frame.data, frame.name)
            if isinstance(texts, Unreadable):
                if frame.data.strip() not in NO_JSON:
                    self._stream.cannot_read(texts.reason)
                pieces += unparsed(frame.data)
                final = frame.data.strip() == DONE
            else:
                pieces += texts.pieces
                for reason in texts.unreadable:
                    self._stream.cannot_read(reason)
                last, final, bound = texts.last, texts.final, texts.bound
                if may_have_usage(frame.data):
                    self.usage.read(texts.document)
        released = self._stream.feed(frame, pieces, last=last, final=final)
        passed = self._written(released)
        if bound:
            self._saw([(one.signature, self._text_of(one)) for one in bound])
        if frame.data and self._plain:
            self._learn_template(frame.raw, frame.data, pieces, passed)
        return passed

    def _taken_for_data(self, beside: str) -> Iterator[Piece]:
        """The texts of lines that are no data by the standard, and that a careless reader may take for some."""
        for line in beside.splitlines():
            written = line.strip(" \t\ufeff").removeprefix("data:").strip()
            if not written.startswith(("{", "[")):
                continue
            texts = self._reader.read(written.encode())
            if not isinstance(texts, Unreadable):
                yield from (piece._replace(literal=NOWHERE) for piece in texts.pieces)

    def _text_of(self, bound: Bound) -> str:
        """A signed text, as the client has it."""
        return bound.text or "".join(map(self._stream.text_of, bound.channels))

    def _learn_template(
        self, raw: bytes, data: bytes, pieces: Sequence[Piece], passed: list[bytes]
    ) -> None:
        """Expect more of the same where this event was sent at once and as it came."""
        template = self._reader.template
        if template is None or passed != [raw] or not self._stream.is_clean(pieces):
            self._template = None
        else:
            self._template = _ChunkTemplate.of(raw, data, template)

    def _written(self, released: Sequence[Released[Frame]]) -> list[bytes]:
        self._releasing = [frame for frame, _ in released]
        written = [
            self._framing.rewritten(frame, splice(frame.data or b"", edits))
            if edits
            else frame.raw
            for frame, edits in released
        ]
        self._releasing = []
        # What was released before the finding is sent; the event with the finding is not.
        if self._stream.blocked is not None:
            self._output += written
            return self.cut_off(self._message(self._stream.blocked), BLOCKED)
        if self._stream.overfull:
            self._stream.cannot_read("endless")
            why = "Too much of the answer would have to be held"
            return self.cut_off(why, UNREADABLE)
        return written


def _beside(text: str) -> Piece:
    """What stands beside an event's data: its name, id, comments.

    Where a reader would end lines that the standard does not end, it could take part of
    this for data: then it is judged as text that continues.
    """
    more_lines = len(text.splitlines()) > text.count("\n") + 1
    channels: tuple[Name, ...] = (("beside",),) if more_lines else ()
    kind: Kind = "text" if channels else "field"
    return Piece(text, channels, "other", kind, NOWHERE)
