"""Complaints about a rule file:

`file:line:column`, the line itself, a caret, and the likely fix.
"""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

MOST_KNOWN = 40  # words of a help sentence


@dataclass(frozen=True, slots=True)
class Mark:
    """A position in a source.

    Lines and columns count from 1; the caret underlines `length` characters.
    """

    file: str
    line: int
    column: int
    length: int = 1


@dataclass(frozen=True, slots=True)
class Complaint:
    """One fault of a rule file."""

    at: Mark
    message: str
    help: str = ""
    source: str = ""
    level: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        lines = [
            f"{self.at.file}:{self.at.line}:{self.at.column}: {self.level}: {self.message}"
        ]
        if self.source:
            number = str(self.at.line)
            carets = "^" * max(
                1, min(self.at.length, len(self.source) - self.at.column + 1)
            )
            lines.append(f" {number} | {self.source}")
            lines.append(f" {' ' * len(number)} | {' ' * (self.at.column - 1)}{carets}")
        if self.help:
            lines.append(f"   = help: {self.help}")
        return "\n".join(lines)


class BadRules(Exception):
    """Rule files that cannot be used; nothing of them takes effect."""

    def __init__(self, complaints: Iterable[Complaint]):
        self.complaints = tuple(complaints)
        super().__init__("\n".join(map(str, self.complaints)))

    @property
    def places(self) -> str:
        """The positions of the faults, without any text."""
        return ", ".join(
            f"{one.at.file}:{one.at.line}:{one.at.column}"
            for one in self.complaints[:5]
        )


def likely(word: str, known: Iterable[str]) -> str:
    """A help sentence: the word that was probably meant, or the words that exist, where a person would read them all."""
    known = sorted(known)
    close = difflib.get_close_matches(word, known, n=1)
    if close:
        return f"did you mean `{close[0]}`?"
    more = f", and {len(known) - MOST_KNOWN} more" if len(known) > MOST_KNOWN else ""
    return f"known here: {', '.join(known[:MOST_KNOWN])}{more}"
