"""Decodes Content-Encoding, whole or chunk by chunk, within a bound. No I/O.

A gzip body may have several members (RFC 1952, section 2.2), and zeros behind them; a zstd body
several frames (RFC 8878, section 3.1). `deflate` is zlib's format, and the raw one that clients
read, too (RFC 9110, section 8.4.1.2).
"""

import zlib
from abc import ABC, abstractmethod
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
# Members or frames of one body. What compresses in blocks of its own has one for some 64 KB;
# each costs some microseconds, however little it holds.
MAX_MEMBERS = 10_000


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


class _Member(Protocol):
    """Decodes one member; `unused_data` is what follows it."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...


class _Members[Decoding: _Member](_Bounded, ABC):
    """A body of members, one behind the other."""

    STEP = STEP  # bytes that are given to a member at a time

    def __init__(self, make: Callable[[], Decoding]) -> None:
        super().__init__()
        self._make, self._member = make, make()
        self._members = 1

    @property
    def complete(self) -> bool:
        return self._member.eof

    def feed(self, data: bytes) -> bytes:
        pieces: list[bytes] = []
        self.account(len(data), 0)
        # A member copies the rest of a step each time, so steps are short.
        for start in range(0, len(data), self.STEP):
            left = data[start : start + self.STEP]
            while left:
                if self._member.eof:
                    left = self._next(left)
                if left:
                    left = self._take(left, pieces)
        return b"".join(pieces)

    @abstractmethod
    def _take(self, data: bytes, pieces: list[bytes]) -> bytes:
        """Decode with the current member; what follows it is left."""

    def _next(self, data: bytes) -> bytes:
        """Begin the member that follows."""
        self._members += 1
        if self._members > MAX_MEMBERS:
            raise Undecodable("more members than the limit")
        self._member = self._make()
        return data


class _Gzip(_Members["zlib._Decompress"]):
    def __init__(self) -> None:
        super().__init__(lambda: zlib.decompressobj(16 + zlib.MAX_WBITS))

    def _take(self, data: bytes, pieces: list[bytes]) -> bytes:
        while data and not self._member.eof:
            try:
                piece = self._member.decompress(data, STEP)
            except zlib.error as error:
                raise Undecodable(str(error)) from None
            self.account(0, len(piece))
            pieces.append(piece)
            data = self._member.unconsumed_tail
        return self._member.unused_data

    def _next(self, data: bytes) -> bytes:
        """Zeros may fill up the body, as on tapes."""
        data = data.lstrip(b"\0")
        return super()._next(data) if data else b""


class _Deflate(_Gzip):
    """One member, in zlib's format or raw: as clients do it, by whether the first bytes are a zlib header."""

    def __init__(self) -> None:
        _Members.__init__(self, zlib.decompressobj)
        self._first: bytes | None = b""

    def _take(self, data: bytes, pieces: list[bytes]) -> bytes:
        if self._first is None:
            return super()._take(data, pieces)
        self._first += data
        if len(self._first) < 2:
            return b""
        data, self._first = self._first, None
        if data[0] & 15 != zlib.DEFLATED or int.from_bytes(data[:2]) % 31:
            self._member = zlib.decompressobj(-zlib.MAX_WBITS)
        return super()._take(data, pieces)

    def _next(self, data: bytes) -> bytes:
        raise Undecodable("bytes follow the end of the compressed body")


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


class _Zstandard(_Members["zstandard.ZstdDecompressionObj"]):
    """Zstandard's push decoder has no output limit, so input is given in pieces too
    small to exceed the bound.
    """

    # Bytes. A block decodes to 128 KB at most, from 3 bytes at least; checked after
    # each piece.
    STEP = 512

    def __init__(self) -> None:
        context = zstandard.ZstdDecompressor(max_window_size=8 * 1024 * 1024)
        super().__init__(context.decompressobj)

    def _take(self, data: bytes, pieces: list[bytes]) -> bytes:
        try:
            piece = self._member.decompress(data)
        except zstandard.ZstdError as error:
            raise Undecodable(str(error)) from None
        self.account(0, len(piece))
        pieces.append(piece)
        return self._member.unused_data if self._member.eof else b""


DECODERS: dict[str, Callable[[], Decoder]] = {
    "identity": NoEncoding,
    "gzip": _Gzip,
    "x-gzip": _Gzip,
    "deflate": _Deflate,
    "br": _Brotli,
    "zstd": _Zstandard,
}


# Names of no encoding, of which clients read what comes as it is.
NO_ENCODING = ("", "identity", "none")


def decoder_for(encoding: str) -> Decoder | None:
    """A decoder for the value of a Content-Encoding header; None for an unknown or
    nested one.
    """
    named = [name.strip() for name in encoding.lower().split(",")]
    packed = [name for name in named if name not in NO_ENCODING] or ["identity"]
    make = DECODERS.get(packed[0]) if len(packed) == 1 else None
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
