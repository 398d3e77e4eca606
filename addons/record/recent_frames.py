"""The frames that a spool wrote last, so that whoever sends them need not read them back."""

from collections import deque
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from contract.decision import Place

# Bytes of payloads: some 5,000 records, which is more than are written between two batches.
# While Redis is away more are, and then the files have them.
KEPT_BYTES = 4 * 1024 * 1024


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
        """At most so many frames from a seq on. Those before it are forgotten."""
        while self._written and self._written[0].frame.place.seq < seq:
            self._drop()
        return list(islice(self._written, most))

    def _drop(self) -> None:
        self._bytes -= len(self._written.popleft().frame.payload)
