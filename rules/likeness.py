"""Says how much a text reads like an attempt to talk a model out of its task: a number from 0 to 1, and never proof.

A model knows 110,000 groups of words, each with a weight that was learnt from examples (`make train`). It adds up
the weights of those that stand close together. A text without any of its `signs`, words one of which stands in nearly every
attack, is not weighed at all: rules find the signs in the pass over everything, and weigh what stands around them.

Total, in time that grows with the text alone.
"""

import math
import re
import struct
import unicodedata
from array import array
from collections.abc import Iterator, Sequence
from functools import cache
from importlib import resources
from itertools import accumulate
from typing import NamedTuple, Self
from zlib import crc32

MODELS = ("injection",)
MAGIC = b"EFI3"
HEADER = struct.Struct("<4sIIHHH2xfffff")
LONGEST = 200_000  # characters that are weighed of one text: its beginning and its end
MAX_WORD = 40  # characters of a word that count
STEM = 5  # letters that words of one family share, more or less
# Characters around a sign that are weighed: what a window holds, on each side.
AROUND = 260
# Characters beside a sign, of which the groups tell whether the rest needs to be weighed: half a dozen words on each side.
BESIDE = 40
# Steps of weight that one word's groups have together beside a sign in nearly every attack, and beside few of the signs
# in harmless texts (docs/injection.md).
TELLING = 30

# Marks that fonts set above and below letters, and the Arabic stretching line.
_MARKS = re.compile("[\u0300-\u036f\u0640\u064b-\u065f\u0670]+")
_DIGITS = re.compile(r"\d+")
# Scripts without spaces are read letter by letter. Question marks tell questions from orders.
_WORD = re.compile(r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff]|[^\W_]+|[?\u061f\uff1f]")
_ARABIC = re.compile(
    "^(?:[\u0648\u0641]?(?:\u0627\u0644|\u0628\u0627\u0644|\u0644\u0644|\u0643\u0627\u0644)"
    "|[\u0648\u0641\u0628\u0644\u0643])(?=.{3})"
)
_PAIR, _SKIP, _EXACT, _THREE = (crc32(name) for name in (b"2", b"s", b"x", b"3"))
Groups = tuple[int, int, int, int]


def words(text: str) -> list[str]:
    """The words of a text in their plainest form: small letters, no accents, every number the same."""
    text = text.casefold()
    if not text.isascii():
        text = _MARKS.sub("", unicodedata.normalize("NFKD", text))
    return _WORD.findall(_DIGITS.sub("0", text))


def groups(found: Sequence[str], window: int) -> Iterator[Groups | None]:
    """For each word: the groups that it ends. None where the same window has had its three words already.

    Groups and not single words: which language a text is in must not count.
    """
    seen: dict[int, int] = {}
    last = before = last_exact = b""
    for at, word in enumerate(found):
        exact = word[:MAX_WORD].encode("utf-8", "surrogatepass")
        stem = exact[:STEM] if word.isascii() else _stem(word)
        three = crc32(stem, crc32(last, crc32(before, _THREE)))
        if at - seen.get(three, -window) < window:
            yield None
        else:
            yield (
                crc32(stem, crc32(last, _PAIR)),
                crc32(stem, crc32(before, _SKIP)),
                crc32(exact, crc32(last_exact, _EXACT)),
                three,
            )
        seen[three] = at
        before, last, last_exact = last, stem, exact


def _stem(word: str) -> bytes:
    if "\u0600" <= word[0] <= "\u06ff":
        word = _ARABIC.sub("", word)
    return word[:STEM].encode("utf-8", "surrogatepass")


class Scale(NamedTuple):
    """How sums of weights become a score."""

    window: int  # words that are looked at together
    stride: int
    floor: int  # shorter texts are weighed as if they had that number of words
    unit: float  # what one step of a stored weight is worth
    bias: float
    middle: float  # the sum at which the score is one half
    slope: float
    rise: float  # how much higher the bar is where there are e times as many windows


class Scorer:
    """A learnt model. `signs` is the regex of its signs."""

    def __init__(self, weights: dict[int, int], scale: Scale, signs: str):
        self.weights, self.scale, self.signs = weights, scale, signs
        # Dividing by the root keeps long windows from winning by their length.
        self._parts = [
            scale.unit / math.sqrt(max(size, scale.floor))
            for size in range(scale.window + 1)
        ]

    @classmethod
    def load(cls, data: bytes) -> Self:
        """From the bytes of a model's file. Raises ValueError."""
        if len(data) < HEADER.size:
            raise ValueError("not a model: too short")
        magic, count, signs, *numbers = HEADER.unpack_from(data)
        end = HEADER.size + 5 * count
        if magic != MAGIC or len(data) != end + signs or not all(numbers[:3]):
            raise ValueError("not a model, or cut short")
        hashes = struct.unpack_from(f"<{count}I", data, HEADER.size)
        weights = array("b", data[HEADER.size + 4 * count : end])
        known = dict(zip(hashes, weights, strict=True))
        return cls(known, Scale(*numbers), data[end:].decode())

    def score(self, text: str) -> float:
        """From 0 to 1, for the most suspicious stretch of the text."""
        return self.confidence(self.best(text)[0])

    def confidence(self, margin: float) -> float:
        """A sum of weights as a number from 0 to 1."""
        scale = self.scale
        steep = scale.slope * (margin - scale.middle)
        return 1 / (1 + math.exp(-max(-50.0, min(50.0, steep))))

    def tells(self, text: str) -> bool:
        """Whether a word in what stands beside a sign is one that attacks have there."""
        return max(self._worth(words(text)), default=0) >= TELLING

    def _worth(self, found: Sequence[str]) -> Iterator[int]:
        """What each word's groups weigh together, in steps."""
        get = self.weights.get
        for each in groups(found, self.scale.window):
            if each:
                yield (
                    get(each[0], 0)
                    + get(each[1], 0)
                    + get(each[2], 0)
                    + get(each[3], 0)
                )
            else:
                yield 0

    def best(self, text: str) -> tuple[float, int]:
        """The highest sum of weights, less the more windows there are, each of which is a chance
        to be wrong; and at which word its window begins.
        """
        if len(text) > LONGEST:
            text = f"{text[: LONGEST // 2]} {text[-LONGEST // 2 :]}"
        found = words(text)
        sums = [0, *accumulate(self._worth(found))]
        size, bias = self.scale.window, self.scale.bias
        if len(found) <= size:
            return bias + self._parts[len(found)] * sums[-1], 0
        starts = [*range(0, len(found) - size, self.scale.stride), len(found) - size]
        highest, start = max((sums[at + size] - sums[at], -at) for at in starts)
        more = self.scale.rise * math.log(len(starts))
        return bias + self._parts[size] * highest - more, -start


@cache
def model(name: str) -> Scorer:
    """The shipped model of this name, one of MODELS."""
    return Scorer.load(resources.files("rules").joinpath(f"{name}.model").read_bytes())
