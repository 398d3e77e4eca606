"""Records: they come back as they were, know their time, and an older reader takes a newer one."""

import json
from datetime import UTC, datetime

import msgspec
import pytest

from contract.decision import (
    Completion,
    Decision,
    Fired,
    Place,
    decode,
    encode,
    new_id,
    time_of,
)

PLACE = Place("w", "b", 7, 1)
DECISION = Decision(
    id=new_id(), time=datetime.now(UTC), place=PLACE, tenant="t", key="k", action="BLOCK", coverage="partial",
    unreadable=("image",), rules=(Fired("a.b", "BLOCK", "high", 2),), host="api.openai.com",
)  # fmt: skip
COMPLETION = Completion(
    id=DECISION.id,
    time=datetime.now(UTC),
    place=PLACE,
    tenant="t",
    outcome="ok",
    status=200,
    duration_ms=5,
)


@pytest.mark.parametrize(
    "record", [DECISION, COMPLETION], ids=["decision", "completion"]
)
def test_a_record_comes_back_as_it_was(record: Decision | Completion) -> None:
    assert decode(encode(record)) == record
    assert encode(decode(encode(record))) == encode(record)


def test_a_field_of_a_newer_writer_is_passed_over() -> None:
    newer = json.dumps(
        {**json.loads(encode(DECISION)), "schema": 2, "weather": "fine"}
    ).encode()
    read = decode(newer)
    assert (read.id, read.schema) == (DECISION.id, 2)


@pytest.mark.parametrize(
    "data", [b"", b"{}", b'{"kind":"other"}', b"\xff", encode(DECISION)[:-5]]
)
def test_what_is_no_record_is_an_error(data: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode(data)


def test_an_id_tells_its_time_and_sorts_by_it() -> None:
    early, late = new_id(1_700_000_000.123), new_id(1_700_000_001)
    assert early < late
    assert time_of(early) == datetime.fromtimestamp(1_700_000_000.123, UTC)
    with pytest.raises(ValueError, match="UUIDv7"):
        time_of("6ba7b810-9dad-11d1-80b4-00c04fd430c8")
