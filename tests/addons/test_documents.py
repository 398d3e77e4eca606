"""Documents in calls: their texts are read in a process apart, whatever they claim to be, and whatever they do to it."""

import base64
import io
import json
import re
import zlib
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pypdf import PdfReader, PdfWriter
from pypdf.generic import DictionaryObject, NameObject, StreamObject

from addons.calls.documents import formats, reader
from addons.calls.documents.formats import MOST_TEXT, text_of
from addons.calls.documents.job import NOTHING, Text
from addons.calls.documents.reader import DocumentReader
from tests.support import documents

SECRET = "the key is AKIAQYLPMN5HHHFPZAM2, keep it"
PICTURE = bytes(range(256)) * 4
MANY = {
    "PDF": documents.pdf(SECRET),
    "PDF, second page": documents.pdf("first", SECRET),
    "PDF behind junk": b"\n\n" + documents.pdf(SECRET),
    "Word": documents.docx("Minutes", SECRET),
    "Word, header": documents.docx(
        "Minutes", **{"word/header1.xml": f"<h><p>{SECRET}</p></h>"}
    ),
    "Word, comment": documents.docx(
        "Minutes", **{"word/comments.xml": f"<h><p>{SECRET}</p></h>"}
    ),
    "Excel": documents.xlsx(("name", "key"), ("aws", SECRET)),
    "PowerPoint": documents.pptx("Welcome", SECRET),
    "OpenDocument": documents.odt("Minutes", SECRET),
    "CSV": f"name,key\naws,{SECRET}\n".encode(),
    "CSV of Excel": b"\xff\xfe" + f"name\tkey\naws\t{SECRET}\n".encode("utf-16-le"),
    "HTML": f"<p>{SECRET}</p>".encode(),
    "RTF": ("{\\rtf1\\ansi " + SECRET + "}").encode(),
}


@pytest.mark.parametrize("kind", MANY)
def test_the_text_of_a_document_is_read_whole(kind: str) -> None:
    found = text_of(MANY[kind])
    assert SECRET in found.text
    assert found.whole == (kind != "RTF")


def sheet(strings: str, cells: str, **more: str) -> bytes:
    return documents.package(
        {
            "xl/worksheets/sheet1.xml": f'<w xmlns="{documents.S}"><row>{cells}</row></w>',
            "xl/sharedStrings.xml": f'<sst xmlns="{documents.S}">{strings}</sst>',
            **more,
        }
    )


@pytest.mark.parametrize(
    ("strings", "number"),
    [
        (f"<si><t>a\nb\nc</t></si><si><t>{SECRET}</t></si>", "1"),
        (f"<si><t></t></si><si><t></t></si><si><t>{SECRET}</t></si>", "2"),
        (f"<si><t>{'x' * 70_000}</t></si><si><r><t>{SECRET[:7]}</t></r><r><t>{SECRET[7:]}</t></r></si>", "1"),
    ],
)  # fmt: skip
def test_a_cell_has_its_own_string(strings: str, number: str) -> None:
    data = sheet(strings, f'<c t="s"><v>{number}</v></c><c><v>7</v></c>')
    found = text_of(data)
    assert f"{SECRET}\t7\t" in found.text
    assert found.whole


@pytest.mark.parametrize(
    "members",
    [
        {"word/diagrams/data1.xml": f"<d><t>{SECRET}</t></d>"},
        {"word/charts/chart1.xml": f"<c><v>{SECRET}</v></c>"},
        {"customXml/item1.xml": f"<x><a>{SECRET}</a></x>"},
        {"docProps/core.xml": f"<x><title>{SECRET}</title></x>"},
        {"xl/drawings/drawing1.xml": f"<x><p><t>{SECRET}</t></p></x>"},
        {"xl/threadedComments/threadedComment1.xml": f"<x><text>{SECRET}</text></x>"},
        {"xl/workbook.xml": f'<w><sheets><sheet name="{SECRET}"/></sheets></w>'},
        {"word/_rels/document.xml.rels": f'<r><Relationship TargetMode="External" Target="https://x.example/?{SECRET}"/></r>'},
        {"Word/Footnotes.XML": f"<x><p><t>{SECRET}</t></p></x>"},
    ],
)  # fmt: skip
def test_no_member_with_text_is_passed_over(members: dict[str, str]) -> None:
    found = text_of(documents.docx("Minutes", **members))
    assert SECRET in found.text
    assert found.whole


def test_words_that_are_parted_by_indents_or_hyphens_are_whole() -> None:
    half = len(SECRET) // 2
    body = f"<p>\n  <r>\n    <t>{SECRET[:half]}</t>\n  </r>\n  <r><t>{SECRET[half:]}</t></r>\n</p><p><t>a</t><noBreakHyphen/><t>b</t></p>"
    found = text_of(documents.package({"word/document.xml": f"<d>{body}</d>"}))
    assert SECRET in found.text
    assert "a-b" in found.text


def test_cells_of_a_sheet_stand_beside_their_names() -> None:
    text = text_of(documents.xlsx(("ssn", "iban"), ("1", "0"))).text
    assert "ssn\tiban\t\n1\t0\t" in text


def with_picture() -> bytes:
    """A PDF with a text and a picture."""
    writer = PdfWriter(clone_from=io.BytesIO(documents.pdf(SECRET)))
    picture = StreamObject()
    picture.set_data(b"\0")
    for name, value in (("/Type", "/XObject"), ("/Subtype", "/Image")):
        picture[NameObject(name)] = NameObject(value)
    resources = writer.pages[0]["/Resources"]
    resources[NameObject("/XObject")] = DictionaryObject(  # type: ignore[index]
        {NameObject("/Im1"): writer._add_object(picture)}
    )
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def locked(password: str) -> bytes:
    """A PDF under a password."""
    writer = PdfWriter(clone_from=io.BytesIO(documents.pdf(SECRET)))
    writer.encrypt(password, algorithm="AES-256")
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (with_picture(), SECRET),
        (documents.pdf(SECRET, ""), SECRET),  # a page without text may be a picture
        (documents.docx(SECRET, **{"word/media/image1.png": PICTURE}), SECRET),
        (documents.docx(SECRET, **{"word/embeddings/a.xlsx": PICTURE}), SECRET),
    ],
)
def test_what_is_more_than_text_is_not_read_whole(data: bytes, text: str) -> None:
    found = text_of(data)
    assert text in found.text
    assert not found.whole


@pytest.mark.parametrize(
    "data",
    [
        PICTURE,
        b"%PDF-1.7 and nothing else",
        b"PK\x03\x04 and nothing else",
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600),  # Word of 1997
        documents.package({"a.txt": SECRET}),
        documents.pdf(),
        documents.pdf(""),
        locked("open sesame"),
        documents.pdf(SECRET)[:200],
    ],
)
def test_what_cannot_be_read_gives_nothing(data: bytes) -> None:
    found = text_of(data)
    assert (found.text.strip(), found.whole) == ("", False)


def test_a_pdf_that_anybody_may_open_is_read() -> None:
    assert SECRET in text_of(locked("")).text


@given(st.binary(max_size=600), st.sampled_from([b"", b"%PDF-1.4\n", b"PK\x03\x04"]))
def test_any_bytes_give_a_text_or_nothing(data: bytes, begin: bytes) -> None:
    assert isinstance(text_of(begin + data), Text)


@given(st.data())
def test_a_broken_document_gives_a_text_or_nothing(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(sorted(MANY)))
    whole = bytearray(MANY[kind])
    for _ in range(data.draw(st.integers(1, 8))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(
            st.integers(0, 255)
        )
    assert isinstance(text_of(bytes(whole)), Text)


BOMB = (
    "<?xml version='1.0'?><!DOCTYPE x [<!ENTITY a 'aaaaaaaaaa'>"
    + "".join(f"<!ENTITY {chr(98 + n)} '{f'&{chr(97 + n)};' * 10}'>" for n in range(12))
    + "]><x><p>&m;</p></x>"
)


def test_entities_that_grow_are_refused() -> None:
    found = text_of(documents.docx("Minutes", **{"word/header1.xml": BOMB}))
    assert not found.whole
    assert len(found.text) < 100


def test_a_zip_that_unpacks_to_more_than_is_read_is_cut() -> None:
    large = b"<x><p>" + b"a" * (formats.MOST_UNPACKED + 1) + b"</p></x>"
    found = text_of(documents.docx(SECRET, **{"word/header1.xml": large}))
    assert (SECRET in found.text, found.whole) == (True, False)
    assert len(found.text) <= MOST_TEXT + 100


async def test_a_pdf_whose_page_unpacks_to_very_much_is_not_read_whole() -> None:
    page = zlib.compress(b"BT /F1 9 Tf " + b"(a) Tj " * 30_000_000, 9)
    head = b"<< /Filter /FlateDecode /Length %d >>\nstream\n" % len(page)
    body = re.sub(
        rb"<< /Length \d+ >>\nstream\n.*\nendstream",
        lambda _: head + page + b"\nendstream",
        documents.pdf("x"),
        flags=re.DOTALL,
    )
    found = await DocumentReader().read({1: body})
    assert (found[1].whole, len(found[1].text) <= MOST_TEXT) == (False, True)


def test_more_text_than_is_read_is_cut() -> None:
    found = text_of(b"a" * MOST_TEXT + SECRET.encode())
    assert (len(found.text), found.whole) == (MOST_TEXT, False)


def test_where_the_time_is_over_what_was_read_stays() -> None:
    pages = iter(range(3))
    found = text_of(documents.pdf(*"abcdef"), lambda: next(pages, None) is None)
    assert (found.text.split(), found.whole) == (["a", "b", "c"], False)


# -- the process apart ------------------------------------------------------------------------------------------------


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


async def test_documents_of_a_call_are_read_in_a_process_apart() -> None:
    files: Mapping[int, Any] = {
        3: encoded(MANY["PDF"]),
        5: f"data:application/pdf;base64,{encoded(MANY['Word'])}",
        6: base64.urlsafe_b64encode(MANY["Excel"]).decode().rstrip("="),
        9: MANY["PDF, second page"],
        11: "no base64 at all!",
    }
    found = await DocumentReader().read(files)
    assert [SECRET in found[number].text for number in files] == [True] * 4 + [False]


async def test_a_document_that_is_sent_again_is_not_read_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[Any] = []
    real = reader._in_process

    async def counted(file: Any) -> Text:
        asked.append(file)
        return await real(file)

    monkeypatch.setattr(reader, "_in_process", counted)
    one, two = encoded(MANY["PDF"]), encoded(MANY["Word"])
    mine = DocumentReader()
    first = await mine.read({1: one, 2: one})
    again = await mine.read({4: two, 7: one})
    assert asked == [one, two]
    assert first[1] == first[2] == again[7]
    assert SECRET in again[4].text


async def test_no_more_is_remembered_than_there_is_room_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reader, "KEPT", 3 * (400 + reader.EACH) - 1)
    mine = DocumentReader()
    for number in range(4):
        await mine.read({0: f"{number}".encode() * 400})
    assert (len(mine._texts), mine._kept) == (2, 2 * (400 + reader.EACH))
    many = {number: f"{number}".encode() * 400 for number in range(4)}
    assert [len(one.text) for one in (await mine.read(many)).values()] == [400] * 4


async def test_what_a_call_holds_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "MOST", 3)
    monkeypatch.setattr(reader, "MOST_TEXT", 500)
    many = {number: f"{number}".encode() * 400 for number in range(4)}
    found = (await DocumentReader().read(many)).values()
    assert [(len(one.text), one.whole) for one in found] == [(400, True), (100, False), (0, False), (0, False)]  # fmt: skip


async def test_what_is_not_read_in_time_is_read_the_next_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mine = DocumentReader()
    monkeypatch.setattr(reader, "PATIENCE", 0.0)
    assert await mine.read({1: MANY["PDF"]}) == {1: NOTHING}
    monkeypatch.setattr(reader, "PATIENCE", 60.0)
    assert SECRET in (await mine.read({1: MANY["PDF"]}))[1].text


@pytest.mark.parametrize("hostile", [b"%PDF-1.4\n1 0 obj\n" + b"[" * 200_000])
async def test_a_hostile_document_leaves_its_neighbours_alone(hostile: bytes) -> None:
    found = await DocumentReader().read({1: hostile, 2: MANY["Word"]})
    assert (found[1].whole, SECRET in found[2].text) == (False, True)


async def test_a_process_that_dies_is_no_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mine = DocumentReader()
    monkeypatch.setattr(reader.sys, "executable", "/bin/false")
    assert await mine.read({1: MANY["PDF"]}) == {1: NOTHING}
    monkeypatch.undo()
    assert SECRET in (await mine.read({1: MANY["PDF"]}))[1].text


# -- in calls ---------------------------------------------------------------------------------------------------------


def test_pages_are_counted_as_readers_count_them() -> None:
    assert len(PdfReader(io.BytesIO(documents.pdf(*"abc"))).pages) == 3
    assert json.dumps(text_of(documents.pdf(*"abc"))) == '["\\na\\nb\\nc", true]'
