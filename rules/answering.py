"""Which rules judge answers, and which of those can act inside of a stream, before what they speak of is released.

A rule can if one finding in one text decides it: it blocks or redacts what it finds, looks for nothing else besides, and its pattern
says what a match begins with. All others (flags, scores, counts, `all` and `not`, rules in monitor mode, rules of a call's context) are
judged at a stream's end, over all that was said: they can still end it with an error, but not take back what was shown.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import groupby

from rules.condition import Conditions, may_hold
from rules.content import Content, Need, mentioned
from rules.exchange import Kind
from rules.live import Boundless, Live, beginnings
from rules.locate import Pattern
from rules.rulebook import Judge

TOGETHER = 64  # patterns compiled as one at most; RE2 takes longer than in proportion for more
STREAMED: tuple[Kind, ...] = ("text", "tool_call")  # what of an answer comes in pieces


def answering(judges: Iterable[Judge]) -> list[Judge]:
    """The rules that speak of answers."""
    return [judge for judge in judges if "response" in judge.directions]


def in_stream(judges: Iterable[Judge], patterns: Sequence[Pattern]) -> list[Judge]:
    """Those of them that decide inside of a stream, and what their context allows."""
    return [
        judge
        for judge in judges
        if decides_in_stream(judge, patterns) or (judge.action == "allow" and judge.content is None)
    ]


def decides_in_stream(judge: Judge, patterns: Sequence[Pattern]) -> bool:
    """Whether the rule acts on a finding before its first character is released."""
    if (
        judge.action not in ("block", "redact")
        or judge.monitor
        or judge.content is None
        or not _is_single(judge.content)
    ):
        return False
    try:
        for number in mentioned(judge.content):
            beginnings(patterns[number], 0)
    except Boundless:
        return False
    return True


def live_texts(
    judges: Sequence[Judge], conditions: Conditions, patterns: Sequence[Pattern]
) -> Mapping[Kind, Live]:
    """What a text of each kind may still become, by all rules that may speak of it."""
    asked = [
        (judge, number)
        for judge in judges
        if judge.content is not None
        for number in mentioned(judge.content)
    ]
    reach: dict[int, int] = {}
    for judge, number in asked:
        reach[number] = max(reach.get(number, 0), *(exempt.near for exempt in judge.exempt), 0)

    def live(kind: Kind) -> Live:
        known = conditions.known("response", "assistant", kind)
        numbers = sorted({number for judge, number in asked if may_hold(judge.when, known)})
        groups = (
            [numbers] if len(numbers) <= TOGETHER else [list(group) for _, group in groupby(numbers, _group)]
        )
        return _live(tuple(tuple((patterns[number], reach[number]) for number in group) for group in groups))

    return {kind: live(kind) for kind in STREAMED}


def _is_single(content: Content) -> bool:
    """Whether one finding is enough."""
    if isinstance(content, Need):
        return content.count <= 1
    return content.how == "any" and all(map(_is_single, content.members))


def _group(number: int) -> int:
    """Patterns of one group are compiled together, and shared by all that ask for the same ones."""
    return number // TOGETHER


@lru_cache(maxsize=64)
def _live(groups: tuple[tuple[tuple[Pattern, int], ...], ...]) -> Live:
    return Live(groups)
