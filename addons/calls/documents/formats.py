"""The texts of a document: bytes in, text out, and whether that is all that a reader would see. No I/O.

What a document is, its bytes say, whatever it claims. Total: what cannot be read gives no text.
"""

import io
import re
import zipfile
from collections.abc import Callable, Iterator
from xml.parsers import expat

from pypdf import PdfReader
from pypdf.errors import PyPdfError

from addons.calls.documents.job import NOTHING, Text

# Characters of all texts of a document. A thousand pages have some three million; what is
# judged of a call has room for a few of these.
MOST_TEXT = 4 * 1024 * 1024
# Bytes that the members of a zip unpack to, as a compressed body may.
MOST_UNPACKED = 64 * 1024 * 1024
CHUNK = 64 * 1024
# What of a package of Office holds text: Word, Excel, PowerPoint, OpenDocument.
MEMBERS = re.compile(
    r"word/(?:document|header\d*|footer\d*|footnotes|endnotes|comments)\.xml|xl/worksheets/[^/]+\.xml|xl/comments\d*\.xml"
    r"|ppt/(?:slides|notesSlides|comments)/[^/]+\.xml|content\.xml"
)
STRINGS = "xl/sharedStrings.xml"
UNSEEN = re.compile(
    r"(?:word|xl|ppt)/(?:media|embeddings)/.|(?:Pictures|Object [^/]*)/."
)
# Elements of Office behind which a line ends, and those that part words.
LINES = frozenset(("p", "row", "si", "table-row", "h", "br", "line-break"))
GAPS = frozenset(("c", "tab", "table-cell", "tc"))


Late = Callable[[], bool]  # whether the time for reading is over


def text_of(data: bytes, late: Late = lambda: False) -> Text:
    """The text of a document."""
    begin = data[:1024].lstrip()
    try:
        if b"%PDF-" in data[:1024]:
            return _collected(_pdf(data, late))
        if begin.startswith(b"PK\x03\x04"):
            return _collected(_office(data, late))
    # pypdf raises whatever a broken file makes Python raise.
    except Exception:
        return NOTHING
    return _plain(data)


def _collected(pieces: Iterator[str | None]) -> Text:
    """The pieces as one text; None stands for something that is not text."""
    texts: list[str] = []
    whole, left = True, MOST_TEXT
    try:
        for piece in pieces:
            if piece is None:
                whole = False
                continue
            texts.append(piece[:left])
            left -= len(piece)
            if left < 0:
                return Text("\n".join(texts), whole=False)
    except Exception:  # what was read until then is text all the same
        whole = False
    text = "\n".join(texts)
    return Text(text, whole and bool(text.strip()))


def _plain(data: bytes) -> Text:
    """Text that is a document by its name alone: CSV, Markdown, HTML, RTF."""
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        return NOTHING
    return NOTHING if "\0" in text else Text(text[:MOST_TEXT], len(text) <= MOST_TEXT)


def _pdf(data: bytes, late: Late) -> Iterator[str | None]:
    reader = PdfReader(io.BytesIO(data), strict=False)
    if reader.is_encrypted and not reader.decrypt(""):
        yield None
        return
    if reader.attachments:
        yield None
    for value in (reader.get_form_text_fields() or {}).values():
        yield str(value or "")
    for page in reader.pages:
        if late():
            yield None
            return
        try:
            text = page.extract_text()
            pictures = len(page.images) > 0
        except (PyPdfError, ValueError, KeyError, TypeError, AttributeError):
            yield None
            continue
        yield text
        if pictures or not text.strip():
            yield None


def _office(data: bytes, late: Late) -> Iterator[str | None]:
    with zipfile.ZipFile(io.BytesIO(data)) as package:
        names = [info.filename for info in package.infolist()]
        left = MOST_UNPACKED
        strings: list[str] = []
        wanted = [name for name in names if MEMBERS.fullmatch(name)]
        if not wanted or any(map(UNSEEN.match, names)):
            yield None
        for name in ([STRINGS] if STRINGS in names else []) + sorted(wanted):
            reader = _Xml(strings)
            with package.open(name) as member:
                while chunk := member.read(CHUNK):
                    left -= len(chunk)
                    if left < 0 or late():
                        yield reader.text
                        yield None
                        return
                    reader.feed(chunk)
            reader.end()
            if name == STRINGS:
                strings = reader.text.split("\n")
            else:
                yield reader.text


class _Xml:
    """The text of one member. A type declaration, by which entities grow, is refused."""

    def __init__(self, strings: list[str]):
        self._strings, self._pieces = strings, [""]
        self._by_number = self._in_value = False
        self._parser = expat.ParserCreate(namespace_separator=" ")
        self._parser.buffer_text = True
        self._parser.StartDoctypeDeclHandler = self._refuse
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._characters

    def feed(self, chunk: bytes) -> None:
        """The next bytes. Raises expat.ExpatError."""
        self._parser.Parse(chunk, False)  # its own interface

    def end(self) -> None:
        """There are no more. Raises expat.ExpatError."""
        self._parser.Parse(b"", True)

    @property
    def text(self) -> str:
        """What was read so far."""
        return "".join(self._pieces).strip("\n")

    def _refuse(self, *_: object) -> None:
        raise ValueError("a type declaration")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        local = name.rpartition(" ")[2]
        if local == "c":  # a cell: its value may be the number of a shared string
            self._by_number = attributes.get("t") == "s"
        self._in_value = local == "v"

    def _characters(self, text: str) -> None:
        if self._in_value and self._by_number and text.isdecimal():
            number = int(text[:9])
            text = self._strings[number] if number < len(self._strings) else ""
        self._pieces.append(text)

    def _end(self, name: str) -> None:
        local = name.rpartition(" ")[2]
        if local in LINES or local in GAPS:
            self._pieces.append("\n" if local in LINES else "\t")
        self._in_value = False
