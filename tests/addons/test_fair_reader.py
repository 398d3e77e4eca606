"""A connection is read in small pieces, and in larger ones where a body of a known length is to come."""

import asyncio

from mitmproxy.connection import Client

from addons.mitm.handlers import PIECE, PIECE_OF_BODY, FairReader


def reader_of(data: bytes) -> FairReader:
    stream = asyncio.StreamReader(limit=1 << 20)
    stream.feed_data(data)
    stream.feed_eof()
    client = Client(peername=("127.0.0.1", 1), sockname=("127.0.0.1", 2), state=0)  # type: ignore[arg-type]
    return FairReader(stream, client)


async def pieces(reader: FairReader) -> list[int]:
    """The sizes in which everything is read, as mitmproxy asks for it."""
    sizes = []
    while data := await reader.read(65_535):
        sizes.append(len(data))
    return sizes


async def test_without_a_length_pieces_are_small() -> None:
    assert await pieces(reader_of(b"x" * (3 * PIECE + 5))) == [PIECE, PIECE, PIECE, 5]


async def test_a_body_of_a_known_length_is_read_in_larger_pieces_and_what_follows_is_not() -> (
    None
):
    reader = reader_of(b"x" * (4 * PIECE_OF_BODY))
    reader.body = PIECE_OF_BODY + PIECE
    first, second, *rest = await pieces(reader)
    # mitmproxy itself asks for no more than 65,535 bytes
    assert first == min(PIECE_OF_BODY, 65_535)
    assert second == min(PIECE_OF_BODY, 65_535)
    assert max(rest) == PIECE
