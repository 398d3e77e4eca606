"""Runs of base64 and hexadecimal digits that encode text: found, decoded, and given as views.

A run is decoded from every position at which a group of its digits may begin, since nobody says
where it starts; what is text of these is kept. A finding in a decoded run covers the whole run.
"""

import base64
import binascii
import re
import string
from collections.abc import Callable

from rules.patterns import CONTINUATION, Regex, compile_regex
from rules.views import View, covering

MAX_RUNS = 2_000  # encoded runs of one text that are decoded; more is `hidden`

# Base64 of printable ASCII shows in which characters may follow which; hex of it in its first
# digits.
_BASE64_DIGITS = r"(?:[MNO][DTjz][AEIMQUYcgk][w-z0-5]){2}"
BASE64_TEXT = (
    _BASE64_DIGITS
    + r"|(?:[CI-Za-f][C-HS-Xi-ny-z0-3][ABEFIJMNQRUVYZcdghklopstwx014589][A-Za-z0-9+/_-]){4}"
)
# Eight printable characters at least: hashes and ids have other digits among them.
HEX_TEXT = r"(?:[2-7][0-9a-fA-F]){8}"
HEX_PAIRS = r"(?:[2-7][0-9a-fA-F][ :,]){7}[2-7][0-9a-fA-F]"
SEPARATORS = b" :,"
_LINE_ENDS = b"\r\n"
# characters. Of a longer text, more must be readable in a row: chance makes some.
SHORT = 64
# bytes. A longer run that decodes to text alone is decoded at no other position.
LONG = 256
_IN_SHORT, _IN_LONG = b"1" * 6, b"1" * 16
_PRINTABLE = bytes(
    ord("1") if chr(byte) in string.printable else ord("0") for byte in range(256)
)
_STANDARD = bytes.maketrans(b"-_", b"+/")
_HEX_DIGITS = string.hexdigits.encode()
_PAIRS = re.compile(rb"(?:[0-9a-fA-F]{2}[ :,])*[0-9a-fA-F]{2}")


def decode_runs(
    view: View,
    data: bytes,
    clue: Regex,
    mask: bytes,
    width: int,
    decode: Callable[[bytes], bytes],
    into: list[View],
) -> bool:
    """Add a view for each encoded run that holds text; True where there are too many
    runs.

    `width` is the size of a group of digits; 0 where the run starts at its clue.
    """
    masked = b""
    end = at = characters = runs = 0
    while (found := clue.search(data, end)) is not None:
        here = found.start()
        masked = masked or data.translate(mask)
        start = masked.rfind(b"0", end, here) + 1 or end
        end = masked.find(b"0", here)
        end = len(data) if end < 0 else end
        if not width:  # from the first pair before the clue
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
                into.append(
                    View(shown, covering(view, characters, last), view.depth + 1)
                )
                if len(run) > LONG and b"0" not in decoded.translate(_PRINTABLE):
                    break  # all of it is text, so this is the right position
    return False


def _first_pair(data: bytes, start: int, here: int) -> int:
    """Where the pairs of hexadecimal digits begin that lead up to `here`, from `start`
    on.
    """
    at = here
    while (
        at - 3 >= start
        and data[at - 3] in _HEX_DIGITS
        and data[at - 2] in _HEX_DIGITS
        and data[at - 1] in SEPARATORS
    ):
        at -= 3
    return at + 3 if start < at < here and data[at - 1] in _HEX_DIGITS else at


def _mask(characters: bytes) -> bytes:
    """A table that maps these bytes and line ends to 1, all others to 0."""
    return bytes(
        ord("1") if byte in characters or byte in _LINE_ENDS else ord("0")
        for byte in range(256)
    )


def _base64(run: bytes) -> bytes:
    run = run[:-1] if len(run) % 4 == 1 else run  # a single digit is no byte
    return base64.b64decode(run.translate(_STANDARD) + b"=" * (-len(run) % 4))


def _hex(run: bytes) -> bytes:
    return binascii.unhexlify(run[: len(run) // 2 * 2])


def _pairs(run: bytes) -> bytes:
    found = _PAIRS.match(run)
    return (
        bytes.fromhex(found[0].translate(None, SEPARATORS).decode()) if found else b""
    )


def _readable(decoded: bytes) -> str:
    """Bytes as text; empty where they are none.

    Unreadable bytes between text become spaces.
    """
    shown = decoded.decode("utf-8", "replace")
    if "\ufffd" not in shown.strip("\ufffd") or (
        _IN_SHORT if len(shown) <= SHORT else _IN_LONG
    ) in decoded.translate(_PRINTABLE):
        return shown.replace("\ufffd", " ")
    return ""


# The name of a tripwire -> its clue, the digits of its runs, the width of a group, the decoder.
DECODERS = {
    "base64": (
        compile_regex(BASE64_TEXT),
        _mask((string.ascii_letters + string.digits + "+/-_").encode()),
        4,
        _base64,
    ),
    "hex": (compile_regex(HEX_TEXT), _mask(_HEX_DIGITS), 2, _hex),
    "pairs": (compile_regex(HEX_PAIRS), _mask(_HEX_DIGITS + SEPARATORS), 0, _pairs),
}
