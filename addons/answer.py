"""An answer on its way back: passed on unjudged, judged as a whole, or judged while it streams. Bytes in, bytes out; no I/O."""

import json
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import msgspec

from addons.decode import Decoder, Identity, Undecodable, decode, decoder_for
from addons.framing import FRAMINGS, framing_of
from addons.framing.frame import Frame, Framing
from addons.providers.provider import Usage
from addons.providers.refusals import Ending
from addons.saying import Alike, Reader, between
from rules.evaluate import Verdict, evaluate
from rules.exchange import NOWHERE, Coverage, Exchange, Kind, Part, Unreadable
from rules.redact import Edit, merged, splice
from rules.rulebook import Rulebook
from rules.stream import ALL, Name, Piece, Released, Restore, Stream

MAX_READ = 8 * 1024 * 1024  # decoded bytes of a whole answer kept to be parsed for its counts alone
REDACTING, RESTORING = 1, 0  # whose text counts where both would edit
OPAQUE = {
    "audio": "audio",
    "image": "image",
    "video": "image",
    "font": "opaque",
    "multipart": "opaque",
    "model": "opaque",
}
NO_JSON = (b"", b"[DONE]")  # what some streams end with
READABLE = ("", "text", "json", "xml", "x-www-form-urlencoded", "javascript", "graphql")

Pairs = Sequence[tuple[str, str]]  # placeholders, and what stood there


class Answer(Protocol):
    """What the record says of an answer: its size in bytes as they came, its tokens, and what the rules said, where they were asked."""

    size: int
    usage: Usage

    @property
    def verdict(self) -> Verdict | None:
        """What the rules say of it."""

    @property
    def coverage(self) -> Coverage:
        """How much of it was readable."""

    def finish(self) -> None:
        """It is over, or was cut off."""


class Unjudged:
    """An answer that passes as it is, read along for its token counts alone. Never holds it up, changes it, or fails."""

    coverage: Coverage = "none"

    def __init__(self, content_type: str, encoding: str, verdict: Verdict | None = None):
        """`verdict`: what the rules say of an answer of which nothing can be read."""
        self.usage = Usage()
        self.size = 0
        self.verdict = verdict
        self._decoder = decoder_for(encoding)
        self._framing = framing_of(content_type, grows=False)
        self._whole = bytearray()

    def feed(self, chunk: bytes) -> None:
        """Take the next raw chunk."""
        self.size += len(chunk)
        if self._decoder is None:
            return
        try:
            decoded = self._decoder.feed(chunk)
        except Undecodable:
            self._decoder = None
            return
        if self._framing is not None:
            for frame in self._framing.feed(decoded):
                self._read(frame.data or b"")
        elif len(self._whole) + len(decoded) <= MAX_READ:
            self._whole += decoded
        else:
            self._decoder, self._whole = None, bytearray()

    def finish(self) -> None:
        """A whole answer is read now."""
        self._read(bytes(self._whole))
        self._whole = bytearray()

    def _read(self, data: bytes) -> None:
        if b'"usage' in data or b"_count" in data:
            try:
                self.usage.read(msgspec.json.decode(data))
            except (ValueError, RecursionError):
                return


@dataclass
class Whole:
    """An answer judged in one piece; `body` is what may be passed on, None where that is what came."""

    size: int = 0
    usage: Usage = field(default_factory=Usage)
    verdict: Verdict | None = None
    coverage: Coverage = "none"
    body: bytes | None = None

    def finish(self) -> None:
        """There is nothing left to do."""


def unreadable(content_type: str, encoding: str, *, sought: bool = False) -> str:
    """Why nothing of an answer can be read, going by its head; nothing where it can.

    `sought`: the call asked for a stream of text, which its client reads as one whatever the type says.
    """
    if decoder_for(encoding) is None:
        return "unknown_encoding"
    kind = content_type.partition(";")[0].strip().lower()
    family, _, name = kind.partition("/")
    if sought or kind in FRAMINGS or family in ("", "text") or name.rpartition("+")[2] in READABLE:
        return ""
    return "document" if name == "pdf" else OPAQUE.get(family, "opaque")


def judge_whole(
    book: Rulebook,
    context: Exchange,
    raw: bytes,
    content_type: str,
    encoding: str,
    *,
    key: bytes,
    restore: Pairs,
) -> Whole:
    """Decode, read, judge and edit an answer. Total."""
    context = replace(context, stream=False)
    decoded = decode(raw, encoding)
    if isinstance(decoded, Unreadable):
        exchange = replace(context, unreadable=(decoded.reason,), size=len(raw))
        return Whole(len(raw), verdict=evaluate(book, exchange, key=key), coverage=exchange.coverage)
    usage, said = Usage(), Reader(streams=False).read(decoded)
    if isinstance(said, Unreadable):
        parts = tuple(
            Part(piece.text, piece.role, piece.kind, NOWHERE) for piece in _unread(decoded) if decoded
        )
        meant = "json" in content_type or decoded.lstrip()[:1] in (b"{", b"[")
        exchange = replace(
            context, parts=parts, unreadable=(said.reason,) if meant and decoded else (), size=len(raw)
        )
    else:
        usage.read(said.document)
        parts = tuple(
            Part(piece.text, piece.role, piece.kind, piece.literal, piece.tool) for piece in said.pieces
        )
        exchange = replace(context, parts=parts, unreadable=said.unreadable, size=len(raw))
    verdict = evaluate(book, exchange, key=key)
    edits = merged(
        [
            *((REDACTING, edit) for edit in verdict.edits),
            *((RESTORING, edit) for edit in restored(exchange.parts, restore)),
        ]
    )
    body = splice(decoded, edits) if edits and verdict.action != "BLOCK" else None
    return Whole(len(raw), usage, verdict, exchange.coverage, body)


def restored(parts: Sequence[Part], pairs: Pairs) -> list[Edit]:
    """What is put back into a whole answer."""
    if not pairs:
        return []
    restore = Restore(pairs)
    readable = [part for part in parts if part.literal != NOWHERE]
    return [
        replace(edit, literal=part.literal)
        for part in readable
        for edit in restore.edits(part.text, 0, 0, len(part.text))
    ]


@dataclass(frozen=True, slots=True)
class _Next:
    """A chunk that is one event, and differs from the one before in nothing but the text that goes on: most are."""

    head: bytes
    tail: bytes
    channels: tuple[Name, ...]

    @classmethod
    def behind(cls, raw: bytes, data: bytes, alike: Alike) -> "_Next | None":
        """What may come after this frame; None where its bytes do not show its data as they are."""
        head, shown, tail = raw.partition(data)
        return cls(head + alike.before, alike.after + tail, alike.piece.channels) if shown else None

    def goes_on(self, chunk: bytes, stream: Stream[Frame]) -> bool:
        """Whether it is such a chunk, and what it says may go on at once."""
        text = between(chunk, self.head, self.tail)
        return text is not None and stream.go_on(self.channels, text)


class Streamed:
    """An answer judged while it streams. Once it is `over`, nothing of what the provider still sends is passed on."""

    def __init__(
        self,
        framing: Framing,
        decoder: Decoder,
        stream: Stream[Frame],
        ending: Callable[[str], Ending],
        message: Callable[[Verdict], str],
    ):
        """`ending` makes the last events of a stream that is ended, of what is said there; `message` says why one is blocked."""
        self.size = 0
        self.usage = Usage()
        self.over = False
        self._framing, self._decoder, self._stream = framing, decoder, stream
        self._ending, self._message = ending, message
        self._reader = Reader()
        self._coming: deque[Frame] = deque()
        self._passing: list[bytes] = []  # frames, by the call that is under way
        self._releasing: list[Frame] = []
        self._begun = False
        self._next: _Next | None = None  # what the next chunk is likely to be
        self._plain = isinstance(decoder, Identity)
        self._unjudged = False

    @property
    def verdict(self) -> Verdict:
        """What the rules say of all that came so far."""
        return self._stream.verdict()

    @property
    def coverage(self) -> Coverage:
        """How much of it was readable."""
        return self._stream.coverage

    @property
    def idle(self) -> bytes:
        """What keeps a client waiting while text is held; nothing where nothing is, or where there is no such thing."""
        return self._framing.idle if self._stream.waiting and not self.over else b""

    def feed(self, chunk: bytes) -> list[bytes]:
        """Take raw bytes; give the frames that may go on."""
        self.size += len(chunk)
        self._stream.size = self.size
        if self._next is not None and self._next.goes_on(chunk, self._stream):
            self._begun = True
            return [chunk]
        try:
            decoded = self._decoder.feed(chunk)
        except Undecodable:
            self._stream.cannot_read("bad_encoding")
            return self.cut_off("The provider's answer could not be decoded")
        if self._unjudged:
            return [decoded]
        self._coming += self._framing.feed(decoded)
        return self._passed()

    def end(self) -> list[bytes]:
        """Nothing more comes: what is left, or the last events of an answer that is blocked at its end."""
        if self.over or self._unjudged:
            return []
        if not self._decoder.complete:
            self._stream.cannot_read("bad_encoding")
        self._coming += self._framing.end()
        passed = self._passed()
        return passed if self.over else passed + self._written(self._stream.end())

    def cut_off(self, why: str) -> list[bytes]:
        """End the stream for a reason of our own; what was passed on by then comes first."""
        self.over = True
        passed, self._passing = self._passing, []
        first = not self._begun and not passed
        return passed + [self._framing.made(name, data, first=first) for name, data in self._ending(why)]

    def let_go(self) -> list[bytes]:
        """Pass on what is held, and all that still comes, unjudged."""
        self._unjudged = True
        passed, self._passing = self._passing, []
        kept = dict.fromkeys(map(id, (*self._releasing, *(held := self._stream.held()))))
        coming = [frame for frame in self._coming if id(frame) not in kept]
        return passed + [frame.raw for frame in (*self._releasing, *held, *coming, *self._framing.end())]

    def finish(self) -> None:
        """There is nothing left to do."""

    def _passed(self) -> list[bytes]:
        while self._coming and not self.over:
            taken = self._take(self._coming[0])
            self._passing += taken
            self._coming.popleft()
        passed, self._passing = self._passing, []
        self._begun = self._begun or bool(passed)
        return passed

    def _take(self, frame: Frame) -> list[bytes]:
        pieces = [_beside(frame.beside)] if frame.beside else []
        last = False
        if frame.unreadable:
            self._stream.cannot_read(frame.unreadable)
        if frame.data is not None:
            said = self._reader.read(frame.data, frame.name)
            if isinstance(said, Unreadable):
                if frame.data.strip() not in NO_JSON:
                    self._stream.cannot_read(said.reason)
                pieces += _unread(frame.data)
            else:
                pieces += said.pieces
                for reason in said.unreadable:
                    self._stream.cannot_read(reason)
                last = said.last
                if b'"usage' in frame.data or b"_count" in frame.data:
                    self.usage.read(said.document)
        passed = self._written(self._stream.feed(frame, pieces, last=last))
        if frame.data and self._plain:
            alike = self._reader.alike if passed == [frame.raw] and self._stream.is_clean(pieces) else None
            self._next = _Next.behind(frame.raw, frame.data, alike) if alike is not None else None
        return passed

    def _written(self, released: Sequence[Released[Frame]]) -> list[bytes]:
        self._releasing = [frame for frame, _ in released]
        written = [
            self._framing.rewritten(frame, splice(frame.data or b"", edits)) if edits else frame.raw
            for frame, edits in released
        ]
        self._releasing = []
        if self._stream.blocked is not None:
            self._passing += written
            return self.cut_off(self._message(self._stream.blocked))
        if self._stream.overfull:
            self._stream.cannot_read("endless")
            return self.cut_off("More of the answer would have to be held than can be")
        return written


def _beside(text: str) -> Piece:
    """What stands beside an event's data. A reader that ends lines where the standard does not would see more in it."""
    channels: tuple[Name, ...] = (("beside",),) if len(text.splitlines()) > text.count("\n") + 1 else ()
    return Piece(text, channels, "other", "text" if channels else "field", NOWHERE)


def _unread(data: bytes) -> list[Piece]:
    """Data that is no JSON, as whatever it may be to a client."""
    text = data.decode("utf-8", "replace")
    kinds: tuple[Kind, ...] = ("text", "tool_call")
    return [Piece(text, (("unread", kind), (ALL, kind)), "assistant", kind, NOWHERE) for kind in kinds]


def goes_unescaped(text: str) -> bool:
    """Whether a text needs no escaping in JSON, at any depth, such as in a tool call's arguments, which are JSON in a JSON string."""
    try:
        return json.dumps(text, ensure_ascii=False)[1:-1] == text and bool(text.encode())
    except UnicodeEncodeError:
        return False
