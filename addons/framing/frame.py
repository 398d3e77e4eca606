"""What a stream is cut into (`Frame`) and by whom (`Framing`); the framings are beside
this file, and `framing_of` chooses one.
"""

from dataclasses import dataclass
from typing import Protocol

MAX_FRAME = 16 * 1024 * 1024  # bytes; images arrive in frames of several MB


@dataclass(frozen=True, slots=True)
class Frame:
    """One event of a stream.

    `data` is JSON, or other text; None where there is none. `beside` is the rest: its
    name, an id, a comment. `unreadable`: why it cannot be read, one of
    `rules.exchange.REASONS`.
    """

    raw: bytes
    data: bytes | None = None
    name: str = ""
    beside: str = ""
    unreadable: str = ""


class Framing(Protocol):
    """Bytes in, frames out.

    Every byte goes into some frame; at most one unfinished frame is held.
    """

    @property
    def keepalive(self) -> bytes:
        """Bytes without meaning that may stand between two frames; empty where there
        are none.
        """

    @property
    def idle(self) -> bool:
        """Whether nothing is held: what comes next begins a frame."""

    @property
    def held(self) -> int:
        """Bytes of an unfinished frame."""

    def feed(self, chunk: bytes) -> list[Frame]:
        """The frames that `chunk` completes."""

    def end(self) -> list[Frame]:
        """The rest, when no more bytes follow."""

    def rewritten(self, frame: Frame, data: bytes) -> bytes:
        """The frame with other data. It must have had data."""

    def own_frame(self, name: str, data: bytes, *, first: bool) -> bytes:
        """A frame of ours, the last one of its stream.

        `first`: nothing was sent before it.
        """


class Unfinished:
    """What the framings of bytes share: the rest of a frame that is not whole yet."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._passing = False  # what comes passes unread: it is too large, or broken

    @property
    def idle(self) -> bool:
        """As in `Framing`."""
        return not self._rest and not self._passing

    @property
    def held(self) -> int:
        """As in `Framing`."""
        return len(self._rest)
