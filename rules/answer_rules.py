"""Which rules concern answers, and which of those can act inside a stream.

A rule can act inside a stream where one finding in one text decides it: it blocks or
redacts what it finds, needs no other finding, and its pattern has a prefix pattern
(`partial_match.py`). All others (flags, scores, counts, `all` and `not`, monitor mode,
rules on the context alone) are judged at the stream's end, over all of it: they can
still end it with an error, but cannot take back what was sent.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import groupby

from rules.condition import Conditions, may_hold
from rules.content import commands_of, is_single, mentioned
from rules.exchange import Kind
from rules.locate import Pattern
from rules.partial_match import Boundless, PartialMatches, prefix_regex
from rules.rulebook import CompiledRule

# Prefix patterns that are compiled together. For more, RE2 takes disproportionately
# longer.
TOGETHER = 64
# Kinds of texts that arrive in pieces
STREAMED: tuple[Kind, ...] = ("text", "tool_call")


def answer_rules(rules: Iterable[CompiledRule]) -> list[CompiledRule]:
    """The rules that concern answers."""
    return [rule for rule in rules if "response" in rule.directions]


def in_stream(
    rules: Iterable[CompiledRule], patterns: Sequence[Pattern]
) -> list[CompiledRule]:
    """Those that act inside a stream, and `allow` rules on the context alone."""
    return [
        rule
        for rule in rules
        if decides_in_stream(rule, patterns)
        or (rule.action == "allow" and rule.content is None)
    ]


def command_rules(rules: Iterable[CompiledRule]) -> list[CompiledRule]:
    """Those that look for commands, and `allow` rules on the context alone.

    They are asked when the arguments of a call are complete.
    """
    rules = list(rules)
    found = [rule for rule in rules if rule.content and commands_of(rule.content)]
    return found and [
        *found,
        *(rule for rule in rules if rule.action == "allow" and rule.content is None),
    ]


def decides_in_stream(rule: CompiledRule, patterns: Sequence[Pattern]) -> bool:
    """Whether a rule acts on a finding before the finding's first character is sent."""
    if (
        rule.action not in ("block", "redact")
        or rule.monitor
        or rule.content is None
        or commands_of(rule.content)
        or not is_single(rule.content)
    ):
        return False
    try:
        for number in mentioned(rule.content):
            prefix_regex(patterns[number], 0)
    except Boundless:
        return False
    return True


def partial_matches(
    rules: Sequence[CompiledRule], conditions: Conditions, patterns: Sequence[Pattern]
) -> Mapping[Kind, PartialMatches]:
    """The prefix patterns for texts of each kind, of all rules that may concern it."""
    asked = [
        (rule, number)
        for rule in rules
        if rule.content is not None
        for number in mentioned(rule.content)
    ]
    reach: dict[int, int] = {}
    for rule, number in asked:
        reach[number] = max(
            reach.get(number, 0), *(exempt.near for exempt in rule.exempt), 0
        )

    def partial(kind: Kind) -> PartialMatches:
        known = conditions.known("response", "assistant", kind)
        numbers = sorted(
            {number for rule, number in asked if may_hold(rule.when, known)}
        )
        groups = (
            [numbers]
            if len(numbers) <= TOGETHER
            else [list(group) for _, group in groupby(numbers, _group)]
        )
        return _compiled_together(
            tuple(
                tuple((patterns[number], reach[number]) for number in group)
                for group in groups
            )
        )

    return {kind: partial(kind) for kind in STREAMED}


def _group(number: int) -> int:
    """Patterns are compiled in fixed groups, so that rulebooks share them."""
    return number // TOGETHER


@lru_cache(maxsize=64)
def _compiled_together(
    groups: tuple[tuple[tuple[Pattern, int], ...], ...],
) -> PartialMatches:
    return PartialMatches(groups)
