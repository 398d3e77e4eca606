"""Makes sentences from lists of phrases, so that a model can learn from text that nobody had to collect.

A phrase file has sections, `[name]`, with one phrase on each line. A phrase may ask for another
section by `{name}`; `{{` and `}}` are braces, and `~` alone is an empty phrase.
"""

import re
import zlib
from pathlib import Path
from random import Random
from typing import Literal

Grammar = dict[str, list[str]]
Share = Literal["all", "learn", "check"]
FOLD = 0
CHECKED = 5  # one phrase of so many is kept for checking
FEWEST = 5  # sections with fewer phrases are not split
DEEPEST = 8
_SLOT = re.compile(r"\{\{|\}\}|\{(\w+)\}")
_SPACES = re.compile(r" {2,}")
_OPENING = re.compile(r"(?:^|(?<=[.!?] ))[a-zà-ÿ]")


def load(path: Path, share: Share = "all") -> Grammar:
    """The phrases of a file: all of them, or those for learning, or those kept for checking."""
    grammar: Grammar = {}
    section: list[str] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("[") and line.endswith("]") and line[1:-1].isidentifier():
            section = grammar.setdefault(line[1:-1], [])
        elif line.strip():
            section.append("" if line == "~" else line.strip())
    return {name: _share(phrases, share) for name, phrases in grammar.items()}


def _share(phrases: list[str], share: Share) -> list[str]:
    if share == "all" or len(phrases) < FEWEST:
        return phrases
    kept = [one for one in phrases if zlib.crc32(one.encode()) % CHECKED == FOLD]
    if share == "learn":
        return [one for one in phrases if one not in kept] or phrases
    return kept or phrases


def sentence(grammar: Grammar, section: str, rng: Random) -> str:
    """A random phrase of the section with all its slots filled, and capitals where sentences begin."""
    text = _SPACES.sub(" ", _fill(grammar, section, rng, DEEPEST)).strip()
    return _OPENING.sub(lambda match: match[0].upper(), text)


def _fill(grammar: Grammar, section: str, rng: Random, depth: int) -> str:
    if depth == 0:
        return ""

    def slot(match: re.Match[str]) -> str:
        if match[1] is None:
            return match[0][0]
        return _fill(grammar, match[1], rng, depth - 1)

    return _SLOT.sub(slot, rng.choice(grammar[section]))
