"""Text that hides text: escaped, invisible, styled, or written in look-alike letters.

Each way of hiding has a tripwire, cheap enough to run on every call, and a view in which the
text shows (`views.py`; encoded runs in `encoded.py`). Views are bounded, and what exceeds the
bound is reported, never skipped in silence.
"""

import re
import string
import unicodedata
from collections.abc import Iterator, Mapping
from functools import partial

from rules.encoded import (
    BASE64_TEXT,
    DECODERS,
    HEX_PAIRS,
    HEX_TEXT,
    MAX_RUNS,
    decode_runs,
)
from rules.views import View, plain, shrunk

__all__ = ["View", "plain"]

MAX_DEPTH = 2  # a view of a view is the deepest
MAX_FOLDED = 200_000  # characters whose plain form is kept
# Control characters that a reader does not see; tabs and line ends are text.
CONTROLS = "\x00-\x08\x0b\x0e-\x1f\x7f"
HIDDEN = (
    "\x80-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0"
    "\u0600-\u0605\u06dd\u2028\u2029\u2800\ufff9-\ufffb\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
# Letters that no font shows, each standing for one of ASCII: whole sentences are hidden in them.
TAGS = {chr(0xE0000 + code): chr(code) for code in range(0x20, 0x7F)}
# Greek, Cyrillic and Armenian, where most look-alikes of ASCII letters are.
OTHER_LETTERS = "\u0370-\u03ff\u0400-\u052f\u0531-\u0587"
STYLED = (
    "\uff10-\uff19\uff21-\uff3a\uff41-\uff5a\u2100-\u2189\u2460-\u24ff\u1d00-\u1d2b\u0131\u0251\u0261\u0269\u026a\u0280"
    "\U0001d400-\U0001d7ff\U0001f130-\U0001f189"
    # digits of Arabic, Persian, Indian and Thai
    "\u0660-\u0669\u06f0-\u06f9\u0966-\u096f\u09e6-\u09ef\u0e50-\u0e59"
)
# Letters of other scripts that look like ASCII letters (Unicode Technical Standard 39),
# where NFKC does not map them.
_ALIKE = (
    "АA ВB СC ЕE НH ІI ЈJ КK МM ОO РP ЅS ТT ХX УY ҮY аa сc ԁd еe һh іi јj кk ӏl мm оo рp ԛq ѕs тt уy ѵv ԝw хx "
    "ΑA ΒB ΕE ΖZ ΗH ΙI ΚK ΜM ΝN ΟO ΡP ΤT ΥY ΧX αa γy ιi κk νv οo ρp τt υu χx ϲc ϳj օo սu հh ոn ցg ՕO ՏS "
    "ᴀa ᴄc ᴅd ᴇe ᴊj ᴋk ᴍm ᴏo ᴘp ᴛt ᴜu ᴠv ᴡw ᴢz ʀr ɪi ɡg ıi ɩi ɑa"
)
LOOKALIKES = {pair[0]: pair[1] for pair in _ALIKE.split()}


def _in_re2(characters: str) -> str:
    """A class of characters, as RE2 and hyperscan both write it."""
    return "".join(
        character if character == "-" else f"\\x{{{ord(character):x}}}"
        for character in characters
    )


_LOOKS = _in_re2(
    "".join(
        character
        for character in LOOKALIKES
        if re.match(f"[{OTHER_LETTERS}]", character)
    )
)
# Tripwires. The first run in the pass over all texts, the second where a text is not
# ASCII, the last where a certain character stands.
TRIPWIRES = {
    "base64": BASE64_TEXT,
    "hex": HEX_TEXT,
    "pairs": HEX_PAIRS,
    "control": f"[{_in_re2(CONTROLS)}]",
}
WIRES_BEYOND_ASCII = {
    "hidden": f"[{_in_re2(HIDDEN)}]",
    "styled": f"[{_in_re2(STYLED)}]",
    "letter": f"[{_LOOKS}]",
}
# looked for only where such a letter stands
MIXED = f"[A-Za-z0-9][-._]?[{_LOOKS}]|[{_LOOKS}][-._]?[A-Za-z0-9]|[{_LOOKS}]{{3}}"
WIRES_OF_CHARACTERS = {
    "escape": re.compile(
        rb"\\(?:[nrtbf][0-9A-Za-z_]|u00[2-7][0-9A-Fa-f]|x[2-7][0-9A-Fa-f]|/)"
    ),
    "percent": re.compile(rb"%[2-7][0-9A-Fa-f]"),
}
_HIDDEN = re.compile(f"[{CONTROLS}{HIDDEN}\u0640\u064b-\u0652]+")
_HIDDEN_BUT_TAGS = re.compile(
    _HIDDEN.pattern.replace(
        "\U000e0000-\U000e0fff", "\U000e0000-\U000e001f\U000e007f-\U000e0fff"
    )
)
_ESCAPE = re.compile(r"\\(?:[nrtbf\"'/\\]|u00[2-7][0-9A-Fa-f]|x[2-7][0-9A-Fa-f])")
_ESCAPED_CODE = re.compile(r"\\(?:u00|x)([2-7][0-9A-Fa-f])")
_ESCAPED = re.compile(r"\\(?:[nrtbf][0-9A-Za-z_]|u00[2-7]|x[2-7]|/)")
_PERCENT_RUN = re.compile(r"(?:%[2-7][0-9A-Fa-f])+")
_PERCENT = re.compile(r"%[2-7][0-9A-Fa-f]")
_SIMPLE = {
    "\\n": "\n",
    "\\r": "\r",
    "\\t": "\t",
    "\\b": "\b",
    "\\f": "\f",
    '\\"': '"',
    "\\'": "'",
    "\\/": "/",
}


def unhide(view: View, tripped: frozenset[str], into: list[View]) -> bool:
    """Add the views of a text for the wires that were tripped.

    True where more was encoded than is decoded.
    """
    text, much = view.text, False
    if tripped & {"hidden", "styled", "lookalike", "control"}:
        # Two views: one keeps letters of other scripts, for rules that look for words
        # in them; one reads them as the ASCII letters that they look like. A third, where
        # there are tags, reads them as what they stand for.
        others = set(text) - PLAIN
        known = {text}
        foldings = [(_style, _HIDDEN), (_looks, _HIDDEN)] if others else []
        if others & TAGS.keys():
            foldings.append((_tags, _HIDDEN_BUT_TAGS))
        for folding, hidden in foldings:
            shown = _replaced(text, others, folding)
            shown = _without(shown, others, hidden)
            if shown not in known:
                known.add(shown)
                into.append(shrunk(view, shown, partial(_taken_out, text, hidden)))
    if "escape" in tripped and _ESCAPED.search(text):
        shown, over = _without_escapes(text)
        much |= over
        into.append(
            shrunk(
                view,
                shown,
                lambda: (
                    (found.start(), found.end(), 1) for found in _ESCAPE.finditer(text)
                ),
            )
        )
    if "percent" in tripped and _PERCENT.search(text):
        shown, over = _without_percent(text)
        much |= over
        into.append(
            shrunk(
                view,
                shown,
                lambda: (
                    (found.start(), found.end(), 1) for found in _PERCENT.finditer(text)
                ),
            )
        )
    data = text.encode("utf-8", "replace") if tripped & DECODERS.keys() else b""
    for name in DECODERS.keys() & tripped:
        much |= decode_runs(view, data, *DECODERS[name], into)
    return much


class _Folding(dict[int, str]):
    """Maps a code point to the ASCII character that it stands for, or to itself."""

    def __init__(self, alike: Mapping[str, str]):
        super().__init__()
        self._alike = alike

    def __missing__(self, code: int) -> str:
        character = chr(code)
        digit = unicodedata.decimal(character, None)
        like = self._alike.get(character) or (
            str(digit)
            if digit is not None
            else unicodedata.normalize("NFKC", character)
        )
        if len(self) > MAX_FOLDED:
            return like if len(like) == 1 and like.isascii() else character
        self[code] = like if len(like) == 1 and like.isascii() else character
        return self[code]


PLAIN = frozenset(string.printable) - {"\x0b"}
# Full-width and mathematical characters; and, in the second, letters that look like
# ASCII.
_style = _Folding({})
_looks = _Folding(LOOKALIKES)
_tags = _Folding(TAGS)


def _replaced(text: str, others: set[str], folding: _Folding) -> str:
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
    if len(found) > 32:
        return hidden.sub("", text)
    for character in found:
        text = text.replace(character, "")
    return text


def _taken_out(text: str, hidden: re.Pattern[str]) -> Iterator[tuple[int, int, int]]:
    """Start and end of what is left out of a view, and how much stands in its place."""
    return ((found.start(), found.end(), 0) for found in hidden.finditer(text))


def _without_escapes(text: str) -> tuple[str, bool]:
    shown = text.replace("\\\\", "\0")
    for escape, meant in _SIMPLE.items():
        shown = shown.replace(escape, meant)
    shown, count = _ESCAPED_CODE.subn(
        lambda found: chr(int(found[1], 16)), shown, count=MAX_RUNS
    )
    return shown.replace("\0", "\\"), count == MAX_RUNS


def _without_percent(text: str) -> tuple[str, bool]:
    shown, count = _PERCENT_RUN.subn(
        lambda found: bytes.fromhex(found[0].replace("%", "")).decode("ascii"),
        text,
        count=MAX_RUNS,
    )
    return shown, count == MAX_RUNS
