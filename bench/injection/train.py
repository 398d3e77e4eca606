"""Learns the weights of rules/likeness.py and writes them to a file: `python -m bench.injection.train MODEL CORPORA JUDGED SITE-PACKAGES ...`.

Needs numpy, scipy and scikit-learn, which scoring does not. The steps:

  1. Texts     made from phrases, read from what is installed, and from corpora (attacks.py, benign.py, corpora.py)
  2. Fit       a logistic regression over word groups, in windows of the size scoring uses
  3. Search    all harmless texts for windows that it takes for attacks, and fit again with them
  4. Keep      the word groups that matter, rounded to one byte each
  5. Place     the middle of the score where one in a thousand harmless texts lies

Corpora (sources.py) join in steps 1 and 3; texts of theirs that JUDGED has too are left out.
Step 5 uses texts kept out of the others: a fifth of the harmless ones, by file.
"""

import struct
import sys
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]

from bench.injection.attacks import LANGUAGES, Text, attacks
from bench.injection.benign import carriers, installed, made, translated
from bench.injection.corpora import REMOVED, dressed, judged_shingles, texts
from bench.injection.grammar import Share
from bench.injection.signs import signs_of
from rules.likeness import HEADER, MAGIC, Scale, Scorer, groups, words

WEIGHT_OF = {"question": 2.0, "prompt": 2.0, "mail": 1.0}


@dataclass(frozen=True)
class Recipe:
    """What can be tuned."""

    window: int = 48
    stride: int = 12
    floor: int = 10
    each: int = 1200  # attacks of a kind and language
    made: int = 450  # harmless texts of a section and language
    read: int = 60_000  # windows of installed texts
    hard: int = 6_000  # windows that were taken for attacks, in each search
    searches: int = 1
    rarest: int = 3  # texts that a word group must stand in
    strength: float = 4.0
    attack_weight: float = 0.5  # of made attacks; a harmless text weighs 1
    found_weight: float = 1.0  # of attacks by other people
    rise: float = 0.3
    kept: int = 110_000  # word groups
    false_alarms: float = 0.001
    slope: float = 3.0


class Rows(NamedTuple):
    """Windows as the numbers of their word groups."""

    groups: list[NDArray[np.uint32]]
    lengths: list[int]  # in words
    attack: list[bool]
    weight: list[float]


def grouped(found: Sequence[str]) -> NDArray[np.uint32]:
    """The word groups of a window."""
    return np.fromiter(
        (one for each in groups(found, len(found)) if each for one in each), np.uint32
    )


def windows(found: Sequence[str], recipe: Recipe) -> Iterator[Sequence[str]]:
    """The windows of a text, without overlap."""
    for start in range(0, max(1, len(found)), recipe.window):
        yield found[start : start + recipe.window]


def generated(
    seed: int, share: Share, recipe: Recipe, texts: Sequence[Text]
) -> list[Text]:
    """Attacks and harmless texts in all languages."""
    rng = Random(seed)
    hosts = carriers(texts, rng, 400)
    found: list[Text] = []
    for language in LANGUAGES:
        times = 2 if language == "en" else 1
        found += attacks(rng, language, share, times * recipe.each, hosts[language])
        found += made(rng, language, share, times * recipe.made, hosts[language])
    return found


def rows_of(
    texts: Iterable[Text], recipe: Recipe, rng: Random, attack_weight: float = 0.0
) -> Rows:
    """A window of each text: of an attack its beginning, of others any."""
    rows = Rows([], [], [], [])
    for one in texts:
        found = words(one.text)
        spare = max(0, len(found) - recipe.window)
        start = 0 if one.attack else rng.randrange(spare + 1)
        found = found[start : start + recipe.window]
        if found:
            rows.groups.append(grouped(found))
            rows.lengths.append(len(found))
            rows.attack.append(one.attack)
            rows.weight.append(
                (attack_weight or recipe.attack_weight)
                if one.attack
                else WEIGHT_OF.get(one.kind, 1.0)
            )
    return rows


def matrix(rows: Rows, vocabulary: NDArray[np.uint32], floor: int) -> csr_matrix:
    """Rows by word groups; each row divided as rules/likeness.py divides."""
    lengths = np.array([len(one) for one in rows.groups])
    flat = np.concatenate(rows.groups)
    values = np.repeat(1 / np.sqrt(np.maximum(rows.lengths, floor)), lengths)
    row = np.repeat(np.arange(len(lengths)), lengths)
    column = np.minimum(np.searchsorted(vocabulary, flat), len(vocabulary) - 1)
    known = vocabulary[column] == flat
    shape = (len(lengths), len(vocabulary))
    return csr_matrix(
        (values[known].astype(np.float32), (row[known], column[known])), shape=shape
    )


def vocabulary_of(rows: Rows, rarest: int) -> NDArray[np.uint32]:
    """The word groups that stand in enough rows."""
    found, counts = np.unique(
        np.concatenate([np.unique(one) for one in rows.groups]), return_counts=True
    )
    return found[counts >= rarest]


def fitted(rows: Rows, recipe: Recipe) -> Scorer:
    """A model of the rows: fitted, reduced to the word groups that matter, fitted again and rounded."""
    vocabulary = vocabulary_of(rows, recipe.rarest)
    table = matrix(rows, vocabulary, recipe.floor)
    model = _regression(table, rows, recipe)
    if len(vocabulary) > recipe.kept:
        often = np.bincount(table.indices, minlength=len(vocabulary))
        matter = np.abs(model.coef_[0]) * np.sqrt(often)
        kept = np.sort(np.argsort(-matter, kind="stable")[: recipe.kept])
        vocabulary, table = vocabulary[kept], table[:, kept]
        model = _regression(table, rows, recipe)
    weights = model.coef_[0]
    unit = float(np.quantile(np.abs(weights), 0.9999)) / 127
    steps = np.clip(np.round(weights / unit), -127, 127).astype(int)
    known = {
        int(one): int(step) for one, step in zip(vocabulary, steps, strict=True) if step
    }
    scale = Scale(
        recipe.window,
        recipe.stride,
        recipe.floor,
        unit,
        float(model.intercept_[0]),
        0.0,
        1.0,
        0.0,
    )
    return Scorer(known, scale, "")


def _regression(table: csr_matrix, rows: Rows, recipe: Recipe) -> LogisticRegression:
    model = LogisticRegression(C=recipe.strength, max_iter=150, tol=1e-5)
    return model.fit(table, np.array(rows.attack), sample_weight=np.array(rows.weight))


def hardest(scorer: Scorer, texts: Sequence[Text], recipe: Recipe) -> list[Text]:
    """The harmless texts that look most like attacks, each cut to the window that does."""
    found = []
    for number, one in enumerate(texts):
        margin, start = scorer.best(one.text)
        found.append((margin, number, start))
    found.sort(key=lambda each: (-each[0], each[1]))
    cut = []
    for _, number, start in found[: recipe.hard]:
        inside = words(texts[number].text)[start : start + recipe.window]
        cut.append(texts[number]._replace(text=" ".join(inside)))
    return cut


def learnt(
    made_up: Sequence[Text],
    found: Sequence[Text],
    read: Sequence[Text],
    recipe: Recipe,
    seed: int,
) -> Scorer:
    """Steps 2 to 4, from made texts, attacks by other people, and harmless texts."""
    rng = Random(seed)
    some = [rng.choice(read) for _ in range(recipe.read)]
    rows = rows_of([*made_up, *some], recipe, rng)
    _add(rows, rows_of(found, recipe, rng, recipe.found_weight))
    for _ in range(recipe.searches):
        scorer = fitted(rows, recipe)
        _add(rows, rows_of(hardest(scorer, read, recipe), recipe, rng))
        # Of a long attack, the window that looks most like one.
        long = [one for one in found if len(one.text.split()) > recipe.window]
        _add(
            rows,
            rows_of(hardest(scorer, long, recipe), recipe, rng, recipe.found_weight),
        )
    return fitted(rows, recipe)


def _add(rows: Rows, more: Rows) -> None:
    rows.groups.extend(more.groups)
    rows.lengths.extend(more.lengths)
    rows.attack.extend(more.attack)
    rows.weight.extend(more.weight)


def placed(scorer: Scorer, quiet: Sequence[Text], recipe: Recipe) -> Scorer:
    """Step 5: the same model with the middle of its score where it belongs."""
    scorer = with_scale(scorer, 0.0, 1.0, recipe.rise)
    margins = np.array([scorer.best(one.text)[0] for one in quiet])
    middle = float(np.quantile(margins, 1 - recipe.false_alarms))
    return with_scale(scorer, middle, recipe.slope, recipe.rise)


def with_scale(scorer: Scorer, middle: float, slope: float, rise: float) -> Scorer:
    """The same model with the middle of its score elsewhere."""
    scale = scorer.scale._replace(middle=middle, slope=slope, rise=rise)
    return Scorer(scorer.weights, scale, scorer.signs)


def written(scorer: Scorer) -> bytes:
    """The bytes of its file: the same for the same model."""
    known, signs = sorted(scorer.weights.items()), scorer.signs.encode()
    head = HEADER.pack(MAGIC, len(known), len(signs), *scorer.scale)
    hashes = struct.pack(f"<{len(known)}I", *(one for one, _ in known))
    return head + hashes + array("b", (weight for _, weight in known)).tobytes() + signs


def report(scorer: Scorer, texts: Sequence[Text]) -> str:
    """How many texts of each kind and language score a half or more."""
    flagged: dict[tuple[bool, str, str], list[bool]] = {}
    for one in texts:
        key = (one.attack, one.kind, one.language)
        flagged.setdefault(key, []).append(scorer.score(one.text) >= 0.5)
    return "\n".join(
        f"{'attack' if attack else 'benign':6} {kind:14} {language:3} {sum(each):6} of {len(each):6} {100 * sum(each) / len(each):6.2f} %"
        for (attack, kind, language), each in sorted(flagged.items())
    )


def everything(sites: Sequence[Path], share: Share) -> list[Text]:
    """What is installed, in English and in other languages."""
    found = list(installed(sites[0], share))
    for site in sites:
        found += translated(site, share)
    return found


def main(target: Path, folder: Path, judged: Path, sites: Sequence[Path]) -> None:
    """Write a model learnt from all phrases and corpora; its middle is placed by one that has not seen a fifth of them."""
    recipe, rng = Recipe(), Random(9)
    read, kept = everything(sites, "learn"), everything(sites, "check")
    known = judged_shingles(judged)
    for corpus, text in texts(folder, "learn", known):
        read += [] if corpus.attack else [text]
    kept += [
        text for corpus, text in texts(folder, "check", known) if not corpus.attack
    ]
    hosts = carriers(read, rng, 400)["en"]
    learn = [
        one
        for corpus, text in texts(folder, "all", known)
        if corpus.attack
        for one in dressed(text, rng, hosts)
    ]
    final = learnt(generated(1, "all", recipe, read), learn, read, recipe, 3)
    final = placed(final, kept, recipe)
    final.signs = signs_of(final, [*generated(1, "all", recipe, read), *learn], read)
    target.write_bytes(written(final))
    print("written; left out because judged on:", REMOVED, flush=True)
    print(report(final, kept))


if __name__ == "__main__":
    main(
        Path(sys.argv[1]),
        Path(sys.argv[2]),
        Path(sys.argv[3]),
        [Path(one) for one in sys.argv[4:]],
    )
