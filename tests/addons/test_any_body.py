"""What is readable is read, under whatever path and method; what a reader may take otherwise is named."""

import json
from datetime import UTC, datetime
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addons.calls.reading import CallRequest, Reading, judge, read
from addons.providers import Directory
from addons.providers.any_body import read_any
from addons.providers.provider import Call
from rules.exchange import NOWHERE
from rules.redact import Edit
from rules.sources import shipped
from rules.verdict import Verdict
from tests.support.house import AWS_KEY
from tests.support.shared import library

NOW = datetime(2026, 11, 28, tzinfo=UTC)
URL_FORM = "application/x-www-form-urlencoded"
FILES = "multipart/form-data; boundary=xyz"


def reading(
    body: bytes, content_type: str, path: str = "/v1/novel", method: str = "POST"
) -> Reading:
    provider = Directory().of("api.openai.com")
    assert provider is not None
    request = CallRequest(
        provider, "api.openai.com", method, path, "", body, "", NOW, content_type
    )
    return read(request, "t")


def judged(
    body: bytes, content_type: str, path: str = "/v1/novel", method: str = "POST"
) -> tuple[Verdict, str]:
    """The verdict on a call, and the body that would be sent."""
    book = library(shipped()).rulebook("default")
    found = judge(reading(body, content_type, path, method), book, key=b"k", clean=None)
    return found.verdict, found.body.decode()


BODIES = {
    "an object": ("application/json", '{"instructions": "key %s", "n": 1}'),
    "deep in an object": ("application/json", '{"a": [1, {"b": ["é", "key %s"]}]}'),
    "a list": ("application/json", '["key %s"]'),
    "a string": ("application/json", '"key %s"'),
    "JSON of no type": ("", '{"instructions": "key %s"}'),
    "JSON that says it is text": ("text/plain", '{"instructions": "key %s"}'),
    "JSON that says it is bytes": ("application/octet-stream", '{"a": "key %s"}'),
    "JSON with a key twice": ("application/json", '{"a": "key %s", "a": 1}'),
    "JSON that is cut": ("application/json", '{"a": "key %s"'),
    "JSON lines": ("application/x-ndjson", '{"a": 1}\n{"b": "key %s"}\n'),
    "text": ("text/plain", "my key\n%s is it"),
    "text of no type": ("", "my key %s is it"),
    "Markdown": ("text/markdown; charset=UTF-8", "# key\n`%s`"),
    "XML": ("application/xml", '<?xml version="1.0"?><a b="%s">é</a>'),
    "a form of a browser": (URL_FORM, "to=me&note=my+key%%0A%s&x=%%C3%%A9"),
    "a form without names": (URL_FORM, "my+key+%s"),
    "a form with files": (
        FILES,
        '--xyz\r\nContent-Disposition: form-data; name="a"\r\n\r\nkey %s\r\n--xyz--\r\n',
    ),
    "a form with files that is none": (FILES, "key %s"),
}


@pytest.mark.parametrize("method", ["POST", "PUT", "GET", "DELETE"])
@pytest.mark.parametrize("way", BODIES)
def test_a_secret_under_an_unknown_path_is_redacted_as_elsewhere(
    way: str, method: str
) -> None:
    content_type, form = BODIES[way]
    verdict, sent = judged((form % AWS_KEY).encode(), content_type, method=method)
    assert (verdict.action, verdict.unreadable) == ("REDACT", ("unknown_path",))
    (edit,) = verdict.edits
    shown = edit.text.replace("[", "%5B").replace(":", "%3A").replace("]", "%5D")
    assert sent == form % (shown if content_type == URL_FORM else edit.text)


def test_the_path_of_assistants_is_read() -> None:
    body = json.dumps({"model": "gpt-5.2", "instructions": f"key {AWS_KEY}"}).encode()
    exchange = reading(body, "application/json", "/v1/assistants").exchange
    assert (exchange.model, exchange.coverage) == ("gpt-5.2", "partial")
    verdict, sent = judged(body, "application/json", "/v1/assistants")
    assert verdict.action == "REDACT"
    assert AWS_KEY not in sent


def test_a_body_of_a_known_path_is_read_whatever_the_method() -> None:
    body = json.dumps({"messages": [{"role": "user", "content": AWS_KEY}]}).encode()
    verdict, sent = judged(body, "application/json", "/v1/chat/completions", "GET")
    assert verdict.action == "REDACT"
    assert AWS_KEY not in sent


def test_an_edited_form_of_a_browser_says_the_same_besides() -> None:
    form = f"a=x%26y+z&note=my%20{AWS_KEY}&b="
    verdict, sent = judged(form.encode(), URL_FORM)
    assert parse_qsl(sent, keep_blank_values=True) == [
        ("a", "x&y z"),
        ("note", f"my {verdict.edits[0].text}"),
        ("b", ""),
    ]


def test_a_text_that_may_count_its_bytes_is_refused_instead_of_edited() -> None:
    verdict, sent = judged(b"\x0a\x19key: " + AWS_KEY.encode(), "application/proto")
    assert (verdict.action, AWS_KEY in sent) == ("BLOCK", True)


@pytest.mark.parametrize("body", [b"", b"\xff\xfe", b"a\0b", b"\x89PNG\r\n", b"{\xff}"])
def test_what_is_no_text_stays_unread_and_is_named(body: bytes) -> None:
    exchange = reading(body, "application/json").exchange
    assert {part.literal for part in exchange.parts} <= {NOWHERE}
    assert (exchange.coverage, exchange.unreadable) == ("none", ("unknown_path",))


@pytest.mark.parametrize(
    ("charset", "read"),
    [
        ("utf-8", True), ('"UTF-8"', True), ("utf8", True), ("us-ascii", True), ("", True), ("iso-8859-1", True),
        ("utf-7", False), ("UTF-16", False), ("utf-16le", False), ("'utf-7'", False), ("ibm037", False), ("utf-8; charset=utf-7", False),
        ("utf-7; charset=utf-8", False), ("utf-8, application/json;charset=utf-32", False),
    ],
)  # fmt: skip
def test_a_charset_that_others_read_otherwise_is_named(
    charset: str, read: bool
) -> None:
    body = b'{"messages": [{"role": "user", "content": "hello"}]}'
    content_type = f"application/json; charset={charset}"
    known = reading(body, content_type, "/v1/chat/completions").exchange
    assert known.unreadable == (() if read else ("unknown_encoding",))
    assert known.coverage == ("full" if read else "none")
    other = reading(body, content_type).exchange
    assert other.unreadable[1:] == known.unreadable
    assert any(part.text == "hello" for part in other.parts)


def test_a_charset_of_one_byte_is_read_where_it_says_the_same() -> None:
    body = '{"messages": [{"role": "user", "content": "café"}]}'.encode()
    for charset, reasons in ("latin1", ("unknown_encoding",)), ("utf-8", ()):
        of = reading(body, f"text/json;charset={charset}", "/v1/chat/completions")
        assert of.exchange.unreadable == reasons


@given(st.binary(max_size=200) | st.text(max_size=99).map(str.encode), st.text())
def test_any_body_is_a_call_or_none(body: bytes, kind: str) -> None:
    for content_type in (kind, URL_FORM, FILES):
        found = read_any(body, content_type)
        if found is not None:
            call, write = found
            assert isinstance(call, Call)
            assert write(body, []) == body


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1))
def test_edits_of_a_text_leave_all_else_as_it_was(text: str) -> None:
    found = read_any(f"x{text}y".encode(), "text/plain")
    assert found is not None
    _, write = found
    edit = Edit(0, 1, 1 + len(text), "é")
    assert write(f"x{text}y".encode(), [edit]) == "xéy".encode()
    for wrong in (Edit(1, 0, 1, ""), Edit(0, 0, len(text) + 3, ""), Edit(0, 1, 1, "")):
        with pytest.raises(ValueError, match="names what is not"):
            write(b"", [wrong])
