"""What a reader of a declared charset sees: text in any of Python's, and nothing remembered of names that are none."""

import encodings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addons.framing.charset import hides_ascii, is_utf8, text_in
from rules.exchange import Unreadable
from tests.support.shared import examples

TEXT = "the key is AKIAQYLPMN5HHHFPZAM2"


@pytest.mark.parametrize(
    "name", ["cp037", "CP500", "utf-16", "utf-32-be", "iso-2022-jp", "hz", "koi8-r", "shift_jis", "utf-7", "big5"]
)  # fmt: skip
def test_text_is_read_as_its_charset_says(name: str) -> None:
    kind = f"text/plain; charset={name}"
    body = TEXT.encode(name)
    assert text_in(body, kind) == TEXT
    assert hides_ascii(kind)
    assert not is_utf8(body, kind)


@pytest.mark.parametrize(
    "name", ["utf-8", "UTF8", "us-ascii", "", "iso-8859-1", '"utf-8"']
)
def test_what_reads_like_utf8_hides_nothing(name: str) -> None:
    assert not hides_ascii(f"text/plain; charset={name}")
    assert is_utf8(TEXT.encode(), f"text/plain; charset={name}")


@pytest.mark.parametrize(
    "name", ["x-nothing", "base64", "zlib", "punycode", "idna", "undefined", "unicode_escape", "rot13", "../x", "a" * 60_000]
)  # fmt: skip
def test_what_is_no_charset_is_not_read(name: str) -> None:
    told = text_in(TEXT.encode(), f"text/plain; charset={name}")
    assert told == Unreadable("unknown_encoding")


def test_names_that_are_none_are_not_remembered() -> None:
    before = len(encodings._cache)  # type: ignore[attr-defined]
    for number in range(100):
        text_in(b"x", f"text/plain; charset=x-{number}")
    assert len(encodings._cache) == before  # type: ignore[attr-defined]


@examples(100)
@given(body=st.binary(max_size=60), name=st.text(max_size=20))
def test_any_bytes_are_text_or_unreadable(body: bytes, name: str) -> None:
    kind = f"text/plain; charset={name or 'x'}"
    if not is_utf8(body, kind):
        assert isinstance(text_in(body, kind), str | Unreadable)
