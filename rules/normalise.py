"""Text that hides text: each way of hiding has a tripwire, cheap enough for every call, and a view in which it shows.

A view is a second reading of a text (or of the joint between texts) with a way back: a place in the view is a place, or several,
in what the client sent, so that a redaction edits the original. Views are bounded; what exceeds the bound is said, never skipped
in silence.
"""

import base64
import binascii
import re
import string
import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

from rules.exchange import Part
from rules.patterns import compile_regex

MAX_DEPTH = 2  # a view of a view, and no further
MAX_RUNS = 4_000  # encoded runs that are decoded in one text
MAX_TOKENS = 20_000  # of a view that are followed back one by one; beyond them a finding covers the whole text
EDGE = 200  # characters on each side of a joint
WORD = frozenset(string.ascii_letters + string.digits + "+/_-=")

Place = tuple[int, int, int]  # text, start, end
Back = Callable[[int, int], list[Place]]

HIDDEN = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
OTHER_LETTERS = "\u0370-\u03ff\u0400-\u052f\u0531-\u0587"
STYLED = "\uff10-\uff19\uff21-\uff3a\uff41-\uff5a\u2100-\u214f\u2460-\u24ff\u1d00-\u1d2b\U0001d400-\U0001d7ff\U0001f130-\U0001f189"

# Letters of other scripts that look like ASCII ones (Unicode Technical Standard 39), where NFKC does not say so.
_PAIRS = (
    "АA ВB СC ЕE НH ІI ЈJ КK МM ОO РP ЅS ТT ХX УY ҮY аa сc ԁd еe һh іi јj кk ӏl мm оo рp ԛq ѕs тt уy ѵv ԝw хx "
    "ΑA ΒB ΕE ΖZ ΗH ΙI ΚK ΜM ΝN ΟO ΡP ΤT ΥY ΧX αa γy ιi κk νv οo ρp τt υu χx ϲc ϳj օo սu հh ոn ցg ՕO ՏS "
    "ᴀa ᴄc ᴅd ᴇe ᴊj ᴋk ᴍm ᴏo ᴘp ᴛt ᴜu ᴠv ᴡw ᴢz ʀr ɪi ɡg ıi ɩi ɑa"
)
LOOKALIKES = {pair[0]: pair[1] for pair in _PAIRS.split()}


def _in_re2(characters: str) -> str:
    """A class of characters as RE2 and hyperscan both write it."""
    return "".join(character if character == "-" else f"\\x{{{ord(character):x}}}" for character in characters)


# Base64 of printable ASCII shows in which characters may follow which; hex of it in its first digits.
_BASE64_DIGITS = r"(?:[MNO][DTjz][AEIMQUYcgk][w-z0-5]){2}"
BASE64_TEXT = _BASE64_DIGITS + r"|(?:[CI-Za-f][C-HS-Xi-ny-z0-3][ABEFIJMNQRUVYZcdghklopstwx014589][A-Za-z0-9+/_-]){4}"
HEX_TEXT = r"(?:[2-7][0-9a-fA-F]){8}"
HEX_PAIRS = r"(?:[2-7][0-9a-fA-F][ :,]){7}[2-7][0-9a-fA-F]"
# What trips a wire: in the one pass over everything; only where a text is not ASCII; only where a certain character stands.
TRIPWIRES = {"base64": BASE64_TEXT, "hex": HEX_TEXT, "pairs": HEX_PAIRS}
WIRES_BEYOND_ASCII = {
    "hidden": f"[{_in_re2(HIDDEN)}]",
    "lookalike": f"[A-Za-z0-9][-._]?[{_in_re2(OTHER_LETTERS)}]|[{_in_re2(OTHER_LETTERS)}][-._]?[A-Za-z0-9]|[{_in_re2(STYLED)}]",
}
WIRES_OF_CHARACTERS = {
    "escape": (b"\\", r"\\(?:[nrtbf][0-9A-Za-z_]|u00[2-7][0-9A-Fa-f]|x[2-7][0-9A-Fa-f]|/)"),
    "percent": (b"%", r"%[2-7][0-9A-Fa-f]"),
}

_HIDDEN = re.compile(f"[{HIDDEN}\u0640\u064b-\u0652]+")
_BASE64_RUN = r"[A-Za-z0-9+/_-]{16,}(?:\r?\n[A-Za-z0-9+/_-]{4,})*"
_HEX_RUN = r"[0-9a-fA-F]{16,}"
_PAIRS_RUN = r"(?:[0-9a-fA-F]{2}[ :,]){7,}[0-9a-fA-F]{2}"
_ESCAPE = re.compile(r"\\(?:[nrtbf\"'/\\]|u00[2-7][0-9A-Fa-f]|x[2-7][0-9A-Fa-f])")
_ESCAPED_CODE = re.compile(r"\\(?:u00|x)([2-7][0-9A-Fa-f])")
_PERCENT_RUN = re.compile(r"(?:%[2-7][0-9A-Fa-f])+")
_PERCENT = re.compile(r"%[2-7][0-9A-Fa-f]")
_SIMPLE = {"\\n": "\n", "\\r": "\r", "\\t": "\t", "\\b": "\b", "\\f": "\f", '\\"': '"', "\\'": "'", "\\/": "/"}


@dataclass(frozen=True, slots=True)
class View:
    """A reading of text number `of` (or, at joints, of several): `back` leads from a span of `text` to places in the originals."""

    text: str
    back: Back
    depth: int = 0


class TooMuch(Exception):
    """More is encoded than is decoded."""


def plain(number: int, text: str) -> View:
    """A text as it is."""
    return View(text, lambda start, end: [(number, start, end)])


def unhidden(view: View, tripped: frozenset[str]) -> Iterator[View]:
    """What a text shows when looked at in the other ways that were tripped. Raises TooMuch where a bound was reached."""
    text = view.text
    if not text.isascii() and tripped & {"hidden", "lookalike"}:
        # Two readings: words of other scripts as they are, for those that are looked for in them; and letters for what they look like.
        for shown in dict.fromkeys(_HIDDEN.sub("", plainer(text)) for plainer in (_plain_style, _as_ascii)):
            if shown != text:
                yield _deeper(view, shown, lambda: ((found.start(), found.end(), 0) for found in _HIDDEN.finditer(text)))
    if "escape" in tripped and "\\" in text:
        yield _deeper(view, _without_escapes(text), lambda: ((found.start(), found.end(), 1) for found in _ESCAPE.finditer(text)))
    if "percent" in tripped and "%" in text:
        yield _deeper(view, _without_percent(text), lambda: ((found.start(), found.end(), 1) for found in _PERCENT.finditer(text)))
    if "base64" in tripped:
        yield from _decoded(view, BASE64_TEXT, _BASE64_RUN, _base64)
    if "hex" in tripped:
        yield from _decoded(view, HEX_TEXT, _HEX_RUN, _hex)
    if "pairs" in tripped:
        yield from _decoded(view, HEX_PAIRS, _PAIRS_RUN, _pairs)


def _deeper(view: View, shown: str, tokens: Callable[[], Iterator[tuple[int, int, int]]]) -> View:
    """A view in which each token (start, end) of the outer text has shrunk to so many characters; followed back only when needed."""
    starts: list[int] = []  # in the view, where a stretch begins that is as far from its original as `shifts` says
    shifts: list[int] = []
    edges: dict[int, int] = {}  # a shrunk token's place in the view -> its end in the original

    def learn() -> bool:
        shift = 0
        for start, end, length in tokens():
            if len(starts) > MAX_TOKENS:
                return False
            at = start - shift
            if length:
                edges[at] = end
            shift += end - start - length
            starts.append(at + length)
            shifts.append(shift)
        return True

    known: list[bool] = []

    def place(at: int) -> int:
        stretch = bisect_right(starts, at) - 1
        return at + (shifts[stretch] if stretch >= 0 else 0)

    def back(start: int, end: int) -> list[Place]:
        if not known:
            known.append(learn())
        if not known[0]:
            return view.back(0, len(view.text))
        last = end - 1
        return view.back(place(start), edges.get(last, place(last) + 1))

    return View(shown, back, view.depth + 1)


class _Folding(dict[int, str]):
    """Code point -> the ASCII character that it stands for, or itself."""

    def __init__(self, alike: Mapping[str, str]):
        super().__init__()
        self._alike = alike

    def __missing__(self, code: int) -> str:
        character = chr(code)
        like = self._alike.get(character) or unicodedata.normalize("NFKC", character)
        if len(self) > MAX_TOKENS:
            self.clear()
        self[code] = like if len(like) == 1 and like.isascii() else character
        return self[code]


_style, _looks = _Folding({}), _Folding(LOOKALIKES)


def _plain_style(text: str) -> str:
    """Full-width, mathematical and circled characters as plain ones."""
    return _replaced(text, _style)


def _as_ascii(text: str) -> str:
    """Letters of other scripts that look like ASCII ones, too."""
    return _replaced(text, _looks)


def _replaced(text: str, folding: _Folding) -> str:
    """Replaced one for one, so that places stay what they are."""
    others = {character for character in set(text) if not character.isascii()}
    replaced = {character: like for character in others if (like := folding[ord(character)]) != character}
    if len(replaced) > 64:
        return text.translate(folding)
    for character, like in replaced.items():
        text = text.replace(character, like)
    return text


def _without_escapes(text: str) -> str:
    shown = text.replace("\\\\", "\0")
    for escape, meant in _SIMPLE.items():
        shown = shown.replace(escape, meant)
    shown, count = _ESCAPED_CODE.subn(lambda found: chr(int(found[1], 16)), shown, count=MAX_RUNS)
    if count == MAX_RUNS:
        raise TooMuch
    return shown.replace("\0", "\\")


def _without_percent(text: str) -> str:
    shown, count = _PERCENT_RUN.subn(lambda found: bytes.fromhex(found[0].replace("%", "")).decode("ascii"), text, count=MAX_RUNS)
    if count == MAX_RUNS:
        raise TooMuch
    return shown


def _decoded(view: View, clue: str, run: str, decode: Callable[[bytes, int], str]) -> Iterator[View]:
    """Encoded runs that hold text, each a view; a finding in one is a finding of the whole run."""
    data = view.text.encode("utf-8", "replace") if not view.text.isascii() else view.text.encode()
    if compile_regex(clue).search(data) is None:
        return
    for number, found in enumerate(compile_regex(run).finditer(data)):
        if number == MAX_RUNS:
            raise TooMuch
        start, end = found.span()
        hint = compile_regex(clue).search(data, start, end)
        if hint is None:
            continue
        shown = decode(data[start:end], (hint.start() - start) % 4)
        if shown:
            first, last = (start, end) if view.text.isascii() else (len(data[:at].decode("utf-8", "replace")) for at in (start, end))
            yield View(shown, _whole(view, first, last), view.depth + 1)


def _whole(view: View, first: int, last: int) -> Back:
    return lambda start, end: view.back(first, last)


_STANDARD = bytes.maketrans(b"-_", b"+/")


def _base64(run: bytes, skip: int) -> str:
    body = run[skip:].translate(_STANDARD, b"\r\n")
    return _printable(base64.b64decode(body[: len(body) // 4 * 4] + _last(body)))


def _last(body: bytes) -> bytes:
    """The last group of base64, filled up; a single left-over character says nothing."""
    rest = body[len(body) // 4 * 4 :]
    return rest + b"=" * (4 - len(rest)) if len(rest) > 1 else b""


def _hex(run: bytes, skip: int) -> str:
    body = run[skip % 2 :]
    return _printable(binascii.unhexlify(body[: len(body) // 2 * 2]))


def _pairs(run: bytes, skip: int) -> str:
    return _printable(bytes.fromhex(run.translate(None, b" :,").decode()))


def _printable(decoded: bytes) -> str:
    """As text; bytes that are none become spaces, so that what stands between them can be read."""
    return decoded.decode("utf-8", "replace").replace("\ufffd", " ")


def runs(parts: Sequence[Part]) -> list[list[int]]:
    """Parts whose texts a reader would take as one: blocks of one speaker, and parts that break off inside a word."""
    found: list[list[int]] = []
    last: Part | None = None
    for number, part in enumerate(parts):
        if part.kind not in ("text", "tool_result") or not part.text:
            continue
        if last is not None and (last.role == part.role or (last.text[-1] in WORD and part.text[0] in WORD)):
            found[-1].append(number)
        else:
            found.append([number])
        last = part
    return [run for run in found if len(run) > 1]


def joints(texts: Sequence[str], runs: Sequence[Sequence[int]]) -> Iterator[View]:
    """For each run of texts that follow one another: what stands at their joints, without a separator."""
    for run in runs:
        pieces: list[_Cut] = []
        for number in run:
            text = texts[number]
            if len(text) <= 2 * EDGE:
                pieces.append(_Cut(text, number, 0))
            else:
                pieces += [
                    _Cut(text[:EDGE], number, 0, ends=True),
                    _Cut("\n", -1, 0),
                    _Cut(text[-EDGE:], number, len(text) - EDGE, begins=True),
                ]
        yield View("".join(piece.text for piece in pieces), _joined_back(pieces))


class _Cut(NamedTuple):
    """A piece of text `number` from `at` on; where it `begins` or `ends` inside of that text, what touches the edge is no finding."""

    text: str
    number: int
    at: int
    begins: bool = False
    ends: bool = False


def _joined_back(pieces: Sequence[_Cut]) -> Back:
    bounds = list(accumulate((len(piece.text) for piece in pieces), initial=0))

    def back(start: int, end: int) -> list[Place]:
        places = []
        for index in range(bisect_right(bounds, start) - 1, len(pieces)):
            if bounds[index] >= end:
                break
            piece = pieces[index]
            first, last = max(start, bounds[index]) - bounds[index], min(end, bounds[index + 1]) - bounds[index]
            if piece.number < 0 or (piece.begins and first == 0) or (piece.ends and last == len(piece.text)):
                return []
            if first < last:
                places.append((piece.number, piece.at + first, piece.at + last))
        return places

    return back
