"""Forms with files (multipart/form-data, RFC 7578), as audio, images and files are
sent: their text is read and edited.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from operator import attrgetter
from urllib.parse import unquote

from multipart import (
    MultipartError,
    MultipartSegment,
    PushMultipartParser,
    parse_options_header,
)

from addons.providers.provider import Call, Document
from rules.exchange import NOWHERE, Part, Unreadable
from rules.redact import Edit

# Sections of a form. OpenAI's image edits take 16 files; each section costs a dozen
# objects.
MAX_SECTIONS = 1000
KIND = "multipart/form-data"
MEDIA = {"audio": "audio", "video": "image", "image": "image"}
SHORT = 200  # characters; a longer field is text, whatever its name
TECHNICAL = frozenset(
    [
        "model",
        "response_format",
        "temperature",
        "language",
        "purpose",
        "size",
        "n",
        "quality",
        "style",
        "user",
        "stream",
        "background",
    ]
)


class Section:
    """One section of a form. `text` is None where it has none."""

    def __init__(self, segment: MultipartSegment, data: bytes):
        self.name = segment.name
        self.filename = segment.filename
        self.kind = segment.content_type or ""
        self.head = b"".join(
            f"{name}: {value}\r\n".encode() for name, value in segment.headerlist
        )
        values = [value for _, value in segment.headerlist]
        # what it has besides its data
        self.told = list(
            dict.fromkeys(text for value in values for text in (value, unquote(value)))
        )
        self.is_plain = all(
            _is_plain(name.lower(), value.lower()) for name, value in segment.headerlist
        )
        self.data = data
        try:
            self.text: str | None = data.decode()
        except UnicodeDecodeError:
            self.text = None
        if self.text is not None and "\0" in self.text:
            self.text = None


def _is_plain(name: str, value: str) -> bool:
    """Whether a header leaves the section readable: a known type, no encoding, text in
    UTF-8.
    """
    if name == "content-transfer-encoding":
        return value.strip() in ("7bit", "8bit", "binary")
    charset = (
        parse_options_header(value)[1].get("charset", "utf-8")
        if name == "content-type"
        else "utf-8"
    )
    return name in (
        "content-disposition",
        "content-type",
        "content-length",
    ) and charset in (
        "utf-8",
        "utf8",
        "us-ascii",
        "ascii",
    )


def is_form(content_type: str) -> bool:
    """Whether a body of this type is a form with files."""
    return content_type.partition(";")[0].strip().lower() == KIND


def read_form(
    body: bytes, content_type: str, model: str
) -> "tuple[Call, Form] | Unreadable":
    """The call in a form, and the form to write it back. Total."""
    kind, options = parse_options_header(content_type)
    boundary = options.get("boundary", "")
    if kind.lower() != KIND or not boundary or not boundary.isascii():
        return Unreadable("opaque")
    first, last = f"--{boundary}\r\n".encode(), f"\r\n--{boundary}--".encode()
    if not body.startswith(first) or body.find(last) != len(
        body.removesuffix(b"\r\n")
    ) - len(last):
        # something stands before or behind the form, which a reader may take for more
        # of it
        return Unreadable("opaque")
    try:
        form = Form(boundary.encode(), tuple(_sections(body, boundary)))
    except (MultipartError, ValueError):
        return Unreadable("opaque")
    if not all(section.is_plain for section in form.sections):
        return Unreadable("opaque")
    parts: list[Part] = []
    unreadable: dict[str, None] = {}
    documents: dict[int, Document] = {}
    said: dict[str, str] = {}
    for number, section in enumerate(form.sections):
        parts += [Part(text, "other", "field", NOWHERE) for text in section.told]
        if section.text is None or section.data.startswith(b"%PDF"):
            reason = MEDIA.get(section.kind.partition("/")[0], "document")
            unreadable[reason] = None
            if reason == "document":
                documents[len(parts)] = section.data
                parts.append(Part("", "user", "document", NOWHERE))
        if (
            section.text is not None
            and section.filename is None
            and section.name in TECHNICAL
            and len(section.text) <= SHORT
        ):
            said.setdefault(section.name, section.text)
            parts.append(Part(section.text, "other", "field", number))
        elif section.text is not None:
            parts.append(Part(section.text, "user", "text", number))
    call = Call(
        said.get("model", model),
        said.get("stream") == "true",
        tuple(parts),
        tuple(unreadable),
        said.get("user", ""),
        documents=documents,
    )
    return call, form


def _sections(body: bytes, boundary: str) -> Iterable[Section]:
    """The sections. Raises MultipartError for whatever the standard forbids."""
    with PushMultipartParser(
        boundary, content_length=len(body), max_segment_count=MAX_SECTIONS, strict=True
    ) as parser:
        segment: MultipartSegment | None = None
        data: list[bytes] = []
        for event in parser.parse(body):
            if isinstance(event, MultipartSegment):
                segment, data = event, []
            elif event:
                data.append(bytes(event))
            elif segment is not None:
                yield Section(segment, b"".join(data))
                segment = None


class Form:
    """A form that was read, and can be written again."""

    def __init__(self, boundary: bytes, sections: Sequence[Section]):
        self.sections, self._boundary = sections, boundary

    def write(self, body: bytes, edits: Sequence[Edit]) -> bytes:
        """The form with its texts edited.

        Raises ValueError where an edit names no text of it.
        """
        told = dict(_texts(self.sections, edits))
        pieces = []
        for number, section in enumerate(self.sections):
            pieces += [
                b"--",
                self._boundary,
                b"\r\n",
                section.head,
                b"\r\n",
                told.get(number, section.data),
                b"\r\n",
            ]
        return b"".join((*pieces, b"--", self._boundary, b"--\r\n"))


def _texts(
    sections: Sequence[Section], edits: Sequence[Edit]
) -> Iterable[tuple[int, bytes]]:
    place: Callable[[Edit], int] = attrgetter("literal")
    for number, group in groupby(
        sorted(edits, key=attrgetter("literal", "start")), key=place
    ):
        text = sections[number].text if 0 <= number < len(sections) else None
        if text is None:
            raise ValueError(f"the form has no text {number}")
        pieces, done = [], 0
        for edit in group:
            pieces += [text[done : edit.start], edit.text]
            done = edit.end
        yield number, "".join((*pieces, text[done:])).encode()
