"""A JSON array that grows (Gemini without `alt=sse`): each element is a frame, with
what stands before it.
"""

import re

from addons.framing.frame import MAX_FRAME, Frame, Unfinished

OUTSIDE = re.compile(rb'["{}\[\]]')
INSIDE = re.compile(rb'["\\]')
BETWEEN = b"[, \t\r\n"


class JsonArray(Unfinished):
    """The frames of one stream.

    What is no object element is sent with the next one, and judged as text.
    """

    keepalive = b"\n"

    def __init__(self) -> None:
        super().__init__()
        self._at = 0  # `rest` was searched up to here
        self._depth = 0
        self._in_string = False
        self._start = -1  # where the current element begins

    def feed(self, chunk: bytes) -> list[Frame]:
        """The elements that `chunk` completes."""
        self._rest += chunk
        frames: list[Frame] = []
        while (
            token := (INSIDE if self._in_string else OUTSIDE).search(
                self._rest, self._at
            )
        ) is not None:
            sign, self._at = token[0], token.end()
            if sign == b"\\":
                if self._at == len(self._rest):
                    self._at -= 1
                    break
                self._at += 1
            elif sign == b'"':
                self._in_string = not self._in_string
            elif sign in (b"{", b"["):
                self._depth += 1
                if sign == b"{" and self._start < 0 and self._depth <= 2:
                    self._start = token.start()
            else:
                self._depth -= 1
                if self._start >= 0 and self._depth <= 1 and sign == b"}":
                    frames.append(self._element())
        else:
            self._at = len(self._rest)
        if len(self._rest) > MAX_FRAME:
            frames.append(Frame(bytes(self._rest), unreadable="too_large"))
            self._forget(len(self._rest))
            self._passing = True
        return frames

    def end(self) -> list[Frame]:
        """The end of the array, or whatever is left."""
        rest = bytes(self._rest)
        self._forget(len(rest))
        if not rest:
            return []
        text = rest.strip(BETWEEN + b"]")
        return [Frame(rest, text or None)]

    def rewritten(self, frame: Frame, data: bytes) -> bytes:
        """What stood before the element, and the element."""
        assert frame.data is not None
        return frame.raw[: len(frame.raw) - len(frame.data)] + data

    def own_frame(self, name: str, data: bytes, *, first: bool) -> bytes:
        """A last element, and the end of the array."""
        return (b"[" if first else b",") + data + b"]"

    def _element(self) -> Frame:
        raw, before = bytes(self._rest[: self._at]), bytes(self._rest[: self._start])
        data = bytes(self._rest[self._start : self._at])
        self._forget(self._at)
        if self._passing:
            self._passing = False
            return Frame(raw, unreadable="too_large")
        return Frame(raw, data, beside=before.strip(BETWEEN).decode("utf-8", "replace"))

    def _forget(self, count: int) -> None:
        del self._rest[:count]
        self._at, self._start = 0, -1
