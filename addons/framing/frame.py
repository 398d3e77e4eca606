"""What a stream is cut into: frames, each with the bytes as they came and the data that they bear."""

from dataclasses import dataclass
from typing import Protocol

MAX_FRAME = 16 * 1024 * 1024  # bytes; images come in frames of several MB


@dataclass(frozen=True, slots=True)
class Frame:
    """One event of a stream. `data`: JSON, or else text; None where the frame bears none.

    `beside` is what it says besides: its name, an id, a comment. `unreadable`: why it could not be looked at, one of
    rules.exchange.REASONS.
    """

    raw: bytes
    data: bytes | None = None
    name: str = ""
    beside: str = ""
    unreadable: str = ""


class Framing(Protocol):
    """Bytes in, frames out, whatever the bytes; all that came in goes out in some frame. Holds at most one unfinished frame."""

    @property
    def idle(self) -> bytes:
        """What says nothing, and may stand between two frames; empty where there is no such thing."""

    def feed(self, chunk: bytes) -> list[Frame]:
        """The frames that `chunk` completes."""

    def end(self) -> list[Frame]:
        """What is left when nothing more comes."""

    def rewritten(self, frame: Frame, data: bytes) -> bytes:
        """The frame with other data, of which it bore some before."""

    def made(self, name: str, data: bytes, *, first: bool) -> bytes:
        """A frame of our own, the last one of its stream; `first`: nothing of it was passed on."""
