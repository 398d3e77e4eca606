"""Encodings that documented credential formats contain: base58check, bech32, base62 checksums, base64url."""

import base64
import hashlib
import zlib
from random import Random

from bench.corpus.draw import ALNUM, chars

_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"


def b64url(data: bytes) -> str:
    """Return unpadded URL-safe base64."""
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def b64(data: bytes) -> str:
    """Return padded standard base64."""
    return base64.b64encode(data).decode()


def crc_suffix(body: str) -> str:
    """Return the six base62 characters of the CRC-32 of `body`, as GitHub and npm append to their tokens."""
    number, out = zlib.crc32(body.encode()), ""
    while number:
        number, rest = divmod(number, 62)
        out = _BASE62[rest] + out
    return out.rjust(6, "0")


def checked_token(rng: Random, prefix: str) -> str:
    """Return a token of thirty random characters and their checksum (GitHub, npm)."""
    body = chars(rng, ALNUM, 30)
    return prefix + body + crc_suffix(body)


def base58check(payload: bytes) -> str:
    """Return `payload` with its double SHA-256 checksum in base58."""
    data = payload + hashlib.sha256(hashlib.sha256(payload).digest()).digest()[:4]
    number, out = int.from_bytes(data), ""
    while number:
        number, rest = divmod(number, 58)
        out = _BASE58[rest] + out
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + out


def _polymod(values: list[int]) -> int:
    generators = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
    check = 1
    for value in values:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate(generators):
            if top >> bit & 1:
                check ^= generator
    return check


def bech32(prefix: str, data: bytes) -> str:
    """Return `data` in bech32 under the human-readable `prefix` (lower case)."""
    bits = "".join(f"{byte:08b}" for byte in data)
    bits += "0" * (-len(bits) % 5)
    words = [int(bits[i : i + 5], 2) for i in range(0, len(bits), 5)]
    head = [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix]
    check = _polymod(head + words + [0] * 6) ^ 1
    words += [check >> 5 * (5 - i) & 31 for i in range(6)]
    return prefix + "1" + "".join(_BECH32[word] for word in words)
