"""Server-sent events: bytes in, the data of each event out; holds at most one unfinished event. Never does I/O.

By the HTML standard, section 9.2: lines end in CRLF, LF or CR, a blank line ends an event, a leading space after the colon is
dropped. Only `data` is kept; nothing here needs an event's name.
"""

import re

MAX_EVENT = 1024 * 1024  # bytes; a longer event is dropped and counted, its stream read on

LINE_END = re.compile(rb"\r\n|\n|\r")


class EventReader:
    """One stream's reader."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._data: list[bytes] = []
        self._size = 0
        self._oversize = False
        self.dropped = 0

    def feed(self, chunk: bytes) -> list[bytes]:
        """The data of every event that `chunk` completes, its lines joined by LF."""
        searched = max(0, len(self._rest) - 1)  # a CR at the end may begin a CRLF
        self._rest += chunk
        events: list[bytes] = []
        start = 0
        for end in LINE_END.finditer(self._rest, searched):
            if end[0] == b"\r" and end.end() == len(self._rest):
                break  # the LF of a CRLF may still come
            self._line(bytes(self._rest[start : end.start()]), events)
            start = end.end()
        del self._rest[:start]
        if len(self._rest) > MAX_EVENT:
            self._oversize = True
            self._rest.clear()
        return events

    def _line(self, line: bytes, events: list[bytes]) -> None:
        if not line:
            if self._oversize:
                self.dropped += 1
            elif self._data:
                events.append(b"\n".join(self._data))
            self._data, self._size, self._oversize = [], 0, False
        elif line.startswith(b"data:") or line == b"data":
            value = line[5:].removeprefix(b" ")
            self._size += len(value)
            self._oversize = self._oversize or self._size > MAX_EVENT
            if not self._oversize:
                self._data.append(value)
