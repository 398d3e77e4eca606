"""The spool: an append-only file that has each record before its exchange continues.

A frame is length (4 bytes), CRC-32 (4 bytes), payload. Frames fill segments of 16 MB
named `<boot>-<first seq>`. Reading stops at a torn frame, left by a process that was
killed while writing; its CRC is wrong. One writer per spool, by a lock that ends with
its process. It survives kill -9; a power cut may lose what the kernel had not written
yet.
"""

import fcntl
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import msgspec

from contract.decision import Place, Record, encode, new_id

HEADER = struct.Struct("<II")
# Bytes of a segment: some 20,000 records. What PostgreSQL holds is freed in such steps.
SEGMENT_BYTES = 16 * 1024 * 1024
# Bytes of a record. The longest have a kept prompt of 64 KB, sealed, and a few hundred
# rules.
MAX_FRAME = 1024 * 1024


class SpoolBusy(Exception):
    """Another process writes this spool."""


class _Placed(msgspec.Struct):
    """Only the place of a record: a sender needs no more, and so can send records of
    other versions.
    """

    place: Place


_placed = msgspec.json.Decoder(_Placed)


class Frame(NamedTuple):
    """The bytes of a record, and its place."""

    payload: bytes
    place: Place


class Spool:
    """One writer's spool.

    `lost` counts records that this boot could not write; each record has the count
    before it.
    """

    def __init__(self, folder: Path):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.folder = folder
        self._lock = _lock(folder / "lock")
        self.worker = _worker_name(folder)
        self.boot = new_id().replace("-", "")[:20]
        self.seq = 0
        self.lost = 0
        self.on_append: Callable[[], None] = lambda: None
        self._segment: BinaryIO | None = None
        self._size = 0

    def append(self, make: Callable[[Place], Record]) -> Record:
        """Write the record that `make` gives for the next place.

        A record that cannot be written is counted; nothing is raised.
        """
        record = make(Place(self.worker, self.boot, self.seq, self.lost))
        # Encoded before anything is written: a record that cannot be encoded leaves no gap.
        payload = encode(record)
        try:
            if len(payload) > MAX_FRAME:
                raise OSError("a record is larger than a frame")
            self._write(HEADER.pack(len(payload), zlib.crc32(payload)) + payload)
        except OSError:
            self.lost += 1
            self._close_segment()
            return record
        self.seq += 1
        self.on_append()
        return record

    def _write(self, frame: bytes) -> None:
        if self._segment is None or self._size + len(frame) > SEGMENT_BYTES:
            self._close_segment()
            path = self.folder / f"{self.boot}-{self.seq:012d}.spool"
            self._segment = open(path, "xb", buffering=0)  # noqa: SIM115
        written = self._segment.write(frame)
        # A full disk took a part of it: cut that off, so that the next frame is readable.
        if written != len(frame):
            self._segment.truncate(self._size)
            raise OSError("the spool's disk is full")
        self._size += written

    def _close_segment(self) -> None:
        if self._segment is not None:
            if not self._size:
                Path(self._segment.name).unlink(missing_ok=True)
            self._segment.close()
        self._segment, self._size = None, 0

    def segments(self) -> list[Path]:
        """All segments, oldest first, those of earlier boots included."""
        return sorted(self.folder.glob("*.spool"))

    def writing(self, segment: Path) -> bool:
        """Whether more may be appended to a segment."""
        return self._segment is not None and Path(self._segment.name) == segment

    def close(self) -> None:
        """Release the spool; its content stays."""
        self._close_segment()
        os.close(self._lock)


def read_frames(segment: Path, offset: int = 0) -> Iterator[tuple[Frame, int]]:
    """Whole frames from `offset` on, each with the offset behind it; ends at the end,
    or at a torn frame.
    """
    with open(segment, "rb") as file:
        file.seek(offset)
        while len(header := file.read(HEADER.size)) == HEADER.size:
            length, checksum = HEADER.unpack(header)
            payload = file.read(length) if length <= MAX_FRAME else b""
            if len(payload) != length or zlib.crc32(payload) != checksum:
                return
            offset += HEADER.size + length
            yield Frame(payload, _placed.decode(payload).place), offset


def take_spool(folder: Path) -> tuple[Spool, list[Spool]]:
    """The first spool under `folder` without a writer, and all others whose process is
    gone.
    """
    own, orphans = None, []
    for number in range(1000):
        path = folder / str(number)
        if own is not None and not path.exists():
            break
        try:
            spool = Spool(path)
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
