"""Reading: the quick decoder and the thorough one see the same leaves, and a key that stands twice is never overlooked."""

import json
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from rules.exchange import Unreadable
from rules.leaves import BULK, Number, Walk, _thorough, leaves, parse
from rules.redact import Edit, splice
from tests.support.shared import examples

TEXT = st.lists(
    st.sampled_from(['"', "\\", "a", "\n", "é", "\x00", "u0022", '\\"']), max_size=4
).map("".join)
DOCUMENT = st.recursive(
    st.none()
    | st.booleans()
    | TEXT
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3)
    ),
    max_leaves=10,
)


def spelt(text: str, how: int) -> str:
    """A JSON string, its quotes written in either way."""
    pieces = (
        json.dumps(piece, ensure_ascii=bool(how & 1))[1:-1] for piece in text.split('"')
    )
    return '"' + ("\\u0022" if how & 2 else '\\"').join(pieces) + '"'


def written(value: Any, how: int, countdown: list[int]) -> str:
    """A document as JSON; the object with which the count reaches 0 gets one of its keys twice."""
    if isinstance(value, str):
        return spelt(value, how)
    if isinstance(value, dict):
        countdown[0] -= bool(value)
        twice = value and countdown[0] == 0
        members = [
            f"{spelt(key, how)}: {written(inner, how, countdown)}"
            for key, inner in value.items()
        ]
        if twice:
            key, inner = next(iter(value.items()))
            members.insert(0, f"{spelt(key, how ^ 3)}:{json.dumps(inner)}")
        return "{" + ",".join(members) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(written(inner, how, countdown) for inner in value) + "]"
    return json.dumps(value)


@examples(200)
@given(document=DOCUMENT, how=st.integers(0, 3))
def test_both_decoders_see_the_same_leaves(document: Any, how: int) -> None:
    body = written(document, how, [0]).encode("utf-8", "surrogatepass")
    quick = leaves(body, parse(body))
    walk = Walk()
    assert not isinstance(quick, Unreadable)
    assert [leaf[:4] for leaf in quick] == [
        leaf[:4] for leaf in walk.leaves(_thorough.decode(body.decode()))
    ]


@examples(200)
@given(document=DOCUMENT, how=st.integers(0, 3), number=st.integers(1, 4))
def test_a_key_that_stands_twice_is_seen(document: Any, how: int, number: int) -> None:
    countdown = [number]
    body = written({"a": document}, how, countdown).encode()
    assume(countdown[0] <= 0)
    parsed = parse(body)
    found = parsed if isinstance(parsed, Unreadable) else leaves(body, parsed)
    assert found == Unreadable("duplicate_key"), body


def test_quotes_written_as_codes_do_not_make_up_for_a_lost_key() -> None:
    body = rb'{"a": "x", "a": "\u0022\u0022\u0022\u0022"}'
    assert leaves(body, parse(body)) == Unreadable("duplicate_key")


def test_a_number_is_read_as_it_was_written() -> None:
    body = b"[4111111111111111, 4.111111111111111e15, 1E400, -123456, 123456789012345678901234567890]"
    found = leaves(body, parse(body))
    assert not isinstance(found, Unreadable)
    assert [leaf.text for leaf in found] == [
        "4111111111111111",
        "4.111111111111111e15",
        "-123456",
        "123456789012345678901234567890",
    ]
    assert isinstance(parse(b"1.5"), Number)


@given(
    numbers=st.lists(
        st.one_of(
            st.integers(-9_999_999, 9_999_999),
            st.floats(-9999, 9999, allow_nan=False).filter(
                lambda one: abs(one) > 1e-300
            ),
        ),
        min_size=BULK,
        max_size=BULK + 8,
    )
)
@examples(30)
def test_many_short_numbers_are_passed_over_and_counted(
    numbers: list[int | float],
) -> None:
    document = {"vector": numbers, "after": "text"}
    body = json.dumps(document).encode()
    found = leaves(body, parse(body))
    assert not isinstance(found, Unreadable)
    texts = [leaf.text for leaf in found]
    assert texts[0] == "vector"
    assert texts[-2:] == ["after", "text"]
    assert len(texts) == 3
    assert splice(body, [Edit(found[-1].literal, 0, 4, "new")]) == (
        json.dumps({**document, "after": "new"}).encode()
    )


def test_a_number_that_may_be_found_makes_all_of_its_list_readable() -> None:
    card = 4539148803436467
    for numbers in (
        [1] * BULK + [card],
        [0.5] * BULK + [float(card)],
        [1] * BULK + ["x"],
    ):
        body = json.dumps(numbers).encode()
        found = leaves(body, parse(body))
        assert not isinstance(found, Unreadable)
        assert found[-1].text in (
            str(card),
            "4539148803436467.0",
            "4.539148803436467e+15",
            "x",
        )
        assert found[-1].literal == BULK


def test_a_document_of_vectors_is_within_the_bound_of_values() -> None:
    body = json.dumps([[0.25] * 1536] * 400).encode()
    assert leaves(body, parse(body)) == []
