"""What is remembered changes no verdict: with and without it, the same rules fire in the same places."""

from random import Random

import pytest

from addons.calls.clean_texts import CleanTexts
from rules.evaluate import evaluate
from rules.exchange import Exchange, Part
from rules.load import Library
from rules.sources import shipped
from rules.verdict import Verdict
from tests.support.shared import scaled

LIBRARY = Library(shipped(), portable=True)
TEXTS = [
    text
    for rule in LIBRARY.written.assemble("strict").rules.values()
    for test in rule.tests
    if (
        text := test.text
        if test.text is not None
        else dict(test.context).get("text", "")
    )
]
PADDING = " and so it went on for quite some time, as one would expect of it;" * 4
CONVERSATIONS, CALLS = scaled(60), 4


def some_texts(rng: Random) -> list[str]:
    """A text out of the rules' own tests: alone, beside another, after much else, or cut in two."""
    text = rng.choice(TEXTS)
    chance = rng.random()
    if chance < 0.3:
        text += " " + rng.choice(TEXTS)
    if chance < 0.2:
        return [text + PADDING + rng.choice(TEXTS)]
    if chance < 0.4 and len(text) > 1:
        cut = rng.randrange(1, len(text))
        return [text[:cut].rjust(70, "."), text[cut:]]
    return [
        f"{PADDING[: rng.randrange(60, 260)]} {text}" if rng.random() < 0.6 else text
    ]


# What a model makes of a text depends on the beginning of the next one, and is remembered by itself;
# the second rule counts its points.
WEIGHED = ("injection.reads-like", "score.injection")


def said(verdict: Verdict) -> list[tuple[str, list[object]]]:
    return [
        (one.rule.id, sorted({finding.places for finding in one.findings}))
        for one in verdict.fired
        if one.rule.id not in WEIGHED
    ]


@pytest.mark.parametrize("seed", range(4))
def test_memory_changes_no_verdict(seed: int) -> None:
    rng, book = Random(seed), LIBRARY.rulebook("strict")
    for _ in range(CONVERSATIONS):
        memory = CleanTexts()
        pool = [text for _ in range(4) for text in some_texts(rng)]
        for _ in range(CALLS):
            roles = rng.choice([("user",), ("user", "assistant"), ("tool",)])
            chosen = sorted(rng.sample(range(len(pool)), rng.randint(1, len(pool))))
            kind = "tool_result" if roles == ("tool",) else "text"
            parts = tuple(
                Part(pool[one], roles[place % len(roles)], kind, place)
                for place, one in enumerate(chosen)
            )  # type: ignore[arg-type]
            exchange = Exchange(model=rng.choice(["gpt-5", "x"]), parts=parts)
            remembered = evaluate(book, exchange, clean=memory.of("t", book.version))
            assert said(remembered) == said(evaluate(book, exchange)), [
                part.text for part in parts
            ]
