"""Content-Encoding undone, in one piece or chunk by chunk, never to more than a bound. No I/O."""

import zlib
from collections.abc import Callable
from typing import Protocol

import brotli
import zstandard

from rules.exchange import Unreadable

MAX_DECODED = 64 * 1024 * 1024  # bytes
MAX_RATIO = 100  # decoded to encoded, once past 1 MB: real text stays far below, bombs far above
FREE_RATIO = 1024 * 1024
STEP = 64 * 1024


class Undecodable(Exception):
    """The bytes are not in the encoding they claim, or decode to more than the bound."""


class Decoder(Protocol):
    """Encoded bytes in, decoded bytes out."""

    def feed(self, data: bytes) -> bytes:
        """What can be decoded so far. Raises Undecodable."""

    @property
    def complete(self) -> bool:
        """Whether the encoded form came to its proper end."""


class _Bounded:
    """Common to all: counts what went in and came out."""

    def __init__(self) -> None:
        self.read = self.made = 0

    def account(self, read: int, made: int) -> None:
        self.read += read
        self.made += made
        if self.made > MAX_DECODED or (self.made > FREE_RATIO and self.made > MAX_RATIO * self.read):
            raise Undecodable("decodes to more than the bound")


class Identity(_Bounded):
    """No encoding."""

    complete = True

    def feed(self, data: bytes) -> bytes:
        """As they are."""
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
        ):  # what is left of a step is copied at each look, so steps are short
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
    """zstandard has no output limit on a push decoder, so input goes in by pieces too small to burst the bound."""

    PIECE = (
        512  # bytes; a frame's block is at most 128 KB decoded for 3 bytes encoded, checked after each piece
    )

    def __init__(self) -> None:
        super().__init__()
        self._decoder = zstandard.ZstdDecompressor(max_window_size=8 * 1024 * 1024).decompressobj()

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
    "identity": Identity,
    "gzip": lambda: _Zlib(16 + zlib.MAX_WBITS),
    "x-gzip": lambda: _Zlib(16 + zlib.MAX_WBITS),
    "deflate": lambda: _Zlib(zlib.MAX_WBITS),
    "br": _Brotli,
    "zstd": _Zstandard,
}


def decoder_for(encoding: str) -> Decoder | None:
    """A decoder for a Content-Encoding header's value, or None for one we do not speak (nested encodings included)."""
    make = DECODERS.get(encoding.strip().lower() or "identity")
    return make() if make else None


def decode(body: bytes, encoding: str) -> bytes | Unreadable:
    """A whole body decoded. Total."""
    decoder = decoder_for(encoding)
    if decoder is None:
        return Unreadable("unknown_encoding")
    try:
        decoded = decoder.feed(body)
    except Undecodable:
        return Unreadable("bad_encoding")
    return decoded if decoder.complete else Unreadable("bad_encoding")
