"""What a placeholder replaced in a call, and where it may return."""

from dataclasses import dataclass

from rules.model import Restore


@dataclass(frozen=True, slots=True)
class Original:
    """What a placeholder replaced in a call, and where it may return.

    `paths` are the files whose content it came from, `contents` are paths and contents;
    `said` are texts of a user with the value.
    """

    placeholder: str
    value: str
    where: Restore
    paths: frozenset[str] = frozenset()
    contents: tuple[tuple[str, str], ...] = ()
    said: tuple[str, ...] = ()

    def belongs_in(self, path: str) -> bool:
        """Whether a file may have the value: it came from there, or a user said so."""
        return path in self.paths or (
            ("/" in path or "." in path)
            and any(_names(text, path) for text in self.said)
        )

    def stood_in(self, path: str, word: str, line: str) -> bool:
        """Whether the value stood in this URL, or in this line, in the same file."""
        return any(
            ("://" in word and word in text) or f"\n{line}\n" in f"\n{text}\n"
            for file, text in self.contents
            if file == path
        )


def _names(text: str, path: str) -> bool:
    """Whether a text names a path: as a word of its own."""
    at = text.find(path)
    while at >= 0:
        before, after = text[at - 1 : at], text[at + len(path) : at + len(path) + 2]
        if not (before.isalnum() or before in ("/", ".", "-", "_", "~")) or not at:
            rest = after.lstrip(".,;:!?)]}'\"`")
            if not rest or rest[0].isspace() or after[0].isspace():
                return True
        at = text.find(path, at + 1)
    return False
