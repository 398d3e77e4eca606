"""Read an answer as it passes, for its token counts alone; never holds it up, changes it, or fails."""

import msgspec

from addons.decode import Undecodable, decoder_for
from addons.providers.provider import Usage
from addons.sse import EventReader

MAX_ANSWER = 8 * 1024 * 1024  # decoded bytes of a whole answer kept to be parsed; of a larger one the counts are not known


class AnswerReader:
    """Fed with an answer's raw chunks; `usage` holds what was learnt. After `finish` a whole answer has been read, too."""

    def __init__(self, content_type: str, encoding: str):
        self.usage = Usage()
        self.bytes = 0
        self._decoder = decoder_for(encoding)
        self._events = EventReader() if content_type.lower().startswith("text/event-stream") else None
        self._whole = bytearray()

    def feed(self, chunk: bytes) -> None:
        """Take the next chunk."""
        self.bytes += len(chunk)
        if self._decoder is None:
            return
        try:
            decoded = self._decoder.feed(chunk)
        except Undecodable:
            self._decoder = None
            return
        if self._events is not None:
            for data in self._events.feed(decoded):
                if b'"usage' in data:
                    self._read(data)
        elif len(self._whole) + len(decoded) <= MAX_ANSWER:
            self._whole += decoded
        else:
            self._decoder, self._whole = None, bytearray()

    def finish(self) -> Usage:
        """The counts, once the answer is over or cut off."""
        if self._whole:
            self._read(bytes(self._whole))
            self._whole = bytearray()
        return self.usage

    def _read(self, data: bytes) -> None:
        try:
            message = msgspec.json.decode(data)
        except (ValueError, RecursionError):
            return
        self.usage.read(message)
