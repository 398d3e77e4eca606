"""An answer so far, kept to be judged once more as a whole when it ends."""

from collections.abc import Mapping
from dataclasses import replace

from rules.channels import Name, Piece
from rules.exchange import Part
from rules.verdict import Fired, Verdict

MAX_KEPT = 1024 * 1024  # characters; a model's longest answers have some 500,000
OVERHEAD = 100  # characters that a complete text counts besides its own

Key = tuple[str, ...]


class Transcript:
    """The texts of an answer: those that grow, by channel, and the complete ones, each once."""

    def __init__(self) -> None:
        self.kept = 0  # characters
        self._growing: dict[Name, tuple[Part, list[str]]] = {}
        self._complete: dict[Key, Part] = {}
        self._clean: set[Key] = set()
        self._parts: tuple[Part, ...] | None = None  # where nothing was added since

    @property
    def parts(self) -> tuple[Part, ...]:
        """The texts, as parts of an exchange."""
        if self._parts is None:
            grown = (
                part._replace(text="".join(texts))
                for part, texts in self._growing.values()
            )
            self._parts = (*grown, *self._complete.values())
        return self._parts

    def count(self) -> int:
        """How many texts there are."""
        return len(self._growing) + len(self._complete)

    def start(self, piece: Piece) -> bool:
        """Add a piece to its first channel, which may be new; False where no more is kept."""
        if not self._may_keep(len(piece.text)):
            return False
        name, part = piece.channels[0], piece.part._replace(text="")
        self._growing.setdefault(name, (part, []))[1].append(piece.text)
        return True

    def extend(self, name: Name, text: str) -> bool:
        """Add a piece to a channel whose start is kept; False where no more is kept."""
        known = self._growing.get(name)
        if known is None or not self._may_keep(len(text)):
            return False
        known[1].append(text)
        return True

    def text(self, name: Name) -> str:
        """A growing text so far; empty where it is not kept."""
        return "".join(self._growing[name][1]) if name in self._growing else ""

    def add(self, part: Part, *, clean: bool) -> bool:
        """Add a complete text; `clean`: nothing was found in it. False where no more is kept."""
        key = (part.text, part.role, part.kind, part.tool)
        if key in self._complete:
            return True
        if not self._may_keep(len(part.text) + OVERHEAD):
            return False
        self._complete[key] = part
        if clean:
            self._clean.add(key)
        return True

    def is_clean(self, piece: Piece) -> bool:
        """Whether a complete text was judged before, and nothing was found in it."""
        return (piece.text, piece.role, piece.kind, piece.tool) in self._clean

    def _may_keep(self, length: int) -> bool:
        if self.kept + length > MAX_KEPT:
            return False
        self.kept += length
        self._parts = None
        return True


def as_carried_out(
    verdict: Verdict,
    fired: Mapping[str, Fired],
    blocked: Verdict | None,
    redacted: bool,
) -> Verdict:
    """The verdict on a whole answer, corrected by what was done while it streamed.

    `fired` are the rules that fired then, by id. What was found too late for an edit is a FLAG
    that would have been a REDACT.
    """
    known = {one.rule.id for one in verdict.fired}
    earlier = (one for name, one in fired.items() if name not in known)
    verdict = replace(verdict, fired=(*verdict.fired, *earlier), edits=())
    if blocked is not None:
        return replace(verdict, action="BLOCK", by=blocked.by, would=None)
    if redacted and verdict.action in ("ALLOW", "FLAG"):
        return replace(verdict, action="REDACT")
    if verdict.action == "REDACT" and not redacted:
        found = tuple(one._replace(placeholder="") for one in verdict.found)
        return replace(verdict, action="FLAG", would="REDACT", found=found)
    return verdict
