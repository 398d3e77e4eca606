"""An argument of a tool is read with its name, whatever the provider's way of writing a call."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.evaluate import evaluate
from rules.exchange import Exchange, Part
from rules.labelled import LONGEST, as_named, labelled, labels
from rules.redact import splice
from rules.sources import shipped
from rules.verdict import Verdict
from tests.support.shared import library

PASSWORD, TOKEN = "Zx81mk3ls!", "r7dXq8mAgIxc56ImN4DWxvOvLoT64LDR"


def judged(arguments: dict[str, str], clean: Any = None) -> Verdict:
    """The verdict on a tool's call whose arguments are an object."""
    parts = tuple(
        Part(value, "assistant", "tool_call", 2 * number + 1, "connect", name)
        for number, (name, value) in enumerate(arguments.items())
    )
    book = library(shipped()).rulebook("default")
    return evaluate(book, Exchange(parts=parts), key=b"k", clean=clean)


def sent(arguments: dict[str, str]) -> dict[str, str]:
    body = json.dumps(arguments).encode()
    after: dict[str, str] = json.loads(splice(body, judged(arguments).edits))
    return after


def test_a_value_is_found_by_its_name_and_the_rest_stays() -> None:
    after = sent({"host": "db", "db_password": PASSWORD, "apiKey": TOKEN, "note": "ok"})
    assert {name: "REDACTED" in value for name, value in after.items()} == {
        "host": False,
        "db_password": True,
        "apiKey": True,
        "note": False,
    }
    assert after["db_password"].startswith("[REDACTED:")
    assert after["db_password"].endswith("]")


@pytest.mark.parametrize(
    "arguments",
    [
        {"nextPageToken": TOKEN},
        {"key": "src/app/main.py"},
        {"password": "${DB_PASSWORD}"},
        {"password": "changeme"},
        {"code": "print(1)"},
        {"host": PASSWORD},
    ],
)
def test_what_a_name_says_is_no_secret_stays(arguments: dict[str, str]) -> None:
    assert sent(arguments) == arguments


def test_the_same_value_is_clean_under_one_name_and_found_under_another() -> None:
    clean: set[str] = set()
    assert judged({"host": PASSWORD}, clean).edits == ()
    for _ in range(2):
        assert judged({"db_password": PASSWORD}, clean).action == "REDACT"


def test_a_text_that_is_too_long_for_a_password_is_read_by_itself() -> None:
    part = Part("x" * (LONGEST + 1), "assistant", "tool_call", 1, "t", "password")
    assert labels([part]) == []
    assert labels([part._replace(text="x" * LONGEST)]) == [(0, "password")]
    assert labels([part._replace(text="x", kind="text")]) == []


@given(st.text(max_size=20), st.text(max_size=40), st.data())
def test_a_span_of_the_view_leads_back_to_the_text(
    name: str, text: str, data: st.DataObject
) -> None:
    (view,) = labelled([text], [(0, name)])
    assert view.text == as_named(name, text)
    start = data.draw(st.integers(0, len(view.text)))
    end = data.draw(st.integers(start, len(view.text)))
    for number, first, last in view.back(start, end):
        assert number == 0
        assert text[first:last] in view.text[start:end]
