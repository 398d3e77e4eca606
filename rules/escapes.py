r"""Characters that a text writes as escapes, each way with a wire and with what a code means.

    \u0041 \x41 \u{41} \101 \n      of JSON and of programs
    %41                             of addresses
    &#65; &#x41; &quot;             of HTML and XML
    =41, a line that ends in `=`    quoted-printable, of mail

A wire is tripped by codes of letters and digits, and by what stands where a secret would be cut. Honest texts have few
of them, though many of the others.
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
    and (" " <= meant <= "~" or meant in "\t\n")
}
# These stand in every page of HTML. They hide nothing by themselves.
_ORDINARY = ("amp", "AMP", "lt", "LT", "gt", "GT", "quot", "QUOT", "apos")
_RARE = "|".join(sorted(set(_NAMED) - set(_ORDINARY)))
_ALL = "|".join(sorted(_NAMED, key=len, reverse=True))
_HEX = "[2-7][0-9A-Fa-f]"
_OCTAL = "0[4-7][0-7]|1[0-7]{2}"
_CODE = rf"u00{_HEX}|x{_HEX}|[ux]\{{0{{0,6}}{_HEX}\}}|U000000{_HEX}|{_OCTAL}"
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
    return chr(int(code, 8) if code[0] in "01" else int(code.lstrip("uUx").strip("{}"), 16))  # fmt: skip


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
    return chr(int(found["hex"], 16) if found["hex"] else int(found["decimal"]))


_PERCENT = re.compile(rf"%(?:{_HEX}|0[9AaDd])")
_ENTITY = re.compile(
    rf"&(?:#[xX]0*(?P<hex>{_HEX}|[9AaDd])(?![0-9A-Fa-f]);?"
    r"|#0*(?P<decimal>9|1[03]|3[2-9]|[4-9][0-9]|1[01][0-9]|12[0-6])(?![0-9]);?"
    rf"|(?P<name>{_ALL});|(?P<short>amp|lt|gt|quot)\b)"
)
_QUOTED = re.compile(rf"=(?:(?<!==)\r?\n|{_HEX}|0[9AD])")
WAYS = {
    "escape": Way(
        b"\\",
        re.compile(rf"\\(?:[nrtbf][0-9A-Za-z_]|/|{_CODE})".encode()),
        re.compile(rf"\\(?:[nrtbf\"'/\\]|{_CODE})"),
        _without_escapes,
    ),
    "percent": Way(
        b"%",
        re.compile(rf"%{_HEX}".encode()),
        _PERCENT,
        _replacing(_PERCENT, lambda found: chr(int(found[0][1:], 16))),
    ),
    "entity": Way(
        b"&",
        re.compile(
            rf"&(?:#[xX]0*(?:3[0-9]|[46][1-9A-Fa-f]|[57][0-9Aa])(?![0-9A-Fa-f])|#0*(?:{_LETTERS})(?![0-9])"
            rf"|amp;(?:#|[a-z]{{2,6}};)|quot;\s{{0,3}}[:=]|(?:{_RARE});)".encode()
        ),
        _ENTITY,
        _replacing(_ENTITY, _entity),
    ),
    "quoted": Way(
        b"=",
        re.compile(
            rb"=(?:3D|[2-7][0-9A-F]=[2-7][0-9A-F]|(?<=[^\s=]=)(?<=[^\n]{60})\r?\n[^\s-])"
        ),
        _QUOTED,
        _replacing(
            _QUOTED,
            lambda found: "" if found[0][-1] == "\n" else chr(int(found[0][1:], 16)),
        ),
        lambda found: found[0][-1] != "\n",
    ),
}
