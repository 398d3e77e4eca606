"""Runs of digits that encode text (base64, base32, hexadecimal): found, decoded, and given as views.

A run is decoded from every position at which a group of its digits may begin, since nobody says
where it starts; what is text of these is kept. A finding in a decoded run covers the digits that encode
it, or the whole run where its characters are not its bytes.
"""

import base64
import binascii
import re
import string
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import cached_property, partial
from itertools import accumulate
from typing import NamedTuple

from rules.patterns import CONTINUATION, Regex, compile_regex
from rules.views import Place, View, covering

# Encoded runs of one text that hold text; more is `hidden`. Hashes and images hold none.
MAX_RUNS = 2_000

# Base64 of printable ASCII shows in which characters may follow which; hex of it in its first
# digits. UTF-16, as shells take it, has zeros between.
_BASE64_DIGITS = r"(?:[MNO][DTjz][AEIMQUYcgk][w-z0-5]){2}"
_GROUP = r"[CI-Za-f][C-HS-Xi-ny-z0-3][ABEFIJMNQRUVYZcdghklopstwx014589][A-Za-z0-9+/_-]"
_OF_UTF_16 = r"A[C-H][AEIMQUYcgkosw048]A"
BASE64_TEXT = (
    _BASE64_DIGITS
    + rf"|(?:{_GROUP}){{4}}"
    + rf"|{_OF_UTF_16}[I-Za-f][AQgw][AB][A-Za-z0-9+/_-]{_OF_UTF_16}"
)
# The same in groups of four digits; longer groups would double what all patterns cost together.
GROUPED_TEXT = rf"(?:{_GROUP} ){{3}}{_GROUP}"
# Eight printable characters at least: hashes and ids have other digits among them.
HEX_TEXT = r"(?:[2-7][0-9a-fA-F]){8}|(?:[2-7][0-9a-fA-F]00){6}"
HEX_PAIRS = r"(?:[2-7][0-9a-fA-F][ :,-]){7}[2-7][0-9a-fA-F]"
HEX_CODES = r"(?:0[xX][2-7][0-9a-fA-F][ \t]?[,;: ][ \t]?){7}"
# Five bytes are eight digits of base32; the upper bits of letters show in them.
_BASE32 = "[E-P][ABEFIJMNQRUVYZ45][A-Z2-7][C-HS-X][ACEGIKMOQSUWY246][I-Z2-7][BCDJKLRSTZ23][A-Z2-7]"
BASE32_TEXT = rf"(?:{_BASE32}){{2}}|(?:{re.sub('[A-Z]', lambda of: of[0].lower(), _BASE32)}){{2}}"  # fmt: skip
ENCODED = {
    "base64": BASE64_TEXT,
    "grouped": GROUPED_TEXT,
    "hex": HEX_TEXT,
    "pairs": HEX_PAIRS,
    "codes": HEX_CODES,
    "base32": BASE32_TEXT,
}
_LINE_ENDS = b"\r\n"
# characters. Of a longer text, more must be readable in a row: chance makes some.
SHORT = 64
# bytes. A longer run that decodes to text alone is decoded at no other position.
LONG = 256
_IN_SHORT, _IN_LONG = b"1" * 6, b"1" * 16
_PRINTABLE = bytes(
    ord("1") if chr(byte) in string.printable else ord("0") for byte in range(256)
)
_UNREAD = re.compile("[\udc80-\udcff]")  # bytes that are no UTF-8
_STANDARD = bytes.maketrans(b"-_", b"+/")
_HEX_DIGITS = string.hexdigits.encode()
_PAIRS = re.compile(
    rb"(?:(?:0[xX])?[0-9a-fA-F]{2}[ \t]?[ :,;-][ \t]?){7,}(?:(?:0[xX])?[0-9a-fA-F]{2})?"
)
_PAIR = re.compile(rb"(?:0[xX])?([0-9a-fA-F]{2})")
# Base64 in groups of four digits, or more, and in lines with something before them: blanks,
# marks of quotes and comments, the quotes of strings that a program joins.
_NEXT_LINE = rb"(?:[\"'][ \t]*+[+\\,]?|\\)?[ \t]*+\r?\n[ \t>#*|]*[\"']?"
_BLOCK = re.compile(
    rb"(?<![A-Za-z0-9+/_-])(?:(?:(?:[A-Za-z0-9+/_-]{4})++[ \t]{1,2}+|[A-Za-z0-9+/_-]{16,}+"
    + _NEXT_LINE
    + rb")(?=[A-Za-z0-9+/_-]))+[A-Za-z0-9+/_-]{2,}+"
)
_GAP = re.compile(_NEXT_LINE + rb"|[ \t]+")
_LEAST = 16  # digits of a block


class Kind(NamedTuple):
    """Encoded runs of a kind: the wires that tell of them, where they are, their digits
    without what stands between, the size of a group of these, and the bytes they mean.
    `bits` are those of a digit; 0 where digits are not what they seem.
    """

    wires: frozenset[str]
    find: Callable[[bytes], Iterable[tuple[int, int]]]
    digits: Callable[[bytes], bytes]
    width: int
    decode: Callable[[bytes], bytes]
    bits: int = 0


def decode(view: View, data: bytes, tripped: Collection[str], into: list[View]) -> bool:
    """Add a view for each encoded run that holds text; True where there are too many
    runs.
    """
    much = False
    for kind in KINDS:
        if not kind.wires.isdisjoint(tripped):
            much |= _decode_runs(view, data, kind, into)
    return much


def _decode_runs(view: View, data: bytes, kind: Kind, into: list[View]) -> bool:
    at = characters = count = 0
    for start, end in kind.find(data):
        if count >= MAX_RUNS:
            return True
        before = len(into)
        characters += len(data[at:start].translate(None, CONTINUATION))
        raw = data[start:end]
        at, run = start, kind.digits(raw)
        padding = data[end : end + kind.width]
        last = characters + end - start + len(padding) - len(padding.lstrip(b"="))
        for skip in range(kind.width):
            decoded = kind.decode(run[skip:])
            shown, read = _readable(decoded)
            if shown:
                back = covering(view, characters, last)
                if kind.bits and read is decoded:
                    digits = Digits(raw, run, decoded, skip, kind.bits)
                    back = partial(_back, view, characters, last, digits)
                into.append(View(shown, back, view.depth + 1))
                if len(run) > LONG and b"0" not in decoded.translate(_PRINTABLE):
                    break  # all of it is text, so this is the right position
        count += len(into) > before
    return False


class Digits:
    """A run as it stands, with its digits alone, and the characters that it encodes."""

    def __init__(self, raw: bytes, run: bytes, decoded: bytes, skip: int, bits: int):
        """Digits of `bits` each are read from `skip` on."""
        self.raw, self._run, self._decoded = raw, run, decoded
        self._skip, self._bits = skip, bits

    @cached_property
    def _places(self) -> Sequence[int]:
        """Where each digit stands: line ends and the like are between them."""
        if len(self.raw) == len(self._run):
            return range(len(self.raw))
        places, place = [], -1
        for digit in self._run:
            place = self.raw.index(digit, place + 1)
            places.append(place)
        return places

    @cached_property
    def _begins(self) -> Sequence[int]:
        """At which byte each character begins, and the last one ends."""
        if self._decoded.isascii():
            return range(len(self._decoded) + 1)
        text = self._decoded.decode("utf-8", "surrogateescape")
        sizes = (len(one.encode("utf-8", "surrogateescape")) for one in text)
        return [0, *accumulate(sizes)]

    def of(self, start: int, end: int) -> tuple[int, int]:
        """Where the digits stand that encode these characters, and end."""
        first = self._begins[start] * 8 // self._bits
        last = -(-self._begins[end] * 8 // self._bits) - 1
        places = self._places
        return places[self._skip + first], places[self._skip + last] + 1


def _back(
    view: View, at: int, last: int, digits: Digits, start: int, end: int
) -> list[Place]:
    """The places of the digits that encode these characters, of a run that begins at `at` and ends, with padding, at `last`."""
    first, beyond = digits.of(start, end)
    return view.back(at + first, last if beyond >= len(digits.raw) else at + beyond)


def _runs(clue: Regex, mask: bytes, data: bytes) -> Iterator[tuple[int, int]]:
    """Start and end of each run of digits that has a clue; line ends stand inside."""
    end, masked = 0, b""
    while (found := clue.search(data, end)) is not None:
        masked = masked or data.translate(mask)
        here = found.start()
        start = masked.rfind(b"0", end, here) + 1 or end
        end = masked.find(b"0", here)
        end = len(data) if end < 0 else end
        yield start, end


def _blocks(data: bytes) -> Iterator[tuple[int, int]]:
    for found in _BLOCK.finditer(data):
        if len(found[0]) >= _LEAST:
            yield found.span()


def _matches(regex: re.Pattern[bytes], data: bytes) -> Iterator[tuple[int, int]]:
    return (found.span() for found in regex.finditer(data))


def _mask(characters: bytes) -> bytes:
    """A table that maps these bytes and line ends to 1, all others to 0."""
    return bytes(
        ord("1") if byte in characters or byte in _LINE_ENDS else ord("0")
        for byte in range(256)
    )


def _base64(run: bytes) -> bytes:
    run = run[:-1] if len(run) % 4 == 1 else run  # a single digit is no byte
    return base64.b64decode(run.translate(_STANDARD) + b"=" * (-len(run) % 4))


def _base32(run: bytes) -> bytes:
    # One, three or six digits are no whole bytes.
    run = run[:-1] if len(run) % 8 in (1, 3, 6) else run
    return base64.b32decode(run.upper() + b"=" * (-len(run) % 8))


def _hex(run: bytes) -> bytes:
    return binascii.unhexlify(run[: len(run) // 2 * 2])


def _of_pairs(run: bytes) -> bytes:
    return b"".join(_PAIR.findall(run))


def _without_line_ends(run: bytes) -> bytes:
    return run.translate(None, _LINE_ENDS)


def _readable(decoded: bytes) -> tuple[str, bytes]:
    """Bytes as text, empty where they are none; and which bytes were read for it.

    Unreadable bytes between text become spaces. Every other byte is zero in UTF-16.
    """
    if decoded.count(0) * 3 >= len(decoded):
        decoded = decoded.replace(b"\0", b"")
    shown = _UNREAD.sub("\ufffd", decoded.decode("utf-8", "surrogateescape"))
    if "\ufffd" not in shown.strip("\ufffd") or (
        _IN_SHORT if len(shown) <= SHORT else _IN_LONG
    ) in decoded.translate(_PRINTABLE):
        return shown.replace("\ufffd", " "), decoded
    return "", decoded


_BASE64_MASK = _mask((string.ascii_letters + string.digits + "+/-_").encode())
_BASE32_MASK = _mask((string.ascii_letters + "234567").encode())


def _kind(
    wire: str,
    clue: str,
    mask: bytes,
    width: int,
    decode: Callable[[bytes], bytes],
    bits: int,
) -> Kind:
    find = partial(_runs, compile_regex(clue), mask)
    return Kind(frozenset([wire]), find, _without_line_ends, width, decode, bits)


KINDS = (
    _kind("base64", BASE64_TEXT, _BASE64_MASK, 4, _base64, 6),
    _kind("hex", HEX_TEXT, _mask(_HEX_DIGITS), 2, _hex, 4),
    _kind("base32", BASE32_TEXT, _BASE32_MASK, 8, _base32, 5),
    Kind(frozenset(["base64", "grouped"]), _blocks, partial(_GAP.sub, b""), 4, _base64, 6),
    Kind(frozenset(["pairs", "codes"]), partial(_matches, _PAIRS), _of_pairs, 1, binascii.unhexlify),
)  # fmt: skip
