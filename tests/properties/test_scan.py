"""Both engines and a brute-force loop of RE2 find the same; stage 1 misses nothing; every place leads back to what was sent."""

import pytest
import re2
from hypothesis import given
from hypothesis import strategies as st

from rules.locate import Pattern
from rules.patterns import compile_regex, width
from rules.prefilter import prefilters
from rules.scan import Finding, Scanner
from tests.support.shared import examples

PATTERNS = [
    Pattern(r"(?i)\bkey[0-9]{2,4}"),
    Pattern(r"[a-f]{3,}"),
    Pattern(r"^start"),
    Pattern(r"end$"),
    Pattern(r"a\s+b"),
    Pattern("é+"),
    Pattern(r"\d{4}-\d{2}"),
    Pattern(r"(?i)stra(?:ss|ß)e"),
    Pattern(r"\bk\b"),
    Pattern(r"[^\n]{2,5}x"),
    Pattern(r"(?:id|no)[ :]{1,3}(?P<secret>\d{3,6})"),
    Pattern(r"\b\d{3,6}", near=r"(?i)\b(?:id|numéro)\b", within=6),
    Pattern(r"[a-z]+\d", near=r"key", within=3),
]
PIECES = st.sampled_from(
    [
        "key12",
        "KEY9",
        "abcdef",
        "start",
        "end",
        "a ",
        " b",
        "é",
        "éé",
        "2024-01",
        "straße",
        "\n",
        "�",
        "k",
        "日本",
        "x",
        "id",
        "numéro",
        "no: ",
        "4711",
        " 1 ",
    ],
)
TEXTS = st.lists(
    st.lists(PIECES, max_size=10).map("".join) | st.text(max_size=20), max_size=6
)
ENGINES = [Scanner([PATTERNS], portable=portable) for portable in (True, False)]


def alone(texts: list[str]) -> set[tuple[int, int, int, int]]:
    """Brute force, in characters: each pattern over each text; a pattern with `near` in the neighbourhood of its words."""
    found = set()
    for number, pattern in enumerate(PATTERNS):
        regex = re2.compile(pattern.regex)
        for index, text in enumerate(texts):
            shown = "".join(
                "\ufffd" if "\ud800" <= character <= "\udfff" else character
                for character in text
            )
            words = (
                [match.span() for match in re2.finditer(pattern.near, shown)]
                if pattern.near
                else []
            )
            windows = (
                [(0, len(shown))]
                if not pattern.near
                else _around(words, pattern, len(shown))
            )
            for first, last in windows:
                group = regex.groupindex.get("secret", 0)
                at = first
                while (
                    at <= len(shown)
                    and (match := regex.search(shown, at, last)) is not None
                ):
                    start, end = match.span()
                    # beyond the finding, not beyond what stood beside it
                    at = max(match.span(group)[1], at + 1)
                    if start < end and (
                        not pattern.near or _near(start, end, words, pattern.within)
                    ):
                        found.add((number, index, *match.span(group)))
    return found


def _near(start: int, end: int, words: list[tuple[int, int]], within: int) -> bool:
    return any(
        first - end <= within and start - last <= within for first, last in words
    )


def _around(
    words: list[tuple[int, int]], pattern: Pattern, length: int
) -> list[tuple[int, int]]:
    widest = width(pattern.regex)
    if widest is None:
        return [(0, length)] if words else []
    windows: list[tuple[int, int]] = []
    for start, end in words:
        first, last = (
            max(0, start - pattern.within - widest),
            end + pattern.within + widest,
        )
        if windows and first <= windows[-1][1]:
            windows[-1] = (windows[-1][0], max(last, windows[-1][1]))
        else:
            windows.append((first, last))
    return windows


def plainly(findings: list[Finding]) -> set[tuple[int, int, int, int]]:
    """The findings in the texts as they are."""
    return {
        (finding.pattern, *finding.places[0])
        for finding in findings
        if finding.view.depth == 0
    }


@examples(200)
@given(TEXTS)
def test_both_engines_agree_with_brute_force(texts: list[str]) -> None:
    expected = alone(texts)
    for engine in ENGINES:
        assert plainly(engine.scan(texts).findings) == expected, engine.engine


@pytest.mark.parametrize("portable", [True, False])
def test_letters_that_fold_to_ascii_are_read_as_such(portable: bool) -> None:
    scanner = Scanner([[Pattern(r"(?i)\bkiss\d")]], portable=portable)
    assert [
        finding.places for finding in scanner.scan(["a \u212ai\u017fs7 b"]).findings
    ] == [((0, 2, 7),)]


def test_many_findings_are_bounded_and_the_rest_is_covered() -> None:
    for portable in (True, False):
        scanner = Scanner([[Pattern("ab")]], portable=portable)
        for text, count in (
            ("ab" * 500, 200),
            ("ab" * 10_000, 20),
        ):  # where the engine has lost count, fewer are looked at one by one
            found = scanner.scan([text]).findings
            assert len(found) == count
            assert found[-1].places == ((0, 2 * count - 2, len(text)),)
            assert found[-1].value is None


# -- stage 1 ----------------------------------------------------------------------------------------------------------

ATOMS = st.sampled_from(
    [
        "a",
        "bc",
        "x",
        r"\d",
        r"\w",
        r"[a-c]",
        "[^a]",
        "[^é\\n]",
        "é",
        "[é-í]",
        ".",
        r"\s",
        r"\S",
        r"\.",
        "key",
        "日",
        "[xé]",
        r"\b",
        "^",
        "$",
    ]
)
REPEATS = st.sampled_from(
    ["", "", "", "?", "*", "+", "{2}", "{1,3}", "{0,2}", "{2,}", "{1,30}"]
)


@st.composite
def regexes(draw: st.DrawFn) -> str:
    """A small pattern of the kind that people write."""
    units = []
    for _ in range(draw(st.integers(1, 5))):
        atom = draw(ATOMS)
        repeat = draw(REPEATS) if atom not in (r"\b", "^", "$") else ""
        units.append(
            f"(?:{atom}){repeat}"
            if len(atom) > 1 and repeat and atom[0] not in "[\\"
            else atom + repeat
        )
    body = "".join(units)
    shape = draw(st.integers(0, 5))
    if shape == 0:
        body = f"(?:{body}|{draw(ATOMS)}z)"
    if shape == 1:
        body = f"(?P<secret>{body}){draw(ATOMS)}"
    return ("(?i)" if draw(st.booleans()) else "") + body


@examples(300)
@given(
    regexes(),
    st.lists(st.sampled_from([*"abcxkeyz.1é í日\nAÉß", "key", "bc"]), max_size=12).map(
        "".join
    ),
)
def test_what_stage_1_asks_for_stands_in_every_match(regex: str, text: str) -> None:
    try:
        compiled = compile_regex(regex)
    except ValueError:
        return
    expression = prefilters(regex)
    if not expression:
        return
    scanner = Scanner([[Pattern(regex)]], portable=False)
    assert scanner.missed(text, [0]) == [], (regex, expression, compiled)
    assert plainly(scanner.scan([text]).findings) == plainly(
        Scanner([[Pattern(regex)]], portable=True).scan([text]).findings
    )
