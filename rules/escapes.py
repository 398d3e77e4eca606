r"""Characters that a text writes as escapes, each way with a wire and with what a code means.

    \u0041 \x41 \u{41} \101 \n      of JSON and of programs
    %41                             of addresses
    &#65; &#x41; &quot;             of HTML and XML
    =41, a line that ends in `=`    quoted-printable, of mail

A wire is tripped by codes of letters and digits, of what no font shows, and by any code that stands before what may be
a secret: its last digit would be taken for a letter of it. Honest texts have few of them, though many of the others.
"""

import re
from collections.abc import Callable, Iterator
from html.entities import html5
from typing import NamedTuple

# Codes of one text and way that are read; more is `hidden`.
MAX_CODES = 50_000
_NAMED = {
    name.removesuffix(";"): meant
    for name, meant in html5.items()
    if name.endswith(";")
    and len(meant) == 1
    and (
        " " <= meant <= "~" or meant in "\t\n\u00ad\u200b\u200c\u200d\u200e\u200f\u2060"
    )
}
# These stand in every page of HTML. They hide nothing by themselves.
_ORDINARY = ("amp", "AMP", "lt", "LT", "gt", "GT", "quot", "QUOT", "apos")
_RARE = "|".join(sorted(set(_NAMED) - set(_ORDINARY)))
_ALL = "|".join(sorted(_NAMED, key=len, reverse=True))
_HEX = "[2-7][0-9A-Fa-f]"
_ANY = "[0-9A-Fa-f]"
# What may be a secret: eight characters of a word, one of them no small letter.
_BEFORE_WORD = "(?=[A-Za-z0-9_-]{8})(?=[a-z]{0,7}[A-Z0-9_-])"
# Codes of what no font shows, and of letters that only look different: soft hyphen, marks of
# width and direction, byte order mark, tags, full-width and mathematical letters.
_UNSEEN_UTF_16 = "(?:00ad|200[b-f]|202[a-e]|206[0-9a-f]|fe0[0-9a-f]|feff|ff[0-5][0-9a-f]|d835|db40|03[0-6][0-9a-f]|04[0-9a-f]{2})"
_UNSEEN_UTF_8 = (
    ("c2", "ad"),
    ("e2", "80", "(?:8[b-f]|a[a-e])"),
    ("e2", "81", "a[0-9a-f]"),
    ("ef", "b[89a-f]"),
    ("f3", "a0"),
    ("f0", "9d"),
    ("c[c-f]",),
    ("d[01]",),
)
_OCTAL = "0[4-7][0-7]|1[0-7]{2}"
_PLAIN_CODE = rf"u00{_HEX}|x{_HEX}|[ux]\{{0{{0,6}}{_HEX}\}}|U000000{_HEX}|{_OCTAL}"
_CODE = (
    rf"u[dD][89abAB]{_ANY}{{2}}\\u[dD][c-fC-F]{_ANY}{{2}}|u{_ANY}{{4}}|x{_ANY}{{2}}"
    rf"|[ux]\{{{_ANY}{{1,8}}\}}|U{_ANY}{{8}}|{_OCTAL}|0?33"
)
_SIMPLE = {
    "\\n": "\n",
    "\\r": "\r",
    "\\t": "\t",
    "\\v": "\v",
    "\\e": "\x1b",
    "\\b": "\b",
    "\\f": "\f",
    '\\"': '"',
    "\\'": "'",
    "\\/": "/",
}
_ESCAPE_CODE = re.compile(rf"\\(?:{_CODE})")
_LETTERS = "4[89]|5[0-7]|6[5-9]|[78][0-9]|9[05789]|1[01][0-9]|12[0-2]"


class Way(NamedTuple):
    """A way to write characters. `mark` is a byte that stands in every code; `show` gives a
    text without its codes, and whether it has too many; `meant` is the length of one.
    """

    mark: bytes
    wire: re.Pattern[bytes]
    code: re.Pattern[str]
    show: Callable[[str], tuple[str, bool]]
    meant: Callable[["re.Match[str]"], int] = lambda found: 1

    def codes(self, text: str) -> Iterator[tuple[int, int, int]]:
        """Start and end of each code, and how much stands in its place."""
        return (
            (found.start(), found.end(), self.meant(found))
            for found in self.code.finditer(text)
        )


def _number(found: "re.Match[str]") -> str:
    code = found[0][1:]
    if code[0] in "013":
        return chr(int(code, 8))
    if "\\" in code:  # two halves of one character
        high, low = int(code[1:5], 16), int(code[7:], 16)
        return chr(0x10000 + ((high & 0x3FF) << 10 | low & 0x3FF))
    return _character(int(code.lstrip("uUx").strip("{}"), 16))


def _character(code: int) -> str:
    """The character of a code. None has 0, half a character or more than there are."""
    if not code or 0xD800 <= code < 0xE000 or code > 0x10FFFF:
        return "\ufffd"
    return chr(code)


def _without_escapes(text: str) -> tuple[str, bool]:
    shown = text.replace("\\\\", "\0")
    for escape, meant in _SIMPLE.items():
        shown = shown.replace(escape, meant)
    shown, count = _ESCAPE_CODE.subn(_number, shown, count=MAX_CODES)
    return shown.replace("\0", "\\"), count == MAX_CODES


def _replacing(
    code: re.Pattern[str], mean: Callable[["re.Match[str]"], str]
) -> Callable[[str], tuple[str, bool]]:
    def show(text: str) -> tuple[str, bool]:
        shown, count = code.subn(mean, text, count=MAX_CODES)
        return shown, count == MAX_CODES

    return show


def _entity(found: "re.Match[str]") -> str:
    if found["name"] or found["short"]:
        return _NAMED[found["name"] or found["short"]]
    return _character(int(found["hex"], 16) if found["hex"] else int(found["decimal"]))


def _utf_8(mark: str, hexadecimal: str) -> str:
    """A character in UTF-8 by the codes of its bytes, as a regex; a control character is one byte."""
    first, more = (
        f"{mark}{digits}{hexadecimal}" for digits in ("[C-Fc-f]", "[89ABab]")
    )
    return rf"{first}(?:{more}){{1,3}}|{mark}[01]{hexadecimal}"


def _of_bytes(found: "re.Match[str]") -> str:
    """The character that the codes of its bytes stand for."""
    shown = bytes.fromhex(found[0].replace(found[0][0], "")).decode("utf-8", "replace")
    return shown if len(shown) == 1 and shown != "\0" else "\ufffd"


def _unseen(mark: str) -> str:
    """The codes of bytes of what no font shows, as a regex in small letters."""
    return "|".join("".join(mark + byte for byte in each) for each in _UNSEEN_UTF_8)


_PERCENT = re.compile(rf"%{_HEX}|{_utf_8('%', _ANY)}")
_ENTITY = re.compile(
    rf"&(?:#[xX]0*(?P<hex>{_ANY}{{1,6}})(?!{_ANY});?|#0*(?P<decimal>[0-9]{{1,7}})(?![0-9]);?"
    rf"|(?P<name>{_ALL});|(?P<short>amp|lt|gt|quot)\b)"
)
_QUOTED = re.compile(rf"=(?<!==)\r?\n|={_HEX}|{_utf_8('=', '[0-9A-F]')}")
WAYS = {
    "escape": Way(
        b"\\",
        re.compile(
            rf"\\(?:[nrtbf][0-9A-Za-z_]|/|{_PLAIN_CODE}|(?i:u{_UNSEEN_UTF_16})"
            rf"|(?:{_CODE}|[ve]){_BEFORE_WORD}|(?:e|0?33|u001[bB]|x1[bB])\[)".encode()
        ),
        re.compile(rf"\\(?:[nrtbfve\"'/\\]|{_CODE})"),
        _without_escapes,
    ),
    "percent": Way(
        b"%",
        re.compile(rf"%{_HEX}|(?i:{_unseen('%')})|%{_ANY}{{2}}{_BEFORE_WORD}".encode()),
        _PERCENT,
        _replacing(_PERCENT, _of_bytes),
    ),
    "entity": Way(
        b"&",
        re.compile(
            rf"&(?:#[xX]0*(?:3[0-9]|[46][1-9A-Fa-f]|[57][0-9Aa])(?![0-9A-Fa-f])|#0*(?:{_LETTERS})(?![0-9])"
            rf"|amp;(?:#|[a-z]{{2,6}};)|quot;\s{{0,3}}[:=]|(?:{_RARE});"
            r"|#0*(?:173|7[6-9][0-9]|8[0-7][0-9]|1[0-2][0-9]{2}|820[3-7]|823[4-8]|82[89][0-9]|65[0-9]{3}|917[0-9]{3}|119[89][0-9]{2}|120[0-9]{3})(?![0-9])"
            rf"|(?i:#x0*(?:ad|[34][0-9a-f]{{2}}|{_UNSEEN_UTF_16}|e00[0-7][0-9a-f]|1d4[0-9a-f]{{2}})(?!{_ANY})))".encode()
        ),
        _ENTITY,
        _replacing(_ENTITY, _entity),
    ),
    "quoted": Way(
        b"=",
        re.compile(
            (
                r"=(?:3D|[2-7][0-9A-F]=[2-7][0-9A-F]|(?<=[^\s=]=)(?<=[^\n]{60})\r?\n\S)"
                rf"|(?i:{_unseen('=')})|=[0189A-F][0-9A-F]{_BEFORE_WORD}"
            ).encode()
        ),
        _QUOTED,
        _replacing(
            _QUOTED,
            lambda found: "" if found[0][-1] == "\n" else _of_bytes(found),
        ),
        lambda found: found[0][-1] != "\n",
    ),
}
