"""Inputs that are nearly right: what real formats look like, with bytes turned, lost, doubled, and pieces of one in another."""

from collections.abc import Iterator, Sequence
from random import Random

WORDS = [b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"\n", b"\r\n", b"\r", b"\n\n", b"data: ", b"event: x\n", b"null", b"true", b"1e999",
         b"\\ud800", b"\xff", b"\x00", b"\xef\xbb\xbf", b"[DONE]", b'"index":1', b'"type":"x"', b"-0", b"9" * 30, b'"a":1,"a":2', b"AKIAQYLPMN5HHHFPZAM2"]  # fmt: skip
MOST = 6  # changes to one input


def inputs(seeds: Sequence[bytes], rng: Random) -> Iterator[bytes]:
    """Without end."""
    while True:
        data = bytearray(rng.choice(seeds))
        for _ in range(rng.randint(0, MOST)):
            _change(data, seeds, rng)
        yield bytes(data)


def pieces(data: bytes, rng: Random) -> Iterator[bytes]:
    """The same bytes, cut."""
    at = 0
    while at < len(data):
        step = rng.choice((1, 3, 17, 200, len(data)))
        yield data[at : at + step]
        at += step


def _change(data: bytearray, seeds: Sequence[bytes], rng: Random) -> None:
    at = rng.randint(0, len(data))
    kind = rng.random()
    if kind < 0.3 and data:
        data[at % len(data)] = rng.randrange(256)
    elif kind < 0.6:
        data[at:at] = rng.choice(WORDS)
    elif kind < 0.75:
        del data[at : at + rng.randint(1, 40)]
    elif kind < 0.9:
        data[at:at] = data[at : at + rng.randint(1, 60)]
    else:
        other = rng.choice(seeds)
        start = rng.randint(0, len(other))
        data[at : at + rng.randint(0, 60)] = other[start : start + rng.randint(0, 120)]
