"""Decodes Content-Encoding, whole or chunk by chunk, within a bound. No I/O."""

import zlib
from collections.abc import Callable
from typing import Protocol

import brotli
import zstandard

from rules.exchange import Unreadable

MAX_DECODED = 64 * 1024 * 1024  # bytes
# Decoded to encoded bytes, beyond the first MB: real text stays far below it, bombs far
# above.
MAX_RATIO = 100
# Decoded bytes before the ratio counts: a short text of blanks compresses a
# thousandfold.
FREE_RATIO = 1024 * 1024
# Bytes of input and output at a time: a bomb is noticed after this much.
STEP = 64 * 1024


class Undecodable(Exception):
    """The bytes are not in the encoding that they claim, or decode to more than the
    bound.
    """


class Decoder(Protocol):
    """Encoded bytes in, decoded bytes out."""

    def feed(self, data: bytes) -> bytes:
        """What can be decoded so far. Raises Undecodable."""

    @property
    def complete(self) -> bool:
        """Whether the encoded form reached its proper end."""


class _Bounded:
    """Counts the bytes that went in and out."""

    def __init__(self) -> None:
        self.read = self.made = 0

    def account(self, read: int, made: int) -> None:
        self.read += read
        self.made += made
        if self.made > MAX_DECODED or (
            self.made > FREE_RATIO and self.made > MAX_RATIO * self.read
        ):
            raise Undecodable("decodes to more than the limit")


class NoEncoding(_Bounded):
    """No encoding: bytes pass as they are."""

    complete = True

    def feed(self, data: bytes) -> bytes:
        """The same bytes."""
        return data


class _Zlib(_Bounded):
    def __init__(self, window: int) -> None:
        super().__init__()
        self._decoder = zlib.decompressobj(window)

    @property
    def complete(self) -> bool:
        return self._decoder.eof

    def feed(self, data: bytes) -> bytes:
        pieces = []
        self.account(len(data), 0)
        for start in range(
            0, len(data), STEP
        ):  # zlib copies the rest of a step each time, so steps are short
            left = data[start : start + STEP]
            while left and not self._decoder.eof:
                try:
                    piece = self._decoder.decompress(left, STEP)
                except zlib.error as error:
                    raise Undecodable(str(error)) from None
                self.account(0, len(piece))
                pieces.append(piece)
                left = self._decoder.unconsumed_tail
            if left or self._decoder.unused_data:
                raise Undecodable("bytes follow the end of the compressed body")
        return b"".join(pieces)


class _Brotli(_Bounded):
    def __init__(self) -> None:
        super().__init__()
        self._decoder = brotli.Decompressor()

    @property
    def complete(self) -> bool:
        return bool(self._decoder.is_finished())

    def feed(self, data: bytes) -> bytes:
        pieces = []
        self.account(len(data), 0)
        try:
            piece = self._decoder.process(data, output_buffer_limit=STEP)
            while piece or not self._decoder.can_accept_more_data():
                self.account(0, len(piece))
                pieces.append(piece)
                if self._decoder.is_finished():
                    break
                piece = self._decoder.process(b"", output_buffer_limit=STEP)
        except brotli.error as error:
            raise Undecodable(str(error)) from None
        return b"".join(pieces)


class _Zstandard(_Bounded):
    """Zstandard's push decoder has no output limit, so input is given in pieces too
    small to exceed the bound.
    """

    # Bytes. A block decodes to 128 KB at most, from 3 bytes at least; checked after
    # each piece.
    PIECE = 512

    def __init__(self) -> None:
        super().__init__()
        self._decoder = zstandard.ZstdDecompressor(
            max_window_size=8 * 1024 * 1024
        ).decompressobj()

    @property
    def complete(self) -> bool:
        return bool(self._decoder.eof)

    def feed(self, data: bytes) -> bytes:
        pieces = []
        try:
            for start in range(0, len(data), self.PIECE):
                if self._decoder.eof:
                    raise Undecodable("bytes follow the end of the compressed body")
                piece = self._decoder.decompress(data[start : start + self.PIECE])
                self.account(min(self.PIECE, len(data) - start), len(piece))
                pieces.append(piece)
        except zstandard.ZstdError as error:
            raise Undecodable(str(error)) from None
        if self._decoder.unused_data:
            raise Undecodable("bytes follow the end of the compressed body")
        return b"".join(pieces)


DECODERS: dict[str, Callable[[], Decoder]] = {
    "identity": NoEncoding,
    "gzip": lambda: _Zlib(16 + zlib.MAX_WBITS),
    "x-gzip": lambda: _Zlib(16 + zlib.MAX_WBITS),
    "deflate": lambda: _Zlib(zlib.MAX_WBITS),
    "br": _Brotli,
    "zstd": _Zstandard,
}


def decoder_for(encoding: str) -> Decoder | None:
    """A decoder for the value of a Content-Encoding header; None for an unknown or
    nested one.
    """
    make = DECODERS.get(encoding.strip().lower() or "identity")
    return make() if make else None


def decode(body: bytes, encoding: str) -> bytes | Unreadable:
    """Decode a whole body. Total."""
    decoder = decoder_for(encoding)
    if decoder is None:
        return Unreadable("unknown_encoding")
    try:
        decoded = decoder.feed(body)
    except Undecodable:
        return Unreadable("bad_encoding")
    return decoded if decoder.complete else Unreadable("bad_encoding")
