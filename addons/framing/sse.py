"""Server-sent events (HTML standard, section 9.2): lines end in CRLF, LF or CR, and a blank line ends an event.

An event whose lines end in CR is given at once. An LF that comes after it belongs to its last line
end, and is a frame without content.
"""

import re

from addons.framing.frame import MAX_FRAME, Frame, Unfinished

END = re.compile(rb"(?:\r\n|\n)(?:\r\n|\n|\r)|\r\r")
LINE_END = re.compile(rb"\r\n|\n|\r")
PLAIN = re.compile(rb"data: [^\r\n]*\n\n")  # the form of nearly all events
BOM = b"\xef\xbb\xbf"


class ServerSentEvents(Unfinished):
    """The frames of one stream."""

    keepalive = b":\n\n"

    def __init__(self) -> None:
        super().__init__()
        self._searched = 0
        self._begun = False
        self._after_cr = False  # the last event ended in CR, and its LF may follow

    @property
    def idle(self) -> bool:
        return self._begun and not self._rest and not self._passing

    def feed(self, chunk: bytes) -> list[Frame]:
        """The events that `chunk` completes."""
        if self.idle and PLAIN.fullmatch(chunk):
            self._after_cr = False
            return [Frame(chunk, chunk[6:-2])]
        self._rest += chunk
        return self._start() + self._cut(at_end=False)

    def end(self) -> list[Frame]:
        """An event without its blank line: some clients accept it."""
        frames = self._cut(at_end=True)
        if self._rest:
            frames.append(self._frame(bytes(self._rest)))
            self._rest.clear()
        return frames

    def rewritten(self, frame: Frame, data: bytes) -> bytes:
        """The event with other data, where the first data line stood; all other lines
        as they were.

        Raises ValueError where it had no data.
        """
        lines, told = [], False
        for line in LINE_END.split(frame.raw):
            if not _is_data(line):
                lines.append(line)
            elif not told:
                lines += [b"data: " + line for line in data.split(b"\n")]
                told = True
        if not told:
            raise ValueError("the event has no data")
        return b"\n".join(lines)

    def own_frame(self, name: str, data: bytes, *, first: bool) -> bytes:
        """An event of our own."""
        return (
            (b"event: " + name.encode() + b"\n" if name else b"")
            + b"data: "
            + data
            + b"\n\n"
        )

    def _start(self) -> list[Frame]:
        """Skip a byte order mark before the first event."""
        if self._begun or (BOM.startswith(self._rest) and len(self._rest) < len(BOM)):
            return []
        self._begun = True
        if not self._rest.startswith(BOM):
            return []
        del self._rest[: len(BOM)]
        return [Frame(BOM)]

    def _cut(self, *, at_end: bool) -> list[Frame]:
        frames: list[Frame] = []
        start = self._line_feed(0, frames)
        while (found := END.search(self._rest, start or self._searched)) is not None:
            ends = found[0]
            if (
                found.end() == len(self._rest)
                and ends in (b"\n\r", b"\r\n\r")
                and not at_end
            ):
                break  # the LF of a CRLF may follow
            frames.append(self._frame(bytes(self._rest[start : found.end()])))
            self._after_cr = ends == b"\r\r"
            start = self._line_feed(found.end(), frames)
        rest = self._rest
        del rest[:start]
        self._searched = max(0, len(rest) - 3)
        if len(rest) > MAX_FRAME:
            frames.append(Frame(bytes(rest[:-3]), unreadable="too_large"))
            del rest[:-3]
            self._passing, self._searched = True, 0
        return frames

    def _line_feed(self, at: int, frames: list[Frame]) -> int:
        """Take an LF that belongs to the event before; where the next one begins."""
        if not self._after_cr or at == len(self._rest):
            return at
        self._after_cr = False
        if self._rest[at] != 0x0A:
            return at
        frames.append(Frame(b"\n"))
        return at + 1

    def _frame(self, raw: bytes) -> Frame:
        if self._passing:
            self._passing = False
            return Frame(raw, unreadable="too_large")
        data, beside, comments, name = [], [], [], ""
        for line in LINE_END.split(raw):
            if _is_data(line):
                data.append(line[5:].removeprefix(b" "))
            elif line:
                beside.append(line.decode("utf-8", "replace"))
                if line.startswith(b"event:"):
                    name = beside[-1][6:].strip()
                elif line.startswith(b":"):
                    comments.append(beside[-1][1:].strip())
        if len(comments) > 1:  # as a reader of comments would join them
            beside.append("".join(comments))
        return Frame(raw, b"\n".join(data) if data else None, name, "\n".join(beside))


def _is_data(line: bytes) -> bool:
    return line.startswith(b"data:") or line == b"data"
