"""Which texts of a call are known to be those that a provider signed: their pairs were seen
in an answer, here or by another proxy, within a day.
"""

import hmac
from collections.abc import Iterable, Mapping

from rules.exchange import Exchange

Pair = tuple[str, str]  # a signature, and the text that is bound to it


def hashes_of(pairs: Iterable[Pair], key: bytes) -> list[bytes]:
    """What is remembered of pairs; `key` is the tenant's own."""
    own = hmac.digest(key, b"signed texts", "sha256")
    return [
        hmac.digest(own, "\0".join(pair).encode("utf-8", "surrogatepass"), "sha256")
        for pair in pairs
    ]


def hashes_of_parts(
    exchange: Exchange, signed: Iterable[int], key: bytes
) -> dict[int, bytes]:
    """The hashes of these parts."""
    parts = exchange.parts
    numbers = list(signed)
    pairs = [(parts[number].signature, parts[number].text) for number in numbers]
    return dict(zip(numbers, hashes_of(pairs, key), strict=True))


def seen(hashes: Mapping[int, bytes], known: Mapping[bytes, bytes]) -> frozenset[int]:
    """Those of the parts whose pair is remembered."""
    return frozenset(number for number, hash in hashes.items() if hash in known)
