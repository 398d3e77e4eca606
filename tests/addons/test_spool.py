"""The spool: what was written is read back, a torn tail is cut, a full disk is counted."""

import errno
import os
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from addons.record import spool as module
from addons.record.spool import (
    COMPLETION_BYTES,
    Spool,
    SpoolBusy,
    SpoolFull,
    read_frames,
    take_spool,
)
from contract.decision import Completion, Place, Record, decode, encode, new_id
from tests.support.shared import examples


def record(place: Place) -> Record:
    return Completion(
        id=new_id(),
        time=datetime.now(UTC),
        place=place,
        tenant="t",
        outcome="ok",
        duration_ms=1,
    )


def seqs(spool: Spool) -> list[int]:
    return [
        frame.place.seq
        for segment in spool.segments()
        for frame, _ in read_frames(segment)
    ]


def test_records_come_back_in_order_with_contiguous_places(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    written = [spool.append(record) for _ in range(5)]
    read = [
        decode(frame.payload)
        for segment in spool.segments()
        for frame, _ in read_frames(segment)
    ]
    assert read == written
    assert seqs(spool) == [0, 1, 2, 3, 4]


def test_a_reader_goes_on_where_it_stopped(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.append(record)
    (segment,) = spool.segments()
    (_, offset) = next(iter(read_frames(segment)))
    spool.append(record)
    assert [frame.place.seq for frame, _ in read_frames(segment, offset)] == [1]


@examples(60)
@given(cut=st.integers(1, 400))
def test_a_torn_tail_loses_only_what_was_torn(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    spool = Spool(tmp_path_factory.mktemp("spool"))
    for _ in range(4):
        spool.append(record)
    (segment,) = spool.segments()
    ends = [offset for _, offset in read_frames(segment)]
    data = segment.read_bytes()[:-cut]
    segment.write_bytes(data)
    assert len(seqs(spool)) == sum(end <= len(data) for end in ends)
    segment.write_bytes(data + b"\xff" * 20)
    assert len(seqs(spool)) == sum(end <= len(data) for end in ends)


def test_segments_are_rotated_and_none_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SEGMENT_BYTES", 1000)
    spool = Spool(tmp_path)
    for _ in range(30):
        spool.append(record)
    assert len(spool.segments()) > 5
    assert seqs(spool) == list(range(30))


def test_a_spool_has_one_writer_and_its_name_stays(tmp_path: Path) -> None:
    first = Spool(tmp_path)
    with pytest.raises(SpoolBusy):
        Spool(tmp_path)
    name, boot = first.worker, first.boot
    first.close()
    second = Spool(tmp_path)
    assert (second.worker, second.boot == boot) == (name, False)


def test_spools_left_behind_are_taken_over_with_what_they_hold(tmp_path: Path) -> None:
    gone = [take_spool(tmp_path)[0] for _ in range(3)]
    assert [spool.folder.name for spool in gone] == ["0", "1", "2"]
    gone[1].append(record)
    gone[1].close()
    gone[0].close()
    own, orphans = take_spool(tmp_path)
    assert (own.folder.name, [spool.folder.name for spool in orphans]) == ("0", ["1"])


def test_a_spool_has_at_most_the_bytes_that_it_may_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SEGMENT_BYTES", 10_000)
    monkeypatch.setattr(module, "MEASURE_SECONDS", 0.0)
    limit = 50_000
    spool, owed = Spool(tmp_path, limit), 4
    with pytest.raises(SpoolFull, match="EARTHFLOW_SPOOL_BYTES"):
        while True:
            spool.append(record, owed)
    assert not spool.has_room(owed)
    # What is owed is taken still, each as long as one may be.
    for left in reversed(range(owed)):
        long = spool.append(lambda place: msgspec.structs.replace(record(place), error="e" * (COMPLETION_BYTES - 500)), left)  # fmt: skip
        assert len(encode(long)) > COMPLETION_BYTES - 500
    assert sum(path.stat().st_size for path in spool.segments()) <= limit
    written = seqs(spool)
    assert written == list(range(spool.seq))
    # A segment that is stored is deleted, and there is room again.
    first, *_ = spool.segments()
    assert not spool.has_room(owed)
    first.unlink()
    assert spool.append(record).place.seq == len(written)
    with pytest.raises(SpoolFull):
        while True:
            spool.append(record, owed)
    # What an earlier process left counts, too.
    spool.close()
    again = Spool(tmp_path, limit - 5_000)
    with pytest.raises(SpoolFull):
        again.append(record, owed)


def test_a_spool_that_stays_full_does_not_measure_itself_with_each_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SEGMENT_BYTES", 1_000)
    spool = Spool(tmp_path, 100_000)
    with pytest.raises(SpoolFull):
        while True:
            spool.append(record)
    measured, real = 0, os.scandir

    def scandir(folder: Path) -> object:
        nonlocal measured
        measured += 1
        return real(folder)

    monkeypatch.setattr(os, "scandir", scandir)
    monkeypatch.setattr(module, "MEASURE_SECONDS", 3600.0)
    for _ in range(50):
        assert not spool.has_room(1)
        with pytest.raises(SpoolFull):
            spool.append(record)
    assert measured == 0


def test_a_segment_that_cannot_be_begun_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(tmp_path)

    def fails(file: int, size: int) -> bool:
        raise OSError(errno.EIO, "the volume is away")

    with monkeypatch.context() as patch:
        patch.setattr(module, "keep", fails)
        with pytest.raises(SpoolFull):
            spool.append(record)
        assert spool.segments() == []
    assert spool.append(record).place.seq == 0
