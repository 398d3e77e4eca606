"""The signs of a model: words of which one stands in nearly every attack that it knows, and which are rare elsewhere.

A text without any of them need not be weighed, and of others only what stands around them.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from random import Random

from bench.corpus.benign import BENIGN
from bench.injection.attacks import Text
from rules.likeness import STEM, Scorer, groups, words
from rules.patterns import EXCHANGED, MARKED

SURE = 0.6  # the score from which on an attack must have a sign
MISSED = 0.02  # of these attacks, at most, without any
MOST = 200
GIVEN_UP = 0.015  # of these attacks, for signs that harmless texts have often
SHORTEST = 4  # letters of a sign in ASCII; shorter words stand everywhere
TELLING = (
    40  # steps of weight that a word's groups have together, for its words to be signs
)
RARE = 20_000  # one word in so many is rare enough for a sign; rarer ones are no better
OFTEN = 12e-5  # of all harmless words; what stands more often is no sign
# Words that stand everywhere, and seldom so near to one another.
TOGETHER = r"(?:ignor|disreg|forget|overr)\w{0,5}\W{1,3}(?:\w{1,12}\W{1,3}){0,3}(?:instr|previous|prior|above|rules|prompt)"
TOLD = 60  # texts of each kind of the bench that are counted
EACH = 3_000  # characters of a harmless text that are counted


def signs_of(scorer: Scorer, attacks: Iterable[Text], harmless: Sequence[Text]) -> str:
    """The regex of the signs."""
    often = _counted(one.text[:EACH] for one in harmless)
    # What people say to one another stands seldom in what is installed, and often in calls.
    told = _counted(
        make(Random(seed)) for make in BENIGN.values() for seed in range(TOLD)
    )
    rare = often.total() / RARE

    def seldom(stem: str) -> bool:
        return all(count[stem] <= count.total() * OFTEN for count in (often, told))

    left = [
        {
            stem
            for stem in _telling(
                scorer, words(one.text)[start : start + scorer.scale.window]
            )
            if seldom(stem)
        }
        for one in attacks
        if one.attack
        for margin, start in (scorer.best(one.text),)
        if scorer.confidence(margin) >= SURE
    ]
    windows, few, chosen = left, MISSED * len(left), list[str]()
    while len(left) > few and len(chosen) < MOST:
        stands = Counter(stem for window in left for stem in window)
        if not stands:
            break
        best = max(stands, key=lambda stem: (stands[stem] / (often[stem] + rare), stem))
        chosen.append(best)
        left = [window for window in left if best not in window]
    return _regex(sorted(needed(chosen, windows, often + told)))


def needed(
    chosen: Iterable[str], windows: Sequence[set[str]], common: Counter[str]
) -> set[str]:
    """The signs without those that are `common` and of which few attacks need each: what has none is not weighed,
    and most of what is weighed is harmless.
    """
    kept, lost = set(chosen), 0
    while True:
        alone = Counter(
            next(iter(here)) for window in windows if len(here := window & kept) == 1
        )
        worst = max(
            kept, key=lambda stem: ((common[stem] + 1) / (alone[stem] + 0.3), stem)
        )
        lost += alone[worst]
        if len(kept) == 1 or lost > GIVEN_UP * len(windows):
            return kept
        kept.discard(worst)


def _counted(texts: Iterable[str]) -> Counter[str]:
    return Counter(word[:STEM] for text in texts for word in words(text))


def _telling(scorer: Scorer, found: Sequence[str]) -> Iterator[str]:
    """The stems of a window in whose groups its weight is."""
    get = scorer.weights.get
    for at, each in enumerate(groups(found, scorer.scale.window)):
        if each and sum(get(group, 0) for group in each) >= TELLING:
            yield from filter(
                _may_be, (word[:STEM] for word in found[max(0, at - 1) : at + 1])
            )


def _may_be(stem: str) -> bool:
    """A word of one script: no disguise, and no number."""
    if not stem.isalpha():
        return False
    if stem.isascii():
        return len(stem) >= SHORTEST
    return len(stem) > 2 and not any(map(str.isascii, stem))


def _regex(stems: Iterable[str]) -> str:
    """A whole word where a stem is shorter than one may be, else the beginning of one; whatever marks its letters have."""
    letters = dict.fromkeys("", "")
    for mark, base in MARKED.items():
        letters[base] = letters.get(base, base) + mark
    plain, others = [], []
    for stem in stems:
        body = "".join(_letter(one, letters) for one in stem)
        end = r"\b" if len(stem) < STEM else ""
        (plain if stem.isascii() else others).append(
            body + (end if stem.isascii() else "")
        )
    return f"(?i)(?:\\b(?:{'|'.join((*plain, TOGETHER))})|{'|'.join(others)})"


def _letter(one: str, letters: dict[str, str]) -> str:
    group = next((group for group in EXCHANGED if one in group), letters.get(one, ""))
    return f"[{group}]" if group else re.escape(one)
