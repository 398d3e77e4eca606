"""Records: they come back as they were, know their time, and an older reader takes a newer one."""

import json
from datetime import UTC, datetime

import msgspec
import pytest

from contract.decision import (
    SCHEMA,
    Completion,
    Decision,
    Fired,
    Found,
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
        {**json.loads(encode(DECISION)), "schema": 3, "weather": "fine"}
    ).encode()
    read = decode(newer)
    assert (read.id, read.schema) == (DECISION.id, 3)


# A decision as version 1 wrote it, byte for byte.
OLD = (
    b'{"kind":"decision","id":"019ab5d8-0000-7000-8000-000000000000","time":"2025-11-24T18:00:00Z",'
    b'"place":{"worker":"w","boot":"b","seq":7,"lost":1},"tenant":"t","key":"k","action":"BLOCK",'
    b'"coverage":"partial","unreadable":["image"],'
    b'"rules":[{"rule":"a.b","action":"BLOCK","severity":"high","count":2}],"host":"api.openai.com"}'
)


def test_a_record_of_schema_1_is_read_and_written_as_it_stands() -> None:
    read = decode(OLD)
    assert isinstance(read, Decision)
    assert (read.schema, read.would_strict, read.rules[0].findings) == (1, None, ())
    assert encode(read) == OLD


class OldFired(msgspec.Struct, frozen=True, omit_defaults=True):
    """`Fired` of schema 1."""

    rule: str
    action: str
    severity: str
    count: int = 0
    would: bool = False


class OldDecision(msgspec.Struct, frozen=True, tag="decision", tag_field="kind"):
    """What an old control needs of a decision."""

    id: str
    tenant: str
    action: str
    schema: int = 1
    rules: tuple[OldFired, ...] = ()


def test_an_old_reader_reads_a_record_of_schema_2() -> None:
    found = Found(3, "user", "text", 10, 20, placeholder="[REDACTED:a_b_bcdfghjk]")
    new = msgspec.structs.replace(
        DECISION,
        schema=SCHEMA,
        would_strict="BLOCK",
        rules=(Fired("a.b", "REDACT", "high", 2, findings=(found,)),),
    )
    assert decode(encode(new)) == new
    read = msgspec.json.decode(encode(new), type=OldDecision)
    assert (read.schema, read.rules) == (2, (OldFired("a.b", "REDACT", "high", 2),))


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
