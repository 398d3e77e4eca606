"""Any bytes into each codec give a value, frames, or a reason; never another exception, and never more than they may cost.

`make fuzz` runs a million inputs and more, `make test` some thousands. EARTHFLOW_FUZZ says how many for each codec.
"""

import json
import os
import time
from itertools import islice
from random import Random

import pytest

from addons.answers.answer import PassedAnswer, judge_whole
from addons.framing.decode import DECODERS, Undecodable
from addons.providers import FORMATS
from addons.providers.form import read_form
from addons.providers.provider import Call
from rules.exchange import REASONS, Exchange, Unreadable
from tests.addons.test_answer import ENCODERS, book, streamed
from tests.addons.test_providers import CALLS
from tests.fuzz.mutate import inputs, pieces
from tests.support.conformance import CASES, whole
from tests.support.shared import scaled
from tests.support.streams import SHAPES, TEXTS

EACH = int(os.environ.get("EARTHFLOW_FUZZ", scaled(300)))
SEED = int(os.environ.get("EARTHFLOW_FUZZ_SEED", "4"))
# seconds of CPU that one small input may take at the very most; a hang, not a speed, is
# what this finds
LONGEST = 2.0


def timed(began: float, data: bytes) -> None:
    assert time.process_time() - began < LONGEST, data


@pytest.mark.parametrize("name", FORMATS)
def test_any_bytes_are_a_call_or_a_reason(name: str) -> None:
    seeds = [json.dumps(body).encode() for body, _ in CALLS.values()]
    for data in islice(inputs(seeds, Random(SEED)), EACH):
        began = time.process_time()
        read = FORMATS[name].read_call(data, "/", "m")
        assert isinstance(read, Call) or (
            isinstance(read, Unreadable) and read.reason in REASONS
        ), data
        timed(began, data)


@pytest.mark.parametrize("name", SHAPES)
def test_any_bytes_are_a_stream_that_passes_or_ends(name: str) -> None:
    rng = Random(SEED)
    seeds = [b"".join(SHAPES[name].made(*case)) for case in CASES.values()]
    for data in islice(inputs(seeds, rng), EACH):
        answer, began = streamed(name), time.process_time()
        out = b"".join(
            frame for piece in pieces(data, rng) for frame in answer.feed(piece)
        ) + b"".join(answer.end())
        action = answer.verdict.action
        assert answer.ended == (action == "BLOCK"), data
        assert action in ("REDACT", "BLOCK") or out == data, data
        assert set(answer.verdict.unreadable) <= set(REASONS), data
        timed(began, data)


@pytest.mark.parametrize("name", SHAPES)
def test_any_bytes_are_a_whole_answer_that_is_judged(name: str) -> None:
    seeds = [
        json.dumps(whole(name, "".join(text), json.loads("".join(call)))).encode()
        for text, call in CASES.values()
    ]
    for data in islice(inputs(seeds, Random(SEED)), EACH):
        began = time.process_time()
        judged = judge_whole(
            book(),
            Exchange(direction="response"),
            data,
            "application/json",
            "",
            key=b"k",
        )
        assert judged.verdict is not None
        assert set(judged.verdict.unreadable) <= set(REASONS), data
        timed(began, data)


@pytest.mark.parametrize("name", ENCODERS)
def test_any_bytes_decode_or_do_not(name: str) -> None:
    rng = Random(SEED)
    seeds = [
        ENCODERS[name](b"".join(SHAPES["openai-chat"].made(*case)))
        for case in CASES.values()
    ]
    for data in islice(inputs(seeds, rng), EACH):
        decoder, began = DECODERS[name](), time.process_time()
        try:
            for piece in pieces(data, rng):
                decoder.feed(piece)
        except Undecodable:
            pass
        reader = PassedAnswer("text/event-stream", name)
        reader.feed(data)
        reader.finish()
        timed(began, data)


FORM = (
    b'--xyz\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n--xyz\r\nContent-Disposition: form-data; name="file"; '
    b'filename="a.txt"\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nthe key is AKIAQYLPMN5HHHFPZAM2\r\n--xyz--\r\n'
)


def test_any_bytes_are_a_form_that_says_the_same_when_it_is_written_or_none() -> None:
    for data in islice(inputs([FORM], Random(SEED)), EACH):
        began = time.process_time()
        read = read_form(data, "multipart/form-data; boundary=xyz", "")
        if not isinstance(read, Unreadable):
            again = read_form(
                read[1].write(data, []), "multipart/form-data; boundary=xyz", ""
            )
            assert (
                not isinstance(again, Unreadable) and again[0].parts == read[0].parts
            ), data
        timed(began, data)


@pytest.mark.parametrize("name", TEXTS)
def test_any_bytes_are_a_stream_of_a_format_without_tools(name: str) -> None:
    rng = Random(SEED)
    seeds = [b"".join(TEXTS[name].made(case[0], [])) for case in CASES.values()]
    for data in islice(inputs(seeds, rng), EACH):
        answer, began = streamed(name), time.process_time()
        out = b"".join(
            frame for piece in pieces(data, rng) for frame in answer.feed(piece)
        ) + b"".join(answer.end())
        assert answer.verdict.action in ("REDACT", "BLOCK") or out == data, data
        timed(began, data)
