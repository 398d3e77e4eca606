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
from rules.patterns import CONTINUATION, Regex, compile_regex

MAX_DEPTH = 2  # a view of a view, and no further
MAX_RUNS = 2_000  # encoded runs that are decoded in one text
MAX_TOKENS = (
    20_000  # of a view that are followed back one by one; beyond them a finding covers the whole text
)
MAX_FOLDED = 200_000  # characters whose plain form is kept
JOINED = 16  # parts whose joints are looked at together; the last four once more with the next
EDGE = 128  # characters on each side of a joint
WORD = frozenset(string.ascii_letters + string.digits + "+/_-=")

Place = tuple[int, int, int]  # text, start, end
Back = Callable[[int, int], list[Place]]

CONTROLS = "\x00-\x08\x0b\x0e-\x1f\x7f"
HIDDEN = (
    "\x80-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0"
    "\u0600-\u0605\u06dd\u2028\u2029\u2800\ufff9-\ufffb\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
OTHER_LETTERS = "\u0370-\u03ff\u0400-\u052f\u0531-\u0587"
STYLED = (
    "\uff10-\uff19\uff21-\uff3a\uff41-\uff5a\u2100-\u2189\u2460-\u24ff\u1d00-\u1d2b\u0131\u0251\u0261\u0269\u026a\u0280"
    "\U0001d400-\U0001d7ff\U0001f130-\U0001f189"
)

# Letters of other scripts that look like ASCII ones (Unicode Technical Standard 39), where NFKC does not say so.
_ALIKE = (
    "АA ВB СC ЕE НH ІI ЈJ КK МM ОO РP ЅS ТT ХX УY ҮY аa сc ԁd еe һh іi јj кk ӏl мm оo рp ԛq ѕs тt уy ѵv ԝw хx "
    "ΑA ΒB ΕE ΖZ ΗH ΙI ΚK ΜM ΝN ΟO ΡP ΤT ΥY ΧX αa γy ιi κk νv οo ρp τt υu χx ϲc ϳj օo սu հh ոn ցg ՕO ՏS "
    "ᴀa ᴄc ᴅd ᴇe ᴊj ᴋk ᴍm ᴏo ᴘp ᴛt ᴜu ᴠv ᴡw ᴢz ʀr ɪi ɡg ıi ɩi ɑa"
)
LOOKALIKES = {pair[0]: pair[1] for pair in _ALIKE.split()}


def _in_re2(characters: str) -> str:
    """A class of characters as RE2 and hyperscan both write it."""
    return "".join(
        character if character == "-" else f"\\x{{{ord(character):x}}}" for character in characters
    )


# Base64 of printable ASCII shows in which characters may follow which; hex of it in its first digits.
_BASE64_DIGITS = r"(?:[MNO][DTjz][AEIMQUYcgk][w-z0-5]){2}"
BASE64_TEXT = (
    _BASE64_DIGITS + r"|(?:[CI-Za-f][C-HS-Xi-ny-z0-3][ABEFIJMNQRUVYZcdghklopstwx014589][A-Za-z0-9+/_-]){4}"
)
HEX_TEXT = r"(?:[2-7][0-9a-fA-F]){8}"
HEX_PAIRS = r"(?:[2-7][0-9a-fA-F][ :,]){7}[2-7][0-9a-fA-F]"
_LOOKS = _in_re2("".join(character for character in LOOKALIKES if re.match(f"[{OTHER_LETTERS}]", character)))
# What trips a wire: in the one pass over everything; only where a text is not ASCII; only where a certain character stands.
TRIPWIRES = {"base64": BASE64_TEXT, "hex": HEX_TEXT, "pairs": HEX_PAIRS, "control": f"[{_in_re2(CONTROLS)}]"}
WIRES_BEYOND_ASCII = {
    "hidden": f"[{_in_re2(HIDDEN)}]",
    "styled": f"[{_in_re2(STYLED)}]",
    "letter": f"[{_LOOKS}]",
}
MIXED = f"[A-Za-z0-9][-._]?[{_LOOKS}]|[{_LOOKS}][-._]?[A-Za-z0-9]|[{_LOOKS}]{{3}}"  # asked only where such a letter stands
WIRES_OF_CHARACTERS = {
    "escape": re.compile(rb"\\(?:[nrtbf][0-9A-Za-z_]|u00[2-7][0-9A-Fa-f]|x[2-7][0-9A-Fa-f]|/)"),
    "percent": re.compile(rb"%[2-7][0-9A-Fa-f]"),
}

_HIDDEN = re.compile(f"[{CONTROLS}{HIDDEN}\u0640\u064b-\u0652]+")
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


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """A reading of text number `of` (or, at joints, of several): `back` leads from a span of `text` to places in the originals."""

    text: str
    back: Back
    depth: int = 0


def plain(number: int, text: str) -> View:
    """A text as it is."""
    return View(text, lambda start, end: [(number, start, end)])


def unhide(view: View, tripped: frozenset[str], into: list[View]) -> bool:
    """Add what a text shows when looked at in the other ways that were tripped. True where more was encoded than was decoded."""
    text, much = view.text, False
    if tripped & {"hidden", "styled", "lookalike", "control"}:
        # Two readings: words of other scripts as they are, for those that are looked for in them; and letters for what they look like.
        others = set(text) - PLAIN
        hidden = [character for character in others if _HIDDEN.match(character)]
        known = {text}
        for folding in (_style, _looks) if others else ():
            shown = _replaced(text, others, folding)
            shown = _without(shown, hidden)
            if shown not in known:
                known.add(shown)
                into.append(
                    _deeper(
                        view,
                        shown,
                        lambda: ((found.start(), found.end(), 0) for found in _HIDDEN.finditer(text)),
                    )
                )
    if "escape" in tripped and _ESCAPED.search(text):
        shown, over = _without_escapes(text)
        much |= over
        into.append(
            _deeper(
                view, shown, lambda: ((found.start(), found.end(), 1) for found in _ESCAPE.finditer(text))
            )
        )
    if "percent" in tripped and _PERCENT.search(text):
        shown, over = _without_percent(text)
        much |= over
        into.append(
            _deeper(
                view, shown, lambda: ((found.start(), found.end(), 1) for found in _PERCENT.finditer(text))
            )
        )
    data = text.encode("utf-8", "replace") if tripped & _DECODERS.keys() else b""
    for name in _DECODERS.keys() & tripped:
        much |= _decode_runs(view, data, *_DECODERS[name], into)
    return much


def _deeper(view: View, shown: str, tokens: Callable[[], Iterator[tuple[int, int, int]]]) -> View:
    """A view in which each token (start, end) of the outer text has shrunk to so many characters; followed back only when needed."""
    starts: list[
        int
    ] = []  # in the view, where a stretch begins that is as far from its original as `shifts` says
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
        if len(self) > MAX_FOLDED:
            return like if len(like) == 1 and like.isascii() else character
        self[code] = like if len(like) == 1 and like.isascii() else character
        return self[code]


PLAIN = frozenset(string.printable) - {"\x0b"}
_style, _looks = (
    _Folding({}),
    _Folding(LOOKALIKES),
)  # full-width and mathematical characters; and letters that look like ASCII ones, too


def _replaced(text: str, others: set[str], folding: _Folding) -> str:
    """The `others` in a text replaced one for one, so that places stay what they are."""
    replaced = {character: like for character in others if (like := folding[ord(character)]) != character}
    if len(replaced) > 64:
        return text.translate(folding)
    for character, like in replaced.items():
        text = text.replace(character, like)
    return text


def _without(text: str, hidden: Sequence[str]) -> str:
    """The text without these characters."""
    if len(hidden) > 32:
        return _HIDDEN.sub("", text)
    for character in hidden:
        text = text.replace(character, "")
    return text


def _without_escapes(text: str) -> tuple[str, bool]:
    shown = text.replace("\\\\", "\0")
    for escape, meant in _SIMPLE.items():
        shown = shown.replace(escape, meant)
    shown, count = _ESCAPED_CODE.subn(lambda found: chr(int(found[1], 16)), shown, count=MAX_RUNS)
    return shown.replace("\0", "\\"), count == MAX_RUNS


def _without_percent(text: str) -> tuple[str, bool]:
    shown, count = _PERCENT_RUN.subn(
        lambda found: bytes.fromhex(found[0].replace("%", "")).decode("ascii"), text, count=MAX_RUNS
    )
    return shown, count == MAX_RUNS


def _decode_runs(
    view: View,
    data: bytes,
    clue: Regex,
    mask: bytes,
    width: int,
    decode: Callable[[bytes], bytes],
    into: list[View],
) -> bool:
    """Encoded runs that hold text, each a view; a finding in one is a finding of the whole run.

    A run is decoded from each place at which a group of `width` characters may begin (0: where its clue stands), and what is text
    of these is kept.
    """
    masked = b""
    end = at = characters = runs = 0
    while (found := clue.search(data, end)) is not None:
        here = found.start()
        masked = masked or data.translate(mask)
        start = masked.rfind(b"0", end, here) + 1 or end
        end = masked.find(b"0", here)
        end = len(data) if end < 0 else end
        if not width:  # from the first pair before the clue to the last one
            start = _first_pair(data, start, here)
            pairs = _PAIRS.match(data, start)
            end = pairs.end() if pairs else end
        runs += 1
        if runs > MAX_RUNS:
            return True
        characters += len(data[at:start].translate(None, CONTINUATION))
        at = start
        run = data[start:end].translate(None, _LINE_ENDS) if width else data[start:end]
        padding = data[end : end + 2]
        last = characters + end - start + len(padding) - len(padding.lstrip(b"="))
        for skip in range(width or 1):
            decoded = decode(run[skip:])
            shown = _readable(decoded)
            if shown:
                into.append(View(shown, _whole(view, characters, last), view.depth + 1))
                if len(run) > LONG and b"0" not in decoded.translate(_PRINTABLE):
                    break  # all of it is text, so this is how it was encoded
    return False


def _first_pair(data: bytes, start: int, here: int) -> int:
    """Where the pairs of hexadecimal digits begin that lead up to `here`, not before `start`."""
    at = here
    while (
        at - 3 >= start
        and data[at - 3] in _HEX_DIGITS
        and data[at - 2] in _HEX_DIGITS
        and data[at - 1] in SEPARATORS
    ):
        at -= 3
    return at + 3 if start < at < here and data[at - 1] in _HEX_DIGITS else at


def _whole(view: View, first: int, last: int) -> Back:
    return lambda start, end: view.back(first, last)


def _mask(characters: bytes) -> bytes:
    """A table that makes a 1 of these characters and of line ends, and a 0 of all others."""
    return bytes(ord("1") if byte in characters or byte in _LINE_ENDS else ord("0") for byte in range(256))


def _base64(run: bytes) -> bytes:
    run = run[:-1] if len(run) % 4 == 1 else run  # a left-over character says nothing
    return base64.b64decode(run.translate(_STANDARD) + b"=" * (-len(run) % 4))


def _hex(run: bytes) -> bytes:
    return binascii.unhexlify(run[: len(run) // 2 * 2])


def _pairs(run: bytes) -> bytes:
    found = _PAIRS.match(run)
    return bytes.fromhex(found[0].translate(None, SEPARATORS).decode()) if found else b""


def _readable(decoded: bytes) -> str:
    """Bytes as text, or nothing where they are none; what is no text between text becomes spaces."""
    shown = decoded.decode("utf-8", "replace")
    if "\ufffd" not in shown.strip("\ufffd") or (
        _IN_SHORT if len(shown) <= SHORT else _IN_LONG
    ) in decoded.translate(_PRINTABLE):
        return shown.replace("\ufffd", " ")
    return ""


SEPARATORS = b" :,"
_LINE_ENDS = b"\r\n"
SHORT = 64  # characters; of longer ones more must be readable in a row, since chance makes some
LONG = 256  # bytes; a longer run that decodes to nothing but text is decoded at no other place
_IN_SHORT, _IN_LONG = b"1" * 6, b"1" * 16
_PRINTABLE = bytes(ord("1") if chr(byte) in string.printable else ord("0") for byte in range(256))
_STANDARD = bytes.maketrans(b"-_", b"+/")
_HEX_DIGITS = string.hexdigits.encode()
_PAIRS = re.compile(rb"(?:[0-9a-fA-F]{2}[ :,])*[0-9a-fA-F]{2}")
_DECODERS = {
    "base64": (
        compile_regex(BASE64_TEXT),
        _mask((string.ascii_letters + string.digits + "+/-_").encode()),
        4,
        _base64,
    ),
    "hex": (compile_regex(HEX_TEXT), _mask(_HEX_DIGITS), 2, _hex),
    "pairs": (compile_regex(HEX_PAIRS), _mask(_HEX_DIGITS + SEPARATORS), 0, _pairs),
}


def runs(parts: Sequence[Part]) -> list[list[int]]:
    """Parts whose texts a reader would take as one: blocks of one speaker, and parts that break off inside a word."""
    found: list[list[int]] = []
    speaker, end, last = "", "", 0
    for number, (text, role, kind, *_) in enumerate(parts):
        if not text or kind not in ("text", "tool_result"):
            continue
        if speaker == role or (end in WORD and text[0] in WORD):
            if not found or found[-1][-1] != last:
                found.append([last])
            found[-1].append(number)
        speaker, end, last = role, text[-1], number
    return found


def joints(texts: Sequence[str], runs: Sequence[Sequence[int]]) -> Iterator[View]:
    """For each run of texts that follow one another: what stands at their joints, without a separator."""
    for run in (
        whole[at : at + JOINED] for whole in runs for at in range(0, max(1, len(whole) - 1), JOINED - 4)
    ):
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
            first, last = (
                max(start, bounds[index]) - bounds[index],
                min(end, bounds[index + 1]) - bounds[index],
            )
            if piece.number < 0 or (piece.begins and first == 0) or (piece.ends and last == len(piece.text)):
                return []
            if first < last:
                places.append((piece.number, piece.at + first, piece.at + last))
        return places

    return back
