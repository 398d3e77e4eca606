"""Random attempts to talk a model out of its task, for learning: typed by a user, or hidden in documents and tool results."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import NamedTuple

from bench.injection.disguise import between, hidden, worn
from bench.injection.grammar import Share, load, sentence

PHRASES = Path(__file__).parent / "phrases"
LANGUAGES = tuple(
    sorted(path.name.split(".")[0] for path in PHRASES.glob("*.attack.txt"))
)
KINDS = ("direct", "document", "tool")
AROUND = 24  # words of other text around a hidden attack, at most


class Text(NamedTuple):
    """A text, whether it attacks, and where it comes from."""

    text: str
    attack: bool
    kind: str
    language: str


def attacks(
    rng: Random,
    language: str,
    share: Share,
    each: int,
    carriers: Sequence[Sequence[str]],
) -> Iterator[Text]:
    """`each` attacks of every kind. `carriers` are the words of harmless texts to hide them in."""
    grammar = load(PHRASES / f"{language}.attack.txt", share)
    for kind in KINDS:
        for _ in range(each):
            text = sentence(grammar, kind, rng)
            if rng.random() < 0.15:
                text = f"{text} {sentence(grammar, kind, rng)}"
            text = worn(rng, text)
            if kind != "direct" or rng.random() < 0.1:
                text = hidden(rng, text)
            if (kind != "direct" and rng.random() < 0.7) or rng.random() < 0.15:
                text = between(rng, text, rng.choice(carriers), AROUND)
            yield Text(text, True, kind, language)
