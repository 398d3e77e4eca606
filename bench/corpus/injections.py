"""Random prompt-injection and jailbreak messages, by language."""

import re
from collections.abc import Callable
from random import Random

from bench.corpus.draw import expand
from bench.corpus.injection_phrases import (
    ARABIC,
    ENGLISH,
    FRENCH,
    GERMAN,
    SPANISH,
    Grammar,
)

_SENTENCE = re.compile(r"(?:^|(?<=[.!?] ))[a-zà-ü]")
_CAPITALISED = ENGLISH | {
    "goal_cap": [goal[:1].upper() + goal[1:] for goal in ENGLISH["goal"]]
}


def _attack(grammar: Grammar) -> Callable[[Random], str]:
    def make(rng: Random) -> str:
        text = " ".join(
            expand(rng, grammar, template)
            for template in rng.sample(grammar["s"], rng.choice([1, 1, 1, 2]))
        )
        text = _SENTENCE.sub(lambda match: match[0].upper(), text)
        return text.upper() if rng.random() < 0.03 else text

    return make


ATTACKS: dict[str, Callable[[Random], str]] = {
    "en": _attack(_CAPITALISED),
    "fr": _attack(FRENCH),
    "ar": _attack(ARABIC),
    "es": _attack(SPANISH),
    "de": _attack(GERMAN),
}
