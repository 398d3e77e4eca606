"""What an answer says: the texts of a whole one, or of one event of a stream, each with the texts that it may go on.

No provider's shape is needed for that. Every string is a text, so a field that nobody heard of is judged, too. In a stream, strings
at the same place go on one another; and since clients differ in what they take for the same place, so do those that share an index, and
all of one kind (`rules.stream` lets a piece go only when it may in each of them). What is short and technical by its name (ids, types,
reasons) stands for itself.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from addons.providers.places import is_base64, tool_name
from rules.exchange import Kind, Unreadable
from rules.leaves import Leaf, Unread, Walk, parse
from rules.redact import LITERAL
from rules.stream import ALL, Name, Piece

# Keys of the APIs themselves; any other is judged.
KEYS = frozenset(
    """
    id object model created choices index delta content role finish_reason logprobs text type message usage tool_calls function name
    arguments system_fingerprint service_tier refusal reasoning reasoning_content annotations prompt_tokens completion_tokens
    total_tokens sequence_number item_id output_index content_index response item part output status obfuscation call_id summary
    input_tokens output_tokens content_block partial_json stop_reason stop_sequence thinking signature input citations
    candidates parts finishReason usageMetadata modelVersion responseId functionCall args promptTokenCount candidatesTokenCount
    contentBlockIndex toolUse toolUseId stopReason metrics latencyMs p bytes inputTokens outputTokens totalTokens
    created_at response done done_reason context total_duration load_duration eval_count eval_duration prompt_eval_count
    prompt_eval_duration data embedding error code param generated_text token special logprob event_type is_finished
    """.split()  # noqa: SIM905
)
# Strings that do not go on one another.
ALONE = frozenset(
    """
    id object model type role finish_reason finishReason stop_reason stopReason system_fingerprint service_tier item_id call_id status
    name created_at modelVersion responseId toolUseId done_reason obfuscation p signature encrypted_content tool_call_id phase
    index output_index content_index summary_index contentBlockIndex
    event_type response_id generation_id finishMessage stop_sequence url uri mimeType mime_type file_id code param
    """.split()  # noqa: SIM905
)
# Bytes in base64, and what they are.
MEDIA = {
    "b64_json": "image",
    "partial_image_b64": "image",
    "bytesBase64Encoded": "image",
    "result": "image",
    "data": "audio",
    "delta": "audio",
    "encrypted_content": "opaque",
    "signature": "opaque",
    "thoughtSignature": "opaque",
}
MEDIA_LENGTH = 512  # characters; shorter runs are read as what they are
CALLS = frozenset(
    (
        "tool_calls",
        "function_call",
        "arguments",
        "partial_json",
        "toolUse",
        "functionCall",
        "args",
        "tool_use",
        "tool_call_delta",
    )
)
CALL_TYPE = re.compile("_call|tool_call|tool_use|tool-call|code_interpreter|shell|computer")
ORDERED_INDEXES = ("output_index", "content_index", "summary_index", "contentBlockIndex", "index")
INDEXES = frozenset(ORDERED_INDEXES)
OWNERS = ("response_id", "item_id")  # whose a piece is, where several come in turns
ENDS = (".completed", ".failed", ".incomplete", "message_stop", "message-end", "messageStop")
ENDING = re.compile(
    rb'"(?:finish|stop|completion|done)_?[rR]eason"\s*:\s*"|"(?:done|is_finished)"\s*:\s*true'
)
MAX_TOOLS = 10_000
NOT_PLAIN = re.compile(rb'["\\\x00-\x1f]')

Ids = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Said:
    """The texts of one document; `last`: it looks as if nothing more would be said; `unreadable`: what could not be looked at."""

    pieces: tuple[Piece, ...] = ()
    last: bool = False
    unreadable: tuple[str, ...] = ()
    document: Any = None


@dataclass(frozen=True, slots=True)
class Alike:
    """A document with a hole where its one text that goes on stood: what fits around the same hole need not be parsed again."""

    before: bytes
    after: bytes
    name: str
    said: Said
    number: int  # of that text among the pieces

    @property
    def piece(self) -> Piece:
        """The text as it stood."""
        return self.said.pieces[self.number]

    def read(self, body: bytes, name: str) -> Said | None:
        """The document, where it differs in nothing but that text, and the text in nothing that JSON would write otherwise."""
        text = between(body, self.before, self.after) if name == self.name else None
        if text is None:
            return None
        pieces = self.said.pieces
        return Said(
            (*pieces[: self.number], self.piece._replace(text=text), *pieces[self.number + 1 :]),
            False,
            self.said.unreadable,
            None,
        )


def between(data: bytes, before: bytes, after: bytes) -> str | None:
    """The text of a JSON string that fills the hole between these bytes; None where something else does, or there are escapes in it."""
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


def _alike(body: bytes, name: str, said: Said) -> Alike | None:
    going_on = [number for number, piece in enumerate(said.pieces) if piece.channels]
    if len(going_on) != 1 or said.last:
        return None
    literal = said.pieces[going_on[0]].literal
    found = next(islice(LITERAL.finditer(body.decode()), literal, None))
    if not found[0].startswith('"'):
        return None
    source = found.string
    return Alike(
        source[: found.start() + 1].encode(), source[found.end() - 1 :].encode(), name, said, going_on[0]
    )


@dataclass(slots=True)
class Reader:
    """Reads the documents of one answer, which goes on from one to the next where it `streams`."""

    streams: bool = True
    tools: dict[Ids, str] = field(default_factory=dict)  # by the place of their calls
    alike: "Alike | None" = None  # the last document, where all but one text of it is likely to come again

    def read(self, body: bytes, name: str = "") -> Said | Unreadable:
        """One document; `name` is its event's. Total."""
        said = self.alike.read(body, name) if self.alike is not None else None
        if said is not None:
            return said
        read = self._read(body, name)
        if self.streams:
            self.alike = None if isinstance(read, Unreadable) else _alike(body, name, read)
        return read

    def _read(self, body: bytes, name: str) -> Said | Unreadable:
        document = parse(body, constants=True)
        if isinstance(document, Unreadable):
            return document
        walk, unreadable, pieces = Walk(KEYS), dict[str, None](), list[Piece]()
        kind_of_event = document.get("type") if isinstance(document, dict) else None
        event = (
            " ".join((name, kind_of_event) if name else (kind_of_event,))
            if isinstance(kind_of_event, str)
            else name
        )
        try:
            for leaf in walk.leaves(document):
                piece = self._piece(leaf, event)
                if isinstance(piece, Unreadable):
                    unreadable[piece.reason] = None
                else:
                    pieces.append(piece)
            walk.end(body)
        except Unread as error:
            return Unreadable(error.why)
        if b'"logprobs"' in body and _has_logprobs(document):
            unreadable["opaque"] = None  # the text once more, as numbers
        last = event.endswith(ENDS) or ENDING.search(body) is not None
        return Said(tuple(pieces), last, tuple(unreadable), document)

    def _piece(self, leaf: Leaf, event: str) -> Piece | Unreadable:
        if leaf.is_key:
            return Piece(leaf.text, (), "assistant", "key", leaf.literal)
        last = leaf.path[-1] if leaf.path else ""
        name = (
            last if type(last) is str else next((key for key in reversed(leaf.path) if type(key) is str), "")
        )
        if (
            len(leaf.text) > MEDIA_LENGTH
            and name in MEDIA
            and _is_media(name, event, leaf)
            and is_base64(leaf.text)
        ):
            return Unreadable(MEDIA[name])
        is_call = _is_call(leaf, event)
        kind: Kind = "tool_call" if is_call else "text"
        tool = self._tool(leaf, name) if is_call else ""
        if name in ALONE or not _is_string(leaf, last):
            return Piece(leaf.text, (), "assistant", kind if is_call else "field", leaf.literal, tool)
        return Piece(
            leaf.text,
            _channels(leaf, event, kind, name) if self.streams else (),
            "assistant",
            kind,
            leaf.literal,
            tool,
        )

    def _tool(self, leaf: Leaf, name: str) -> str:
        """A tool's name stands where its call begins; what it is called with comes later."""
        ids = _ids(leaf.around)
        if name == "name" and len(self.tools) < MAX_TOOLS:
            self.tools[ids] = leaf.text
        return tool_name(leaf.around) or self.tools.get(ids, "")


def _is_string(leaf: Leaf, last: Any) -> bool:
    """Whether it was written as a text; numbers do not go on one another."""
    return not leaf.around or type(leaf.around[-1][last]) is str


def _channels(leaf: Leaf, event: str, kind: Kind, name: str) -> tuple[Name, ...]:
    """The texts that a piece may be part of, since clients differ in what they look at: its place in the document, told apart by what
    stands around it or not; each index along its way; its key; and all of one kind together.
    """
    inner = leaf.around[-1] if leaf.around else None
    signs = (
        repr([(key, value) for key, value in inner.items() if value is True or key == "type"])
        if type(inner) is dict
        else ""
    )
    indexes: list[Name] = []
    for depth, container in enumerate(leaf.around):
        if type(container) is dict and not INDEXES.isdisjoint(container):
            way = tuple(key for key in leaf.path[:depth] if type(key) is str)
            indexes += [
                ("index", kind, key, _number(container[key]), *way)
                for key in ORDERED_INDEXES
                if key in container
            ]
    outer = leaf.around[0] if leaf.around else None
    owners = [key for key in OWNERS if key in outer] if type(outer) is dict else ()
    indexes += [("owner", kind, key, str(outer[key]), *leaf.path) for key in owners if outer is not None]
    return (
        ("apart", kind, event, signs, *_ids(leaf.around), *leaf.path),
        ("place", kind, signs, *leaf.path),
        ("place", kind, *leaf.path),
        *indexes,
        ("key", kind, name),
        (ALL, kind),
    )


def _number(index: object) -> object:
    """An index however it was written."""
    try:
        return int(index)  # type: ignore[call-overload]
    except (TypeError, ValueError, OverflowError):
        return 0


def _ids(around: Sequence[Any]) -> Ids:
    """The indexes that stand along the way to a text."""
    ids: list[int] = []
    for container in around:
        if type(container) is dict and not INDEXES.isdisjoint(container):
            ids += [container[key] for key in ORDERED_INDEXES if type(container.get(key)) is int]
    return tuple(ids)


def _is_call(leaf: Leaf, event: str) -> bool:
    if not CALLS.isdisjoint(leaf.path) or (event and CALL_TYPE.search(event)):
        return True
    for container in leaf.around:
        if type(container) is dict and type(kind := container.get("type")) is str and CALL_TYPE.search(kind):
            return True
    return False


def _is_media(name: str, event: str, leaf: Leaf) -> bool:
    """Whether bytes stand under this name here; what is elsewhere called so is text."""
    if name == "delta":
        return "audio" in event
    if name == "data":
        return len(leaf.path) > 1 and leaf.path[-2] in (
            "audio",
            "inlineData",
            "inline_data",
            "content_block",
            "content",
            "data",
        )
    if name == "result":
        return any(
            isinstance(one, dict) and one.get("type") == "image_generation_call" for one in leaf.around
        )
    return True


def _has_logprobs(document: Any) -> bool:
    choices = document.get("choices") if isinstance(document, dict) else None
    return isinstance(choices, list) and any(
        isinstance(choice, dict) and choice.get("logprobs") for choice in choices
    )
