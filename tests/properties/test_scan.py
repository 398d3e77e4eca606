"""One pass over joined texts finds exactly what each pattern finds in each text alone."""

import re2
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.scan import Finding, Scanner

PATTERNS = [r"(?i)\bkey[0-9]{2,4}", r"[a-f]{3,}", r"^start", r"end$", r"a\s+b", "é+", r"\d{4}-\d{2}", r"(?i)stra(?:ss|ß)e", r"\bk\b"]
PIECES = st.sampled_from(
    ["key12", "KEY9", "abcdef", "start", "end", "a ", " b", "é", "éé", "2024-01", "straße", "\n", "\ud800", "k", "日本", "x"]
)
TEXTS = st.lists(st.lists(PIECES, max_size=8).map("".join) | st.text(max_size=20), max_size=6)


def alone(texts: list[str]) -> list[Finding]:
    """Brute force, in characters: each pattern over each text."""
    found = []
    for number, pattern in enumerate(PATTERNS):
        for index, text in enumerate(texts):
            data = text.encode("utf-8", "surrogatepass")
            for match in re2.finditer(pattern.encode(), data):
                if match.start() < match.end():
                    start, end = (len(data[:at].decode("utf-8", "surrogatepass")) for at in match.span())
                    found.append(Finding(number, index, start, end))
    return found


@settings(max_examples=500, deadline=None)
@given(TEXTS)
def test_the_scanner_agrees_with_brute_force(texts: list[str]) -> None:
    assert Scanner(PATTERNS).scan(texts) == alone(texts)


def test_many_findings_are_bounded_and_the_rest_is_covered() -> None:
    found = Scanner(["ab"]).scan(["ab" * 10_000])
    assert len(found) == 200
    assert found[-1].end == 20_000
