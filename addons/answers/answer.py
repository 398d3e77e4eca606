"""An answer that is passed unchanged, or judged in one piece. Bytes in, bytes out; no I/O."""

import re
from dataclasses import dataclass, field, replace

import msgspec

from addons.answers.plain_texts import read_plain
from addons.answers.template import Bound
from addons.answers.texts import AnswerReader
from addons.framing import FRAMINGS, PACKED, framing_of
from addons.framing.charset import is_utf8, text_in
from addons.framing.decode import NO_ENCODING, Undecodable, decode, decoder_for
from addons.providers.provider import Usage
from rules.channels import ALL, Piece
from rules.evaluate import evaluate
from rules.exchange import NOWHERE, Coverage, Exchange, Kind, Unreadable
from rules.redact import splice
from rules.restore.restorer import Restorer, with_restored
from rules.restore.whole import with_originals
from rules.rulebook import Rulebook
from rules.verdict import Verdict

MAX_READ = 8 * 1024 * 1024  # decoded bytes of a whole answer kept for its token counts
# Of a longer document only the last object of counts is read: this is done on the event loop.
MAX_PARSED = 256 * 1024
COUNTS = re.compile(
    rb'"(usage\w*|token_count)"\s*:\s*(\{[^{}]{0,2000}(?:\{[^{}]{0,500}\}[^{}]{0,500}){0,8}\})'
)
SKIPPABLE = re.compile(rb"[\x50-\x5f]\x2a\x4d\x18")
UNKNOWN = "unknown_encoding"
BLANKS = b" \t\r\n\xef\xbb\xbf"  # before JSON, and a byte order mark
OPAQUE = {
    "audio": "audio",
    "image": "image",
    "video": "image",
    "font": "opaque",
    "multipart": "opaque",
    "model": "opaque",
}
READABLE = (
    "",
    "text",
    "json",
    "xml",
    "x-www-form-urlencoded",
    "javascript",
    "graphql",
)


class PassedAnswer:
    """An answer that passes unchanged, read only for its token counts. Never delays it, never raises for its content."""

    coverage: Coverage = "none"

    def __init__(
        self, content_type: str, encoding: str, verdict: Verdict | None = None
    ):
        """`verdict`: what the rules say of an answer whose body cannot be read."""
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
        """Read the token counts of an answer that is one document."""
        self._read(bytes(self._whole))
        self._whole = bytearray()

    def _read(self, data: bytes) -> None:
        if not may_have_usage(data):
            return
        if len(data) > MAX_PARSED:
            data = _counts_in(data)
        try:
            self.usage.read(msgspec.json.decode(data))
        except (ValueError, RecursionError):
            return


def _counts_in(data: bytes) -> bytes:
    """A document of the last counts that stand in a long one."""
    found = COUNTS.match(data, max(0, data.rfind(b'"usage')))
    return b'{"%b":%b}' % found.groups() if found else b""


@dataclass
class WholeAnswer:
    """An answer judged in one piece. `body` is what is sent instead; None: what the provider
    sent. `bound` are its texts that have a signature.
    """

    size: int = 0
    usage: Usage = field(default_factory=Usage)
    verdict: Verdict | None = None
    coverage: Coverage = "none"
    body: bytes | None = None
    bound: tuple[Bound, ...] = ()

    def finish(self) -> None:
        """Nothing is left to read."""


def may_have_usage(data: bytes) -> bool:
    """Whether token counts may stand in this JSON."""
    return b'"usage' in data or b"_count" in data


def unreadable_by_head(content_type: str, *, streams: bool = False) -> str:
    """Why nothing of an answer can be read, one of `rules.exchange.REASONS`; empty where it can.

    `streams`: the call asked for a stream of text, so its client reads one whatever the type.
    """
    kind = content_type.partition(";")[0].strip().lower()
    family, _, name = kind.partition("/")
    if (
        streams
        or kind in FRAMINGS
        or family in ("", "text")
        or name.rpartition("+")[2] in READABLE
    ):
        return ""
    return "document" if name == "pdf" else OPAQUE.get(family, "opaque")


def looks_readable(begin: bytes) -> bool:
    """Whether a body begins as JSON does: then clients read it, whatever its type says it is."""
    return begin.lstrip(BLANKS)[:1] in (b"{", b"[", b'"')


def judge_whole(
    book: Rulebook,
    context: Exchange,
    raw: bytes,
    content_type: str,
    encoding: str,
    *,
    key: bytes,
    restorer: Restorer | None = None,
) -> WholeAnswer:
    """Decode, read, judge and edit an answer.

    Never raises. `key` makes the placeholders; `restorer` puts originals back.
    """
    if not encoding.strip() and restorer is None and is_utf8(raw, content_type):
        answer = _judge_plain(book, context, raw, key)
        if answer is not None:
            return answer
    context = replace(context, stream=False, size=len(raw))
    decoded, strange = decode(raw, encoding), tuple[str, ...]()
    if isinstance(decoded, Unreadable) and decoded.reason == UNKNOWN:
        # Most clients then take the bytes as they are.
        decoded, strange = raw, (UNKNOWN,)
    if not isinstance(decoded, Unreadable) and decoded.startswith(PACKED):
        decoded = Unreadable("opaque")
    if isinstance(decoded, Unreadable):
        exchange = replace(context, unreadable=(decoded.reason,))
        verdict = evaluate(book, exchange, key=key)
        return WholeAnswer(len(raw), verdict=verdict, coverage=exchange.coverage)
    usage, unreadable, bound = Usage(), tuple[str, ...](), tuple[Bound, ...]()
    texts = AnswerReader(streams=False).read(decoded)
    if isinstance(texts, Unreadable):
        pieces = unparsed(decoded) if decoded else []
        claims_json = "json" in content_type or decoded.lstrip()[:1] in (b"{", b"[")
        if claims_json and decoded:
            unreadable = (texts.reason,)
    else:
        usage.read(texts.document)
        pieces, unreadable = list(texts.pieces), texts.unreadable
        bound = texts.bound
    if not is_utf8(decoded, content_type):
        written = text_in(decoded, content_type)
        if isinstance(written, Unreadable):
            strange += (written.reason,)
        else:
            pieces += unparsed(written.encode("utf-8", "replace"))
    parts = tuple(piece.part for piece in pieces)
    exchange = replace(context, parts=parts, unreadable=(*unreadable, *strange))
    verdict = evaluate(book, exchange, key=key)
    edits = with_originals(verdict.edits, pieces, restorer)
    if restorer is not None:
        verdict = with_restored(verdict, *restorer.counts)
    body = splice(decoded, edits) if edits and verdict.action != "BLOCK" else None
    if body is None and _has_beside(raw, encoding):
        body = decoded
    return WholeAnswer(len(raw), usage, verdict, exchange.coverage, body, bound)


def _judge_plain(
    book: Rulebook, context: Exchange, raw: bytes, key: bytes
) -> WholeAnswer | None:
    """The same of an answer that is plain, as most are; None of any other."""
    plain = read_plain(raw)
    if plain is None:
        return None
    parts = tuple(plain.parts)
    exchange = context.but(stream=False, size=len(raw), parts=parts)
    verdict, usage = evaluate(book, exchange, key=key), Usage()
    usage.read(plain.document)
    edited = verdict.edits and verdict.action != "BLOCK"
    body = splice(raw, verdict.edits) if edited else None
    return WholeAnswer(len(raw), usage, verdict, exchange.coverage, body)


def _has_beside(raw: bytes, encoding: str) -> bool:
    """Whether the encoded form holds more than what it decodes to: a gzip member's name, comment or
    extra field (RFC 1952, section 2.3), a skippable frame of zstd (RFC 8878, section 3.1.2).
    """
    if decoder_for(encoding) is None or encoding.strip() in NO_ENCODING:
        return False
    named = raw.startswith(b"\x1f\x8b") and bool(raw[3:4].strip(b"\0\x01"))
    return named or SKIPPABLE.search(raw) is not None or b"\x1f\x8b\x08" in raw[1:]


def unparsed(data: bytes) -> list[Piece]:
    """Data that is no JSON, as its client may take it: as text, and as a tool call."""
    text = data.decode("utf-8", "replace")
    kinds: tuple[Kind, ...] = ("text", "tool_call")
    return [
        Piece(text, (("unparsed", kind), (ALL, kind)), "assistant", kind, NOWHERE)
        for kind in kinds
    ]
