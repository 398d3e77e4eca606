"""Forms with files: what is text of them is read and edited, what is none is named, and what two readers may see differently is not read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addons.providers.form import Form, read_form
from addons.providers.provider import Call
from rules.exchange import Part, Unreadable
from rules.redact import Edit

TYPE = "multipart/form-data; boundary=xyz"
KEY = "AKIAQYLPMN5HHHFPZAM2"


def form(*sections: tuple[str, bytes]) -> bytes:
    body = b"".join(
        b"--xyz\r\nContent-Disposition: form-data; "
        + head.encode()
        + b"\r\n\r\n"
        + data
        + b"\r\n"
        for head, data in sections
    )
    return body + b"--xyz--\r\n"


def read(body: bytes, content_type: str = TYPE) -> tuple[Call, Form]:
    found = read_form(body, content_type, "")
    assert not isinstance(found, Unreadable)
    return found


TRANSCRIBE = form(
    ('name="model"', b"whisper-1"),
    ('name="prompt"', f"the key is {KEY}".encode()),
    ('name="file"; filename="a.mp3"\r\nContent-Type: audio/mpeg', b"\xff\xfb\x90\x00"),
)


def test_fields_are_texts_and_sound_is_named() -> None:
    call, _ = read(TRANSCRIBE)
    assert call.model == "whisper-1"
    assert Part(f"the key is {KEY}", "user", "text", 1) in call.parts
    assert (
        Part('form-data; name="file"; filename="a.mp3"', "other", "field", -1)
        in call.parts
    )
    assert call.unreadable == ("audio",)


def test_a_text_is_edited_in_its_place_and_nothing_else() -> None:
    _, found = read(TRANSCRIBE)
    written = found.write(TRANSCRIBE, [Edit(1, 11, 31, "[KEY]")])
    assert written == TRANSCRIBE.replace(KEY.encode(), b"[KEY]")
    assert found.write(TRANSCRIBE, []) == TRANSCRIBE


def test_a_file_of_text_is_read_whatever_it_says_it_is() -> None:
    call, _ = read(
        form(
            (
                'name="file"; filename="x.png"\r\nContent-Type: image/png',
                f'{{"a": "{KEY}"}}\n'.encode(),
            )
        )
    )
    assert any(KEY in part.text and part.kind == "text" for part in call.parts)


def test_a_paper_is_a_document() -> None:
    call, _ = read(form(('name="file"; filename="x.pdf"', b"%PDF-1.4 words")))
    assert call.unreadable == ("document",)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"before" + TRANSCRIBE, TYPE),
        (b'{"messages": []}\r\n' + TRANSCRIBE, TYPE),
        (form(('name="a"', b"x")) + b"\r\n--xyz--\r\n", TYPE),
        (form(('name="a"\r\nX-Note: words', b"x")), TYPE),
        (form(('name="a"\r\nContent-Type: text/plain; charset=utf-7', b"x")), TYPE),
        (form(('name="a"\r\nContent-Transfer-Encoding: base64', b"QUtJQQ==")), TYPE),
        (TRANSCRIBE + b"behind", TYPE),
        (TRANSCRIBE[:-4], TYPE),
        (TRANSCRIBE, "multipart/form-data"),
        (TRANSCRIBE, "multipart/form-data; boundary=other"),
        (TRANSCRIBE.replace(b"\r\n", b"\n"), TYPE),
        (form(('filename="a"', b"x")), TYPE),
        (form(*[('name="a"', b"x")] * 1001), TYPE),
        (b"", TYPE),
        (b'{"model": "m"}', TYPE),
    ],
)
def test_what_may_be_read_otherwise_is_not_read(body: bytes, content_type: str) -> None:
    assert read_form(body, content_type, "") == Unreadable("opaque")


@given(st.binary(max_size=300), st.text(max_size=40))
def test_any_bytes_are_a_form_or_a_reason(body: bytes, content_type: str) -> None:
    for said in (TYPE, content_type):
        for data in (body, b"--xyz\r\n" + body, TRANSCRIBE[: len(body)] + body):
            found = read_form(data, said, "")
            assert isinstance(found, Unreadable) or isinstance(found[0], Call)


def test_what_a_head_says_is_judged_too() -> None:
    call, _ = read(
        form((f"name=\"file\"; filename*=UTF-8''AKIAQYLP%4D{KEY[9:]}", b"x"))
    )
    assert any(KEY in part.text for part in call.parts)
