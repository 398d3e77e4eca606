"""Server-sent events: any cut of the bytes gives the same events, within bounds."""

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from addons import sse
from addons.sse import EventReader

STREAM = (
    b'event: a\r\ndata: {"x": 1}\r\n\r\n: a comment\n\ndata:two\ndata: lines\n\nid: 7\nretry: 5\n\ndata\n\ndata: last\r\rdata: cr\r\n\r\n'
)
EVENTS = [b'{"x": 1}', b"two\nlines", b"", b"last", b"cr"]


def read(chunks: list[bytes]) -> list[bytes]:
    reader = EventReader()
    return [event for chunk in chunks for event in reader.feed(chunk)]


def test_events_are_read_as_the_standard_says() -> None:
    assert read([STREAM]) == EVENTS


def test_every_single_cut_and_byte_by_byte_give_the_same_events() -> None:
    for cut in range(len(STREAM)):
        assert read([STREAM[:cut], STREAM[cut:]]) == EVENTS
    assert read([STREAM[place : place + 1] for place in range(len(STREAM))]) == EVENTS


@settings(max_examples=300)
@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=6))
def test_any_bytes_cut_anyhow_give_the_same_events(data: bytes, cuts: list[int]) -> None:
    edges = sorted({0, *(min(cut, len(data)) for cut in cuts), len(data)})
    assert read([data[start:end] for start, end in itertools.pairwise(edges)]) == read([data])


def test_an_event_over_the_bound_is_dropped_counted_and_the_stream_read_on() -> None:
    reader = EventReader()
    for _ in range(3 * sse.MAX_EVENT // 65536):
        assert reader.feed(b"x" * 65536) == []
        assert len(reader._rest) <= sse.MAX_EVENT + 65536
    assert reader.feed(b"\n\ndata: next\n\n") == [b"next"]
    assert reader.dropped == 1
