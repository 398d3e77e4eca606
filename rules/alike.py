"""Characters that are not seen, or that look like ASCII letters and digits: tables, and what stands for what."""

import re
import string
import sys
import unicodedata
from collections.abc import Mapping
from functools import cache

MAX_FOLDED = 200_000  # characters whose plain form is kept
# Control characters that a reader does not see; tabs and line ends are text.
CONTROLS = "\x00-\x08\x0b\x0e-\x1f\x7f"
# Marks that are set upon any letter.
MARKS = "\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f"
HIDDEN = (
    "\x80-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0"
    "\u0600-\u0605\u06dd\u2028\u2029\u2800\ufff9-\ufffb\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
    + MARKS
)
# Letters that no font shows, each standing for one of ASCII: whole sentences are hidden in them.
TAGS = {chr(0xE0000 + code): chr(code) for code in range(0x20, 0x7F)}
# Variation selectors as bytes: the first 16 stand at U+FE00, the others from U+E0100 on.
SELECTORS = {chr(0xE0100 + code - 16): chr(code) for code in range(0x20, 0x7F)}
UNSEEN = TAGS | SELECTORS
# Greek, Cyrillic and Armenian, where most look-alikes of ASCII letters are.
OTHER_LETTERS = "\u0370-\u03ff\u0400-\u052f\u0531-\u0587"
STYLED = (
    "\uff10-\uff19\uff21-\uff3a\uff41-\uff5a\u2100-\u2189\u2460-\u24ff\u1d00-\u1d2b\u0131\u0251\u0261\u0262\u0269\u026a\u0274\u0280"
    "\u028f\u0299\u029c\u029f\ua730\ua731\ua7af\U0001d400-\U0001d7ff\U0001f130-\U0001f189"
    # digits of Arabic, Persian, Indian and Thai
    "\u0660-\u0669\u06f0-\u06f9\u0966-\u096f\u09e6-\u09ef\u0e50-\u0e59"
    # Cherokee, Lisu, Coptic
    "\u13a0-\u13f4\ua4d0-\ua4f7\u2c80-\u2cb1"
)
# Letters of other scripts that look like ASCII letters (Unicode Technical Standard 39),
# where NFKC does not map them.
_ALIKE = (
    "АA ВB СC ЕE НH ІI ЈJ КK МM ОO РP ЅS ТT ХX УY ҮY аa сc ԁd еe һh іi јj кk ӏl мm оo рp ԛq ѕs тt уy ѵv ԝw хx "
    "ΑA ΒB ΕE ΖZ ΗH ΙI ΚK ΜM ΝN ΟO ΡP ΤT ΥY ΧX αa γy ιi κk νv οo ρp τt υu χx ϲc ϳj օo սu հh ոn ցg ՕO ՏS "
    "ᴀa ᴄc ᴅd ᴇe ᴊj ᴋk ᴍm ᴏo ᴘp ᴛt ᴜu ᴠv ᴡw ᴢz ʀr ɪi ɡg ıi ɩi ɑa ʙb ꜰf ɢg ʜh ʟl ɴn ꞯq ꜱs ʏy "
    "ᎪA ᏴB ᏟC ᎠD ᎬE ᏀG ᎻH ᎫJ ᏦK ᏞL ᎷM ᏢP ᏒR ᏚS ᎢT ᏙV ᎳW ᎩY ᏃZ ᎥI Ꮞ4 Ꮾ6 "
    "ꓮA ꓐB ꓚC ꓓD ꓰE ꓝF ꓖG ꓧH ꓲI ꓙJ ꓗK ꓡL ꓟM ꓠN ꓳO ꓑP ꓣR ꓢS ꓔT ꓴU ꓦV ꓪW ꓫX ꓬY ꓜZ "
    "ⲂB ⲤC ⲈE ⲎH ⲒI ⲔK ⲘM ⲚN ⲞO ⲢP ⲦT ⲨY ⲬX ⲌZ ⲟo ⲣp ⲥc ⲓi ⲕk"
)
LOOKALIKES = {pair[0]: pair[1] for pair in _ALIKE.split()}
# Small capitals have no case of their own: they may be read as capitals, too.
CAPITALS = {
    small: plain.upper()
    for small, plain in LOOKALIKES.items()
    if "SMALL CAPITAL" in unicodedata.name(small)
}


def in_re2(characters: str) -> str:
    """A class of characters, as RE2 and hyperscan both write it."""
    return "".join(
        character if character == "-" else f"\\x{{{ord(character):x}}}"
        for character in characters
    )


LOOKS = in_re2(
    "".join(
        character
        for character in LOOKALIKES
        if re.match(f"[{OTHER_LETTERS}]", character)
    )
)
# What colours a terminal's text, or moves in it; a letter that is struck over.
_TERMINAL = r"(?:\x1b\[|\x9b)[0-9:;<=>?]*[ -/]*[@-~]|\x1b[\]PX^_][^\x07\x1b\n]*(?:\x07|\x1b\\)|[^\n\x08]\x08"
_NOT_SEEN = CONTROLS + HIDDEN + "\u0640\u064b-\u0652"
UNSEEN_RUN = re.compile(f"(?:{_TERMINAL}|[{_NOT_SEEN}])+")
UNSEEN_BUT_LETTERS = re.compile(
    UNSEEN_RUN.pattern.replace(
        "\U000e0000-\U000e0fff",
        "\U000e0000-\U000e001f\U000e007f-\U000e010f\U000e016f-\U000e0fff",
    )
)
PLAIN = frozenset(string.printable) - {"\x0b"}


@cache
def hiding() -> frozenset[str]:
    """All characters that may hide text."""
    every = "".join(map(chr, range(sys.maxunicode + 1)))
    found = re.findall(f"[{CONTROLS}{HIDDEN}{STYLED}]", every)
    return frozenset(LOOKALIKES).union(found)


class Folding(dict[int, str]):
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
