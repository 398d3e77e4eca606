"""Text that hides text: escaped, invisible, styled, encoded, or written in look-alike letters.

Each way of hiding has a tripwire, cheap enough to run on every call, and a view in which the
text shows (`views.py`; characters in `alike.py`, codes in `escapes.py`, encoded runs in
`encoded.py`). Views are bounded, and what exceeds a bound is reported, never skipped in
silence.
"""

import re
from collections.abc import Iterable, Iterator
from functools import partial

from rules.alike import (
    CAPITALS,
    CONTROLS,
    HIDDEN,
    LOOKALIKES,
    LOOKS,
    PLAIN,
    STYLED,
    UNSEEN,
    UNSEEN_BUT_LETTERS,
    UNSEEN_RUN,
    Folding,
    hiding,
    in_re2,
)
from rules.encoded import ENCODED, decode
from rules.escapes import WAYS
from rules.views import View, plain, shrunk

__all__ = ["CONTROLS", "View", "plain"]

# Views of views of a text; what is encoded in one another more often is `hidden`.
MAX_DEPTH = 4
# Characters of all views of an exchange: this many, and this many times its own. Runs that
# are encoded in one another, and read from several positions, would grow without end.
LEAST_UNHIDDEN, MOST_UNHIDDEN = 1_000_000, 16
VIEW = 256  # characters that a view costs besides its own: thousands of small ones take memory
# Tripwires. The first run in the pass over all texts, the second where a text is not
# ASCII, the last where a certain character stands.
TRIPWIRES = {**ENCODED, "control": f"[{in_re2(CONTROLS)}]"}
WIRES_BEYOND_ASCII = {
    "hidden": f"[{in_re2(HIDDEN)}]",
    "styled": f"[{in_re2(STYLED)}]",
    "letter": f"[{LOOKS}]",
}
_CONTROL = re.compile(f"[{CONTROLS}]")
FEW = 32  # marks that are looked at one by one, which is quicker than a search
# looked for only where such a letter stands
MIXED = f"[A-Za-z0-9][-._]?[{LOOKS}]|[{LOOKS}][-._]?[A-Za-z0-9]|[{LOOKS}]{{3}}"


def escapes(data: bytes) -> Iterator[str]:
    """The wires of escapes that a text trips."""
    for name, way in WAYS.items():
        at, found = -1, None
        for _ in range(FEW):
            at = data.find(way.mark, at + 1)
            if at < 0:
                break
            found = found or way.wire.match(data, at)
        else:
            found = found or way.wire.search(data, at)
        if found is not None:
            yield name


CHARACTERS = frozenset([*WIRES_BEYOND_ASCII, "lookalike", "control"])
# Different characters of a text that are looked at one by one, some 16 us each; Chinese has some
# ten thousand in use. Of more, those are that are known to hide text.
MOST_DIFFERENT = 20_000
LEAST_HELD = 12  # characters; a shorter text holds no secret


def _may_hold(text: str) -> bool:
    """Whether a text may hold a secret: bytes that are none, read as text, have control characters."""
    return len(text) >= LEAST_HELD and _CONTROL.search(text) is None


class Unhidden:
    """The views of one exchange, level by level: each has the texts that the one before hid.

    `over`: more was encoded than is decoded.
    """

    def __init__(self) -> None:
        self.over = False
        self._depth = 0
        self._left = 0  # characters that views may still have
        # Two ways of hiding, undone in either order, show one text.
        self._seen: set[tuple[View, str]] = set()

    def next(self, level: Iterable[View], tripped: frozenset[str]) -> list[View]:
        """The views of the next level, for the wires that were tripped in this one."""
        views: list[View] = []
        level = list(level)
        if not self._depth:
            characters = sum(len(view.text) for view in level)
            self._left = LEAST_UNHIDDEN + MOST_UNHIDDEN * characters
        self._depth += 1
        if self._depth > MAX_DEPTH:
            tripped -= CHARACTERS
        for view in level:
            found: list[View] = []
            self.over |= unhide(view, tripped, found)
            views += filter(self._is_new, found)
            if self._left < 0:
                self.over = True
                break
        if self._depth <= MAX_DEPTH:
            return views
        self.over |= any(_may_hold(view.text) for view in views)
        return []

    def _is_new(self, view: View) -> bool:
        name = (view.whole or view, view.text)
        if name in self._seen:
            return False
        self._seen.add(name)
        self._left -= len(view.text) + VIEW
        return True


def unhide(view: View, tripped: frozenset[str], into: list[View]) -> bool:
    """Add the views of a text for the wires that were tripped.

    True where more was encoded than is decoded.
    """
    text, much = view.text, False
    if tripped & CHARACTERS:
        _show_characters(view, into)
    for name, way in WAYS.items():
        if name in tripped and way.code.search(text):
            shown, over = way.show(text)
            much |= over
            into.append(shrunk(view, shown, partial(way.codes, text)))
    encoded = tripped & ENCODED.keys()
    if encoded:
        much |= decode(view, text.encode("utf-8", "replace"), encoded, into)
    return much


# Full-width and mathematical characters; in the second, letters that look like ASCII; in
# the third, what no font shows; in the last, small capitals as capitals.
_style = Folding({})
_looks = Folding(LOOKALIKES)
_unseen = Folding(UNSEEN)
_capitals = Folding(LOOKALIKES | CAPITALS)


def _show_characters(view: View, into: list[View]) -> None:
    """Two views: one keeps letters of other scripts, for rules that look for words in them;
    one reads them as the ASCII letters that they look like. More where there are letters that
    no font shows, or small capitals.
    """
    text = view.text
    others = set(text) - PLAIN
    if len(others) > MOST_DIFFERENT:
        others &= hiding()
    foldings = [(_style, UNSEEN_RUN), (_looks, UNSEEN_RUN)] if others else []
    if others & UNSEEN.keys():
        foldings.append((_unseen, UNSEEN_BUT_LETTERS))
    if others & CAPITALS.keys():
        foldings.append((_capitals, UNSEEN_RUN))
    known = {text}
    for folding, hidden in foldings:
        shown = _replaced(text, others, folding)
        shown = _without(shown, others, hidden)
        if shown not in known:
            known.add(shown)
            into.append(shrunk(view, shown, partial(_taken_out, text, hidden)))


def _replaced(text: str, others: set[str], folding: Folding) -> str:
    """The text with `others` replaced one for one, so that all positions stay the same."""
    replaced = {
        character: like
        for character in others
        if (like := folding[ord(character)]) != character
    }
    if len(replaced) > 64:
        return text.translate(folding)
    for character, like in replaced.items():
        text = text.replace(character, like)
    return text


def _without(text: str, others: set[str], hidden: re.Pattern[str]) -> str:
    """The text without those of the characters that are hidden."""
    found = [character for character in others if hidden.match(character)]
    if len(found) > 32 or others & {"\x08", "\x1b", "\x9b"}:
        return hidden.sub("", text)
    for character in found:
        text = text.replace(character, "")
    return text


def _taken_out(text: str, hidden: re.Pattern[str]) -> Iterator[tuple[int, int, int]]:
    """Start and end of what is left out of a view, and how much stands in its place."""
    return ((found.start(), found.end(), 0) for found in hidden.finditer(text))
