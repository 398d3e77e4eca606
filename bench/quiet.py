"""What rules do with text that nobody chose: all text files of the locked environment and of the clients' npm tree, as results of tools."""

import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from rules.evaluate import evaluate
from rules.exchange import Exchange, Part
from rules.rulebook import Rulebook

ROOT = Path(__file__).resolve().parent.parent
TREES = (Path(sys.prefix) / "lib", ROOT / ".venv-clients" / "npm" / "node_modules")
LARGEST = 300_000  # bytes of a file; an agent reads no more at once
# Packages whose files have valid numbers as their examples: each is found, and rightly so.
FIXTURES = ("stdnum/", "phonenumbers/", "phonenumberslite")


class Acted(NamedTuple):
    """An action: on how many files, of these in how many that hold examples on purpose, and by which rules most."""

    action: str
    files: int
    fixtures: int
    total: int
    rules: str


def quiet(book: Rulebook, trees: Iterable[Path] = TREES) -> list[Acted]:
    """What the rules do with each file."""
    counts: Counter[str] = Counter()
    fixtures: Counter[str] = Counter()
    rules: dict[str, Counter[str]] = {}
    total = 0
    for path, text in files(trees):
        total += 1
        part = Part(text, "tool", "tool_result", 0)
        verdict = evaluate(book, Exchange(parts=(part,)))
        if verdict.action == "ALLOW":
            continue
        counts[verdict.action] += 1
        fixtures[verdict.action] += any(name in str(path) for name in FIXTURES)
        acting = verdict.action.lower()
        rules.setdefault(verdict.action, Counter()).update(
            one.rule.id for one in verdict.fired if one.rule.action == acting
        )
    return [
        Acted(action, counts[action], fixtures[action], total, _most(rules.get(action, Counter())))
        for action in ("BLOCK", "REDACT", "FLAG")
    ]  # fmt: skip


def files(trees: Iterable[Path]) -> Iterator[tuple[Path, str]]:
    """All files that are text."""
    for tree in trees:
        for path in sorted(tree.rglob("*")):
            if path.is_symlink() or not path.is_file() or ".git" in path.parts:
                continue
            data = path.read_bytes() if path.stat().st_size <= LARGEST else b"\0"
            try:
                text = data.decode()
            except UnicodeDecodeError:
                continue
            if "\0" not in text:
                yield path, text


def _most(rules: Counter[str]) -> str:
    return ", ".join(f"{name} ×{count}" for name, count in rules.most_common(6))
