"""JSON lines (Ollama, Cohere's first version): one document to a line. A JSON text sequence is read as such, too."""

from addons.framing.frame import MAX_FRAME, Frame, Unfinished

BLANKS = b" \t\r\n"
SEPARATOR = b"\x1e"  # before each document of a JSON text sequence (RFC 7464)


class JsonLines(Unfinished):
    """The frames of one stream."""

    keepalive = b""  # some readers fail at an empty line

    def feed(self, chunk: bytes) -> list[Frame]:
        """The lines that `chunk` completes."""
        if b"\n" not in chunk:
            self._rest += chunk
            return self._too_large()
        whole, _, rest = (bytes(self._rest) + chunk).rpartition(b"\n")
        self._rest = bytearray(rest)
        frames = [self._frame(line + b"\n") for line in whole.split(b"\n")]
        return frames + self._too_large()

    def end(self) -> list[Frame]:
        """The last line, which may lack its line end."""
        rest, self._rest = bytes(self._rest), bytearray()
        return [self._frame(rest)] if rest else []

    def rewritten(self, frame: Frame, data: bytes) -> bytes:
        """The line, with what it begins and ends with."""
        raw = frame.raw
        begin = raw[: len(raw) - len(raw.lstrip(SEPARATOR))]
        return begin + data + raw[len(raw.rstrip(b"\r\n")) :]

    def own_frame(self, name: str, data: bytes, *, first: bool) -> bytes:
        """A line of our own."""
        return data + b"\n"

    def _frame(self, raw: bytes) -> Frame:
        if self._passing:
            self._passing = False
            return Frame(raw, unreadable="too_large")
        return Frame(raw, raw.strip(BLANKS + SEPARATOR) or None)

    def _too_large(self) -> list[Frame]:
        if len(self._rest) <= MAX_FRAME:
            return []
        rest, self._rest, self._passing = bytes(self._rest), bytearray(), True
        return [Frame(rest, unreadable="too_large")]
