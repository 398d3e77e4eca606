"""The spool: an append-only file that has each record before its exchange continues.

A frame is length (4 bytes), CRC-32 (4 bytes), payload. Frames fill segments of 16 MB
named `<boot>-<first seq>`. Reading stops at a torn frame, left by a process that was
killed while writing; its CRC is wrong. One writer per spool, by a lock that ends with
its process. It survives kill -9; a power cut may lose what the kernel had not written
yet.

Before a record is written, room is kept on the disk for the completions that are owed, so
that a disk that fills up can stop new exchanges and not the ends of old ones.
"""

import ctypes
import errno
import fcntl
import os
import struct
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import BinaryIO, NamedTuple

import msgspec

from contract.decision import CUT, Decision, Place, Record, encode, new_id

HEADER = struct.Struct("<II")
# Bytes of a segment: some 20,000 records. What PostgreSQL holds is freed in such steps.
SEGMENT_BYTES = 16 * 1024 * 1024
# Bytes of a record. The longest have a kept prompt of 64 KB, sealed, and a few hundred
# rules.
MAX_FRAME = 1024 * 1024


# Bytes of a record that was cut: its few texts have 300 characters each, written with escapes.
COMPLETION_BYTES = 4096
MOST_REASONS = 8  # of a record that is cut
STEP = 256 * 1024  # bytes for which room is kept at a time
MEASURE_SECONDS = 0.5  # between looks at the segments of a spool that is full
KEEP_SIZE = 1  # FALLOC_FL_KEEP_SIZE
LIMIT_REACHED = "it has as many bytes as EARTHFLOW_SPOOL_BYTES allows"
# Errors of fallocate(2) where a system or a file system does not offer it.
NOT_OFFERED = {errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}


# Bytes of payloads: some 5,000 records, which is more than are written between two batches.
# While Redis is away more are, and then the files have them.
KEPT_BYTES = 4 * 1024 * 1024


class SpoolFull(Exception):
    """A record cannot be written, or none of those that would follow it."""


class SpoolBusy(Exception):
    """Another process writes this spool."""


def cut(record: Record) -> Record:
    """The record without what can be long: its rules, a kept prompt."""
    unreadable = (*record.unreadable[:MOST_REASONS], CUT)
    shorter: dict[str, object] = {"rules": (), "unreadable": unreadable}
    if isinstance(record, Decision):
        shorter["prompt"] = ""
    return msgspec.structs.replace(record, **shorter)


class _Placed(msgspec.Struct):
    """Only the id and the place of a record: a sender needs no more, and so can send records of
    other versions.
    """

    place: Place
    id: str = ""


_placed = msgspec.json.Decoder(_Placed)


class Frame(NamedTuple):
    """The bytes of a record, its place, and its id."""

    payload: bytes
    place: Place
    id: str


class Written(NamedTuple):
    """A frame, its segment, and the offset behind it."""

    frame: Frame
    segment: Path
    behind: int


class RecentFrames:
    """The newest frames of one boot, without a gap between them. Bounded; the oldest go first."""

    def __init__(self) -> None:
        self._written: deque[Written] = deque()
        self._bytes = 0

    def add(self, written: Written) -> None:
        """Keep the frame that was written now."""
        self._written.append(written)
        self._bytes += len(written.frame.payload)
        while self._bytes > KEPT_BYTES:
            self._drop()

    @property
    def first(self) -> int | None:
        """The seq of the oldest one."""
        return self._written[0].frame.place.seq if self._written else None

    def following(self, seq: int, most: int) -> list[Written]:
        """Up to `most` frames from a seq on. Those before it are forgotten."""
        while self._written and self._written[0].frame.place.seq < seq:
            self._drop()
        return list(islice(self._written, most))

    def _drop(self) -> None:
        self._bytes -= len(self._written.popleft().frame.payload)


class Spool:
    """One writer's spool, of at most `limit` bytes, or as large as its disk lets it be.

    `lost` counts records of this boot that could not be written; each record has the count
    before it.
    """

    def __init__(self, folder: Path, limit: int | None = None):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.folder = folder
        self._lock = _lock(folder / "lock")
        self.worker = _worker_name(folder)
        self.boot = new_id().replace("-", "")[:20]
        self.seq = 0
        self.lost = 0
        self.on_append: Callable[[], None] = lambda: None
        self.recent = RecentFrames()
        self._segment: BinaryIO | None = None
        self._path = folder  # the segment's
        self._size = 0
        self._kept = 0  # bytes for which the segment has room
        self._limit = limit
        self._others = 0  # bytes of the other segments, some of which may be gone
        self._measured = 0.0
        self._measure()

    def append(self, make: Callable[[Place], Record], owed: int = 0) -> Record:
        """Write the record that `make` gives for the next place, and keep room for as many
        completions as are `owed`.

        Raises SpoolFull; then nothing was written.
        """
        record = make(Place(self.worker, self.boot, self.seq, self.lost))
        # Encoded before anything is written: a record that cannot be encoded leaves no gap.
        payload = encode(record)
        if len(payload) > MAX_FRAME:
            record = cut(record)
            payload = encode(record)
        frame = HEADER.pack(len(payload), zlib.crc32(payload)) + payload
        try:
            self._make_room(len(frame), owed * COMPLETION_BYTES)
            self._write(frame)
        except OSError as error:
            raise SpoolFull(f"the spool cannot be written: {error.strerror}") from error
        self.seq += 1
        written = Frame(payload, record.place, record.id)
        self.recent.add(Written(written, self._path, self._size))
        self.on_append()
        return record

    def has_room(self, owed: int) -> bool:
        """Whether one more record could be written, and those that are `owed`."""
        try:
            self._make_room(COMPLETION_BYTES, owed * COMPLETION_BYTES)
        except OSError:
            return False
        return True

    def _make_room(self, frame: int, behind: int) -> None:
        """Have room for a frame, and for bytes `behind` it. Raises OSError."""
        if self._segment is None or self._size + frame > SEGMENT_BYTES:
            try:
                self._next_segment(frame + behind)
            except OSError:
                if self._segment is None:
                    raise
                # The old one has the room that was kept, and so becomes longer than others.
        needed = self._size + frame + behind
        if needed > self._kept:
            assert self._segment is not None
            self._kept = self._keep(self._segment, needed)

    def _next_segment(self, needed: int) -> None:
        path = self.folder / f"{self.boot}-{self.seq:012d}.spool"
        segment = open(path, "xb", buffering=0)  # noqa: SIM115
        try:
            kept = self._keep(segment, needed)
        except OSError:
            segment.close()
            path.unlink()
            raise
        self._others += self._size
        self._close_segment()
        self._segment, self._path = segment, path
        self._size, self._kept = 0, kept

    def _keep(self, segment: BinaryIO, needed: int) -> int:
        """Keep room for as many bytes, in steps where there is enough. Gives how many.

        Raises OSError where there is no room.
        """
        step = -(-needed // STEP) * STEP
        try:
            self._check_limit(segment, step)
            keep(segment.fileno(), step)
        except OSError:
            self._check_limit(segment, needed)
            keep(segment.fileno(), needed)
            return needed
        return step

    def _check_limit(self, segment: BinaryIO, size: int) -> None:
        """Raises OSError where a segment of this size would be too much beside the others."""
        if self._limit is None or self._beside(segment) + size <= self._limit:
            return
        # Some may be gone. A spool that stays full is asked often, and has many segments.
        if time.monotonic() - self._measured >= MEASURE_SECONDS:
            self._measure()
        if self._beside(segment) + size > self._limit:
            raise OSError(errno.EDQUOT, LIMIT_REACHED)

    def _beside(self, segment: BinaryIO) -> int:
        return self._others + (0 if segment is self._segment else self._size)

    def _measure(self) -> None:
        """Count the bytes of all segments but the one that is written."""
        self._others, self._measured = 0, time.monotonic()
        own = self._path.name if self._segment is not None else ""
        with os.scandir(self.folder) as entries:
            for entry in entries:
                if entry.name.endswith(".spool") and entry.name != own:
                    with suppress(FileNotFoundError):
                        self._others += entry.stat().st_size

    def _write(self, frame: bytes) -> None:
        assert self._segment is not None
        written = self._segment.write(frame)
        # A full disk took a part of it: cut that off, so that the next frame is readable.
        if written != len(frame):
            self._segment.truncate(self._size)
            self._segment.seek(self._size)
            self._kept = self._size
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._size += written

    def _close_segment(self) -> None:
        if self._segment is not None:
            if not self._size:
                self._path.unlink(missing_ok=True)
            # Gives back the room that was kept behind the end.
            self._segment.truncate(self._size)
            self._segment.close()
        self._segment, self._size, self._kept = None, 0, 0

    def segments(self) -> list[Path]:
        """All segments, oldest first, those of earlier boots included."""
        return sorted(self.folder.glob("*.spool"))

    def writing(self, segment: Path) -> bool:
        """Whether more may be appended to a segment."""
        return self._segment is not None and self._path == segment

    def close(self) -> None:
        """Release the spool; its content stays."""
        self._close_segment()
        os.close(self._lock)


def _fallocate() -> Callable[[int, int, int, int], int] | None:
    call = getattr(ctypes.CDLL(None, use_errno=True), "fallocate", None)
    if call is not None:
        call.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    return call


_keep_room = _fallocate()


def keep(file: int, size: int) -> bool:
    """Keep room for a file of this size, in bytes: blocks behind its end, which no reader sees and
    no other process can take. False where that is not offered; there a full disk shows when it is
    written to. Raises OSError where there is no room.
    """
    if _keep_room is None:
        return False
    if _keep_room(file, KEEP_SIZE, 0, size) == 0:
        return True
    number = ctypes.get_errno()
    if number in NOT_OFFERED:
        return False
    raise OSError(number, os.strerror(number))


def read_frames(segment: Path, offset: int = 0) -> Iterator[tuple[Frame, int]]:
    """Whole frames from `offset` on, each with the offset behind it; ends at the end,
    or at a torn frame.
    """
    with open(segment, "rb") as file:
        file.seek(offset)
        while len(header := file.read(HEADER.size)) == HEADER.size:
            length, checksum = HEADER.unpack(header)
            payload = file.read(length) if length <= MAX_FRAME else b""
            if not length or len(payload) != length or zlib.crc32(payload) != checksum:
                return
            offset += HEADER.size + length
            found = _placed.decode(payload)
            yield Frame(payload, found.place, found.id), offset


def count_frames(segment: Path) -> int:
    """How many frames a segment has, by their heads alone."""
    count = 0
    with open(segment, "rb") as file:
        end = file.seek(0, os.SEEK_END)
        place = file.seek(0)
        while place + HEADER.size <= end:
            length, _ = HEADER.unpack(file.read(HEADER.size))
            place = file.seek(place + HEADER.size + length)
            count += place <= end
    return count


def take_spool(folder: Path, limit: int | None = None) -> tuple[Spool, list[Spool]]:
    """The first spool under `folder` without a writer, and all others whose process is
    gone. `limit`: as of `Spool`.
    """
    own, orphans = None, []
    for number in range(1000):
        path = folder / str(number)
        if own is not None and not path.exists():
            break
        try:
            spool = Spool(path, limit)
        except SpoolBusy:
            continue
        if own is None:
            own = spool
        elif spool.segments():
            orphans.append(spool)
        else:
            spool.close()
    if own is None:
        raise SpoolBusy(f"every spool under {folder} is in use")
    return own, orphans


def _lock(path: Path) -> int:
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise SpoolBusy(path.parent.name) from None
    return handle


def _worker_name(folder: Path) -> str:
    """The spool's own random name. The machine's name would tell something of it."""
    path = folder / "worker"
    if not path.exists():
        path.write_text(os.urandom(6).hex())
    return path.read_text()
