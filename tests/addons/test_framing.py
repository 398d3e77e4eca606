"""Streams cut into frames: any bytes, any cut, the same frames; and all that came in goes out."""

import base64
import json
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from addons.framing import SNIFFED, framing_by, framing_of
from addons.framing.eventstream import EventStream, _header, _message
from addons.framing.frame import Frame, Framing
from addons.framing.json_array import JsonArray
from addons.framing.json_lines import JsonLines
from addons.framing.sse import ServerSentEvents

MADE: dict[str, Callable[[], Framing]] = {
    "sse": ServerSentEvents,
    "lines": JsonLines,
    "array": JsonArray,
    "eventstream": EventStream,
}
HEADERS = _header(":event-type", "contentBlockDelta") + _header(
    ":message-type", "event"
)
PIECES = st.sampled_from(
    [b"data: ", b"data", b"event: x", b": keepalive", b"\n", b"\r", b"\r\n", b"\n\n", b"[", b"]", b"{", b"}", b",", b'"', b"\\", b'{"a":"b"}',
     b"\xff", _message(HEADERS, b'{"a":1}'), _message(b"", b""), b"\x00\x00\x00\x10", b"\x00\x00\x00\x10\x00\x00\x00\x00\x05\xc2\x48\xeb"]
)  # fmt: skip
BYTES = st.one_of(st.binary(max_size=60), st.lists(PIECES, max_size=12).map(b"".join))


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[a:b] for a, b in pairwise(edges)]


def frames(framing: Framing, chunks: list[bytes]) -> list[Frame]:
    return [frame for chunk in chunks for frame in framing.feed(chunk)] + framing.end()


@pytest.mark.parametrize("name", MADE)
@given(data=BYTES, places=st.lists(st.integers(0, 200), max_size=12))
@example(data=b"data: a\r\r\ndata: b\r\n\r\n", places=[8, 9])
@example(data=b'[{"a":"\\""},{"b":[{}]}]', places=list(range(30)))
def test_however_the_bytes_are_cut_the_frames_are_the_same_and_nothing_is_lost(
    name: str, data: bytes, places: list[int]
) -> None:
    whole = frames(MADE[name](), [data])
    assert b"".join(frame.raw for frame in whole) == data
    unread = [frame for frame in whole if frame.unreadable]
    parts = frames(MADE[name](), cut(data, places))
    assert b"".join(frame.raw for frame in parts) == data
    if not unread:
        assert parts == whole
    assert [(frame.data, frame.name) for frame in parts if not frame.unreadable] == [
        (f.data, f.name) for f in whole if not f.unreadable
    ]


@pytest.mark.parametrize("name", MADE)
@given(data=BYTES, text=st.text(alphabet='ab"é', max_size=5))
@example(data=b']]{}n[[{"a":"b"}', text="")
def test_a_rewritten_frame_bears_the_new_data_and_all_else(
    name: str, data: bytes, text: str
) -> None:
    new = json.dumps({"new": text}).encode()
    whole = frames(MADE[name](), [data])
    for number, frame in enumerate(whole):
        if (
            frame.data is not None
            and not frame.unreadable
            and frame.raw.strip()
            and (name != "array" or frame.raw.endswith(frame.data))
        ):
            # Among the others: what an array's element is depends on what stands before it.
            framing = MADE[name]()
            sent = [one.raw for one in whole]
            sent[number] = framing.rewritten(frame, new)
            again = [one.data for one in frames(framing, [b"".join(sent)])]
            before = [one.data for one in whole[:number]]
            assert again[: number + 1] == [*before, new], frame


def test_the_standards_own_examples() -> None:
    """https://html.spec.whatwg.org/multipage/server-sent-events.html, 9.2.6."""
    data = b"data: YHOO\ndata: +2\ndata: 10\n\n: test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata\n\ndata\ndata\n\ndata:"
    told = [
        frame.data
        for frame in frames(ServerSentEvents(), [data])
        if frame.data is not None
    ]
    assert told == [b"YHOO\n+2\n10", b"first event", b"second event", b"", b"\n", b""]


def test_a_frame_tells_its_name_and_what_stands_beside_its_data() -> None:
    _, frame = ServerSentEvents().feed(b"\xef\xbb\xbfevent: ping\n: note\ndata: {}\n\n")
    assert (frame.name, frame.data, frame.beside) == (
        "ping",
        b"{}",
        "event: ping\n: note",
    )


def test_a_bedrock_message_is_unwrapped_and_wrapped_again() -> None:
    inner = b'{"delta":{"text":"hello"}}'
    raw = _message(
        HEADERS,
        json.dumps({"bytes": base64.b64encode(inner).decode(), "p": "abc"}).encode(),
    )
    framing = EventStream()
    (frame,) = framing.feed(raw)
    assert (frame.name, frame.data) == ("contentBlockDelta", inner)
    (again,) = EventStream().feed(framing.rewritten(frame, b'{"other":1}'))
    assert (again.name, again.data) == ("contentBlockDelta", b'{"other":1}')


def test_a_frame_that_is_too_large_passes_unread_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module, data in (
        ("sse", b"data: " + b"x" * 100 + b"\n\ndata: y\n\n"),
        ("json_lines", b"x" * 100 + b"\ny\n"),
    ):
        monkeypatch.setattr(f"addons.framing.{module}.MAX_FRAME", 50)
        framing = {"sse": ServerSentEvents, "json_lines": JsonLines}[module]()
        found = frames(framing, cut(data, list(range(0, 200, 20))))
        assert b"".join(frame.raw for frame in found) == data
        assert [frame.unreadable for frame in found][-1] == ""
        assert found[-1].data == b"y"
        assert "too_large" in [frame.unreadable for frame in found]


def test_the_content_type_says_how_a_stream_is_cut() -> None:
    assert isinstance(
        framing_of("Text/Event-Stream; charset=utf-8", grows=False), ServerSentEvents
    )
    assert isinstance(framing_of("application/json", grows=True), JsonArray)
    assert framing_of("application/json", grows=False) is None
    assert isinstance(
        framing_of("image/png", grows=False, sought=True), ServerSentEvents
    )
    assert framing_of("application/json", grows=False, sought=True) is None


@pytest.mark.parametrize(
    ("begin", "made"),
    [
        (b"data: {}\n\n", ServerSentEvents),
        (b"\xef\xbb\xbf\r\n\r\nevent: x\n", ServerSentEvents),
        (b": hello\n", ServerSentEvents),
        (b'{"a": 1}\n{"b": 2}\n{', JsonLines),
        (b"null\n{}\n", JsonLines),
        (b'\x1e{"a": 1}\n\x1e{"a": NaN}\n', JsonLines),
        (b"x: 1\ndata: {}\n\n", ServerSentEvents),
        (b" \nping\n\nid: 3\n", ServerSentEvents),
        (b"data\r\rdata:{}", ServerSentEvents),
        (b"\xef\xbb\xbf\xef\xbb\xbfdata: x", ServerSentEvents),
        (b"", None),
        (b"dat", None),
        (b'{"a": 1}\n', None),
        (b'{\n  "data": 1,\n  "id": 2\n}\n', None),
        (b"date: 1\n", None),
        (b"[1]", None),
        (b"<html>\n<p>a: b\n", None),
        (b"{" * SNIFFED, None),
    ],
)
def test_how_an_answer_begins_shows_whether_it_is_a_stream(
    begin: bytes, made: type[Framing] | None
) -> None:
    assert isinstance(framing_by(begin), made or type(None))
