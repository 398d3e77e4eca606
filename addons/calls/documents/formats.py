"""The texts of a document: bytes in, text out, and whether that is all that a reader would see. No I/O.

What a document is, its bytes say, whatever it claims. Total: what cannot be read gives no text.
"""

import io
import re
import zipfile
from collections.abc import Callable, Iterator, Sequence
from xml.parsers import expat

from pypdf import PageObject, PdfReader
from pypdf.errors import PyPdfError

from addons.calls.documents.job import NOTHING, Text

# Characters of all texts of a document. A thousand pages have some three million; what is
# judged of a call has room for a few of these.
MOST_TEXT = 4 * 1024 * 1024
# Bytes that the members of a zip unpack to, as a compressed body may.
MOST_UNPACKED = 64 * 1024 * 1024
CHUNK = 64 * 1024
# Members of a package of Office without text that anybody is shown: its parts and their looks.
HARMLESS = re.compile(
    r"(?i)\[content_types\]\.xml|mimetype|meta-inf/.*|.*/|(?:.*/)?(?:theme|slidelayouts|slidemasters|thumbnails|configurations2|printersettings)/.*"
    r"|docprops/(?:app\.xml|thumbnail.*)|customxml/(?:itemprops\d*\.xml|_rels/.*)|docmetadata/.*|settings\.xml|meta\.xml|manifest\.rdf"
    r"|word/(?:styles|settings|websettings|fonttable|numbering|styleswitheffects|people|commentsids|commentsextended|commentsextensible)\.xml"
    r"|xl/(?:styles|calcchain|metadata)\.xml|ppt/(?:presprops|viewprops|tablestyles|presentation)\.xml"
)
STRINGS = "xl/sharedStrings.xml"
# Elements of Office behind which a line ends, and those that part words.
LINES = frozenset(
    ("p", "row", "si", "table-row", "h", "br", "cr", "line-break", "comment", "text")
)
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
    """Text that is a document by its name alone: CSV, Markdown, HTML; and RTF, with its signs."""
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        return NOTHING
    whole = len(text) <= MOST_TEXT and not text.startswith("{\\rtf")
    return NOTHING if "\0" in text else Text(text[:MOST_TEXT], whole)


def _pdf(data: bytes, late: Late) -> Iterator[str | None]:
    reader = PdfReader(io.BytesIO(data), strict=False)
    if reader.is_encrypted and not reader.decrypt(""):
        yield None
        return
    if reader.attachments:
        yield None
    said = [*(reader.metadata or {}).values()]
    said += [field.value for field in (reader.get_fields() or {}).values()]
    yield "\n".join(str(one) for one in said if one)
    for page in reader.pages:
        if late():
            yield None
            return
        try:
            yield from _page(page)
        except (PyPdfError, ValueError, KeyError, TypeError, AttributeError):
            yield None


def _page(page: PageObject) -> Iterator[str | None]:
    text = page.extract_text()
    yield text
    if len(page.images) or not text.strip():
        yield None
    for annotation in page.annotations or ():
        known = annotation.get_object()
        yield str(known.get("/Contents") or "")
        # Others may have a look of their own, which is not read.
        if known.get("/Subtype") not in ("/Link", "/Widget"):
            yield None


def _office(data: bytes, late: Late) -> Iterator[str | None]:
    with zipfile.ZipFile(io.BytesIO(data)) as package:
        members = [one for one in package.infolist() if not HARMLESS.fullmatch(one.filename)]  # fmt: skip
        readable = [one for one in members if one.filename.lower().endswith((".xml", ".rels"))]  # fmt: skip
        if len(readable) < len(members):  # pictures, and other documents inside
            yield None
        readable.sort(key=lambda one: (one.filename != STRINGS, one.filename))
        left, strings = MOST_UNPACKED, list[str]()
        for info in readable:
            reader = _Xml(strings)
            with package.open(info) as member:
                while chunk := member.read(CHUNK):
                    left -= len(chunk)
                    if left < 0 or late():
                        yield reader.text
                        yield None
                        return
                    reader.feed(chunk)
            reader.end()
            if info.filename == STRINGS:
                strings = reader.strings
            yield reader.text


class _Xml:
    """The text of one member. A type declaration, by which entities grow, is refused."""

    def __init__(self, shared: Sequence[str]):
        self._shared, self._pieces = shared, list[str]()
        self.strings: list[str] = []  # of a table of shared strings
        self._string = 0  # the first piece of the string that is read
        self._by_number = False
        self._value: list[str] | None = None  # pieces of a cell's value
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
        match local:
            case "c":  # a cell: its value may be the number of a shared string
                self._by_number = attributes.get("t") == "s"
            case "v" if self._by_number:
                self._value = []
            case "si":
                self._string = len(self._pieces)
            case "noBreakHyphen":
                self._pieces.append("-")
            case "s":  # blanks of OpenDocument
                self._pieces.append(" ")
            case "sheet":
                self._pieces.append(attributes.get("name", "") + "\n")
            case "Relationship" if attributes.get("TargetMode") == "External":
                self._pieces.append(attributes.get("Target", "") + "\n")

    def _characters(self, text: str) -> None:
        if self._value is not None:
            self._value.append(text)
        elif text.strip() or "\n" not in text:  # else it only indents elements
            self._pieces.append(text)

    def _end(self, name: str) -> None:
        local = name.rpartition(" ")[2]
        if local == "v" and self._value is not None:
            number = "".join(self._value).strip()
            at = int(number) if number.isdecimal() and len(number) < 9 else -1
            self._pieces.append(self._shared[at] if 0 <= at < len(self._shared) else "")
            self._value = None
        elif local == "si":
            self.strings.append("".join(self._pieces[self._string :]))
        if local in LINES or local in GAPS:
            self._pieces.append("\n" if local in LINES else "\t")
