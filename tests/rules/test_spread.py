"""A value that is redacted somewhere is redacted wherever it stands in the same call."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.evaluate import evaluate
from rules.exchange import NOWHERE, Exchange, Kind, Part
from rules.redact import splice
from rules.sources import shipped
from rules.spread import MAX_VALUES, places_of
from rules.verdict import Verdict
from tests.support.shared import library

SECRET = "Zx81mk3lsQ9w"
LONG = "Zx81mk3lsQ9wPq47Vt"


def judged(*parts: Part) -> Verdict:
    book = library(shipped()).rulebook("default")
    return evaluate(book, Exchange(parts=parts), key=b"k")


def left(*texts: str) -> list[str]:
    """What is left of texts of speakers in turn."""
    roles = ("user", "assistant")
    verdict = judged(
        *(Part(text, roles[n % 2], "text", n) for n, text in enumerate(texts))  # type: ignore[arg-type]
    )
    body = json.dumps(texts).encode()
    kept: list[str] = json.loads(splice(body, verdict.edits))
    return kept


@pytest.mark.parametrize(
    "text", [f"why {SECRET}?", SECRET, f"({SECRET})", f"{SECRET}\n{SECRET}"]
)
def test_a_redacted_value_gets_the_same_placeholder_elsewhere(text: str) -> None:
    found, other = left(f"DB_PASSWORD={SECRET}\n", text)
    assert SECRET not in other
    assert found.removeprefix("DB_PASSWORD=").strip() in other


def test_a_short_value_is_no_piece_of_a_longer_word_and_a_long_one_is() -> None:
    assert left(f"DB_PASSWORD={SECRET}\n", f"x{SECRET}")[1] == f"x{SECRET}"
    assert LONG not in left(f"DB_PASSWORD={LONG}\n", f"x{LONG}y")[1]


@pytest.mark.parametrize("value", ["secretly", "Ab1_x9"])
def test_words_and_short_values_are_left_where_they_stand(value: str) -> None:
    assert left(f"DB_PASSWORD={value}\n", f"say {value} again")[1] == (
        f"say {value} again"
    )


@pytest.mark.parametrize("kind", ["key", "head"])
def test_a_value_where_nothing_can_be_replaced_is_not_sent(kind: Kind) -> None:
    literal = 1 if kind == "key" else NOWHERE
    verdict = judged(
        Part(f"DB_PASSWORD={LONG}\n", "user", "text", 0),
        Part(LONG, "other", kind, literal),
    )
    assert verdict.action == "BLOCK"


def test_a_value_that_stands_everywhere_takes_out_what_holds_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("rules.spread.MAX_PLACES", 5)
    value = "x7Kq9mZ2wB4tR8yL"
    parts = [Part(f"{value} {value}", "user", "text", number) for number in range(4)]
    places = list(places_of({value: None}, parts))
    assert places == [
        *((value, number, at, at + 16) for number in (0, 1) for at in (0, 17)),
        (value, 2, 0, 16),
        (value, 2, 0, 33),
        (value, 3, 0, 33),
    ]


def test_a_call_with_more_values_than_are_looked_for_is_bounded() -> None:
    lines = "".join(f"DB_PASSWORD={LONG}{n:03}\n" for n in range(MAX_VALUES + 50))
    kept = left(lines, f"see {LONG}000 {LONG}{MAX_VALUES:03}")
    assert LONG not in kept[0]
    assert f"{LONG}000" not in kept[1]
    values = {f"value-{n:05}": None for n in range(MAX_VALUES + 50)}
    part = Part(" ".join(values), "user", "text", 0)
    assert len(list(places_of(values, [part]))) == MAX_VALUES


@given(
    st.lists(
        st.sampled_from([LONG, "and", " ", "\n", "x", "é", f"DB_PASSWORD={LONG}\n"]),
        max_size=12,
    ),
    st.lists(st.sampled_from([LONG, "z", " ", '"']), max_size=8),
)
def test_nothing_is_left_of_a_long_value_once_it_was_found(
    first: list[str], second: list[str]
) -> None:
    texts = (f"DB_PASSWORD={LONG}\n" + "".join(first), "".join(second))
    assert LONG not in "".join(left(*texts))
