"""What is settled stays so: no later text changes which matches begin before the position that PartialMatches gives."""

from functools import cache

import re2
from hypothesis import given
from hypothesis import strategies as st

from rules.content import patterns_of
from rules.locate import Locator, Pattern, encoded
from rules.partial_match import PartialMatches
from rules.patterns import options, width
from rules.sources import shipped
from tests.support.shared import library


@cache
def proven() -> list[tuple[Pattern, str]]:
    """Each pattern of the shipped rules, and each text in which a rule's tests say that it is found."""
    shelf = library(shipped(), portable=True)
    book, rules = shelf.rulebook("default"), shelf.written.assemble("default").rules
    return [
        (book.scanner.patterns[number], test.text or dict(test.context).get("text", ""))
        for judge in (*book.rules, *(book.answers.rules if book.answers else ()))
        for test in rules[judge.id].tests
        if test.must_match and judge.content is not None
        for number in patterns_of(judge.content)
    ]


PIECES = st.sampled_from(
    [
        "a",
        "b",
        "A",
        "1",
        r"\d",
        r"\w",
        ".",
        "[a-c]",
        "[^a]",
        r"\b",
        "$",
        "^",
        "(?m:^)",
        "(?m:$)",
        "x?",
        "(?:ab|abc)",
        "(?i:key)",
        "a{2,4}",
        "(?:ab){1,3}",
        "b*",
        "[0-9]+?",
    ]
)
REGEXES = st.lists(PIECES, min_size=1, max_size=6).map("".join)
TEXTS = st.text(alphabet="abcAKEYkeyx01 \n", max_size=24)


def matches(regex: str, text: str) -> list[tuple[int, int]]:
    return [
        found.span()
        for found in re2.compile(regex.encode(), options()).finditer(encoded(text))
    ]


@given(st.lists(REGEXES, min_size=1, max_size=3), TEXTS, st.data())
def test_what_was_settled_is_found_in_the_whole_text_as_it_was(
    regexes: list[str], text: str, data: st.DataObject
) -> None:
    partial = PartialMatches([[(Pattern(regex), 0) for regex in regexes]])
    cut = data.draw(st.integers(0, len(text)))
    settled = partial.earliest(text[:cut])
    for regex in regexes:
        now = [
            span
            for span in matches(regex, text[:cut])
            if span[0] < settled and span[0] < span[1]
        ]
        then = [
            span
            for span in matches(regex, text)
            if span[0] < settled and span[0] < span[1]
        ]
        assert now == then, (regex, settled)


@given(
    st.deferred(lambda: st.sampled_from(proven())),
    st.text(alphabet="ab1 \n", max_size=6),
    st.text(alphabet="ab1 \n", max_size=60),
)
def test_no_character_of_what_a_shipped_rule_finds_is_settled_before_it_is_found(
    pattern_and_text: tuple[Pattern, str], before: str, after: str
) -> None:
    pattern, found = pattern_and_text
    text = before + found + after
    partial, locator = PartialMatches([[(pattern, 0)]]), Locator(pattern)
    spans = [(start, end) for start, end, _ in locator.spans(text, encoded(text), None)]
    for cut in range(len(text)):
        settled = partial.earliest(text[:cut])
        now = [
            (start, end)
            for start, end, _ in locator.spans(text[:cut], encoded(text[:cut]), None)
        ]
        assert [span for span in spans if span[0] < settled] == [
            span for span in now if span[0] < settled
        ], (
            text[:cut],
            settled,
        )


def test_a_pattern_for_the_start_of_a_line_is_held_at_the_start_of_any_line() -> None:
    for regex in ("(?m)^secret-[0-9]{4}", "(?m:^secret-[0-9]{4})"):
        partial = PartialMatches([[(Pattern(regex), 0)]])
        assert partial.earliest("x\nsecret-12") == 2
        assert partial.earliest("x secret-12") == len("x secret-12")


def test_a_pattern_for_the_start_of_the_text_is_held_there_alone() -> None:
    for regex in (r"\Asecret-[0-9]{4}", r"(?m)\Asecret-[0-9]{4}", "^secret-[0-9]{4}"):
        partial = PartialMatches([[(Pattern(regex), 0)]])
        assert partial.earliest("secret-12") == 0
        assert partial.earliest("x\nsecret-12") == len("x\nsecret-12")
        assert width(regex) == len("secret-1234")
