"""Put originals back into a whole answer, in place of the placeholders that the provider saw. Bytes in, bytes out.

Only originals that need no escaping in JSON are put back: the same bytes are then right at any depth, such as in a tool call's
arguments, which are JSON inside a JSON string. An answer larger than MAX_ANSWER is passed on as it is.
"""

import json
from collections.abc import Iterable

MAX_ANSWER = 8 * 1024 * 1024  # bytes held back


class Restorer:
    """Fed with an answer's chunks, and with b"" at its end; gives what is to be sent on."""

    def __init__(self, pairs: Iterable[tuple[str, str]]):
        self._pairs = [(placeholder.encode(), original.encode()) for placeholder, original in pairs if _is_plain(original)]
        self._held: bytearray | None = bytearray()

    def feed(self, chunk: bytes) -> bytes:
        """Nothing until the end, then the whole answer with the originals."""
        if self._held is None:
            return chunk
        self._held += chunk
        if chunk and len(self._held) <= MAX_ANSWER:
            return b""
        held, self._held = bytes(self._held), None
        if chunk:
            return held
        for placeholder, original in self._pairs:
            held = held.replace(placeholder, original)
        return held


def _is_plain(text: str) -> bool:
    try:
        return json.dumps(text, ensure_ascii=False)[1:-1] == text and bool(text.encode())
    except UnicodeEncodeError:
        return False
