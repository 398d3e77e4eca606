"""Token counts are read from answers of every form, and never at the price of the answer."""

import gzip
import json

from hypothesis import given
from hypothesis import strategies as st

from addons.usage import MAX_ANSWER, AnswerReader

WHOLE = json.dumps({"usage": {"prompt_tokens": 3, "completion_tokens": 4}}).encode()


def counts(reader: AnswerReader, *chunks: bytes) -> tuple[int | None, int | None]:
    for chunk in chunks:
        reader.feed(chunk)
    usage = reader.finish()
    return usage.input_tokens, usage.output_tokens


def test_a_whole_answer_plain_and_gzipped() -> None:
    assert counts(AnswerReader("application/json", ""), WHOLE[:7], WHOLE[7:]) == (3, 4)
    assert counts(AnswerReader("application/json", "gzip"), gzip.compress(WHOLE)) == (3, 4)


def test_a_stream_keeps_the_newest_counts() -> None:
    start = b'data: {"type":"message_start","message":{"usage":{"input_tokens":9,"output_tokens":1}}}\n\n'
    end = b'data: {"type":"message_delta","usage":{"output_tokens":20}}\n\n'
    assert counts(AnswerReader("text/event-stream; charset=utf-8", ""), start + end) == (9, 20)


def test_an_answer_over_the_bound_is_not_kept() -> None:
    reader = AnswerReader("application/json", "")
    for _ in range(MAX_ANSWER // 65536 + 1):
        reader.feed(b" " * 65536)
    assert counts(reader, WHOLE) == (None, None)
    assert reader.bytes > MAX_ANSWER


@given(
    st.binary(max_size=200),
    st.sampled_from(["text/event-stream", "application/json", ""]),
    st.sampled_from(["", "gzip", "br", "zstd", "x"]),
)
def test_any_bytes_are_taken(data: bytes, kind: str, encoding: str) -> None:
    counts(AnswerReader(kind, encoding), data, data)
