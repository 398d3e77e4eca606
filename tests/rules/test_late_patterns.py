"""A pattern that is compiled when it is first searched for finds what one does that was compiled at once."""

import re2
from hypothesis import given
from hypothesis import strategies as st

from rules.patterns import compile_regex, options

REGEXES = (r"a+b", r"(?i)(?P<secret>x[0-9]{2})y", r"^k", r"é|\bz\b")
TEXTS = st.text(alphabet="abxXyk0129é z\n", max_size=30).map(lambda text: text.encode())  # fmt: skip


@given(st.sampled_from(REGEXES), TEXTS, st.integers(0, 40), st.integers(0, 40))
def test_a_late_pattern_finds_the_same(
    regex: str, text: bytes, begin: int, end: int
) -> None:
    late, early = compile_regex(regex), re2.compile(regex.encode(), options())
    assert late.groupindex == early.groupindex
    bounds = min(begin, len(text)), min(end, len(text))
    for where in ((), (bounds[0],), bounds):
        found, wanted = late.search(text, *where), early.search(text, *where)
        assert (found and found.span()) == (wanted and wanted.span())
        assert (found and found.groups()) == (wanted and wanted.groups())
        every = [match.span() for match in late.finditer(text, *where)]
        assert every == [match.span() for match in early.finditer(text, *where)]
