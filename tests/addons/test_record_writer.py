"""Records on a disk that fills up at any moment: what was begun is recorded to its end, and what is missing is counted exactly."""

import errno
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addons.record import spool as module
from addons.record.spool import (
    COMPLETION_BYTES,
    MAX_FRAME,
    Spool,
    SpoolFull,
    cut,
    read_frames,
)
from addons.record.writer import AuditMode, RecordWriter
from contract.decision import (
    CUT,
    Completion,
    Decision,
    Fired,
    Place,
    Record,
    decode,
    encode,
    new_id,
)
from tests.support.shared import examples

LONG = "\x01" * 300  # written with six bytes each


def decision(place: Place) -> Decision:
    return Decision(
        id=new_id(), time=datetime.now(UTC), place=place, tenant="t", key="k",
        action="ALLOW", coverage="full", host=LONG, path=LONG,
    )  # fmt: skip


def completion(place: Place, rules: int = 0) -> Completion:
    fired = tuple(Fired(f"r{n}-{LONG}", "FLAG", "low") for n in range(rules))
    return Completion(
        id=new_id(), time=datetime.now(UTC), place=place, tenant="t", outcome="ok",
        duration_ms=1, error=LONG, rules=fired,
    )  # fmt: skip


def long_completion(place: Place) -> Completion:
    return completion(place, 30)


class Disk:
    """Has room for so many bytes of any one file."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, room: int):
        self.room = room
        monkeypatch.setattr(module, "keep", self._keep)

    def _keep(self, file: int, size: int) -> bool:
        if size > self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        return True


def records(spool: Spool) -> list[Record]:
    return [
        decode(frame.payload)
        for segment in spool.segments()
        for frame, _ in read_frames(segment)
    ]


STEPS = st.lists(
    st.sampled_from(
        ["call", "end", "long end", "refusal", "fill", "free", "bit", "look"]
    ),
    max_size=60,
)


@pytest.mark.parametrize("mode", ["durable", "available"])
@examples(60)
@given(steps=STEPS, small=st.integers(0, 40_000))
def test_what_was_begun_is_ended_and_what_is_missing_is_counted(
    tmp_path_factory: pytest.TempPathFactory,
    mode: AuditMode,
    steps: list[str],
    small: int,
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "SEGMENT_BYTES", 30_000)
        disk = Disk(patch, 2**40)
        spool = Spool(tmp_path_factory.mktemp("spool"))
        writer = RecordWriter(spool, mode)
        asked = passed = owed = stopped = 0
        for number, step in enumerate(steps):
            if step in ("call", "refusal"):
                passes = step == "call"
                asked += 1
                try:
                    # What is missing is told of each tenant.
                    written = writer.decision(decision, f"t{number}", passes=passes)
                    passed += passes
                    owed += written
                except SpoolFull:
                    assert passes and mode == "durable"
                    stopped, asked = stopped + 1, asked - 1
            elif step in ("end", "long end") and owed:
                owed -= 1
                make = completion if step == "end" else long_completion
                writer.completion(make, f"t{number}")
            elif step == "fill":
                # What was kept already stays ours.
                disk.room = spool._kept + small % 3000
            elif step == "free":
                disk.room = 2**40
            elif step == "bit":
                # Room for what is missing of a few tenants, and not for what is owed besides.
                disk.room += small % 5000
            elif step == "look":
                writer.recover()
        disk.room = 2**40
        for _ in range(owed):
            writer.completion(completion, "t")
        writer.recover()
        found = records(spool)
        assert [one.place.seq for one in found] == list(range(len(found)))
        gaps = [one.missing for one in found if isinstance(one, Decision) and one.missing]  # fmt: skip
        own = [one for one in found if isinstance(one, Decision) and not one.missing]
        ends = [one for one in found if isinstance(one, Completion)]
        assert not writer.full
        assert len(own) + sum(gap.exchanges for gap in gaps) == asked
        assert len(ends) == len(own)
        assert sum(gap.unfinished for gap in gaps) == 0
        if mode == "durable":
            assert sum(gap.passed for gap in gaps) == 0
        assert spool.lost == sum(gap.exchanges for gap in gaps)


def test_what_is_missing_of_many_tenants_takes_no_room_of_calls_under_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SEGMENT_BYTES", 100_000)
    monkeypatch.setattr(module, "MEASURE_SECONDS", 0.0)
    spool = Spool(tmp_path, 1_000_000)
    writer, under_way = RecordWriter(spool), 50
    for _ in range(under_way):
        writer.decision(decision, "t", passes=True)
    with pytest.raises(SpoolFull):
        while True:
            spool.append(decision, under_way)
    for number in range(200):
        with pytest.raises(SpoolFull):
            writer.decision(decision, f"t{number}", passes=True)
        writer.decision(decision, f"t{number}", passes=False)
    for _ in range(under_way):
        writer.completion(completion, "t")
        writer.recover()
    ends = [one for one in records(spool) if isinstance(one, Completion)]
    assert (len(ends), writer.unrecorded["completion"]) == (under_way, 0)


def test_a_record_that_is_cut_fits_where_room_was_kept() -> None:
    place = Place("w" * 12, "b" * 20, 2**62, 2**62)
    reasons = tuple(f"a_reason_that_is_long_{n}" for n in range(40))
    long = completion(place, 300)
    long = type(long)(**{name: getattr(long, name) for name in long.__struct_fields__} | {"unreadable": reasons})  # fmt: skip
    short = cut(long)
    assert len(encode(short)) + module.HEADER.size <= COMPLETION_BYTES
    assert (short.rules, short.unreadable[-1]) == ((), CUT)


def test_a_record_that_is_too_long_is_cut_not_lost(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.append(lambda place: completion(place, 2_000))
    (one,) = records(spool)
    assert (one.rules, one.unreadable) == ((), (CUT,))
    assert len(encode(completion(Place("w", "b", 0), 2_000))) > MAX_FRAME


def test_where_no_room_can_be_kept_a_write_that_fails_leaves_no_torn_frame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "keep", lambda file, size: False)
    spool = Spool(tmp_path)
    writer = RecordWriter(spool, "available")
    assert writer.decision(decision, "t", passes=True)
    segment = spool._segment
    assert segment is not None
    (path,) = spool.segments()
    size = path.stat().st_size

    class Full:
        def write(self, frame: bytes) -> int:
            return segment.write(frame[:10])

        def __getattr__(self, name: str) -> object:
            return getattr(segment, name)

    spool._segment = Full()  # type: ignore[assignment]
    assert not writer.decision(decision, "t", passes=True)
    assert (path.stat().st_size, writer.full, writer.lost) == (size, True, 1)
    spool._segment = segment
    assert writer.decision(decision, "t", passes=True)
    kinds = [one.reason for one in records(spool) if isinstance(one, Decision)]
    assert kinds == ["policy", "audit_gap", "policy"]
