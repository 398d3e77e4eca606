"""`python -m addons.calls.documents`: documents on standard input, each behind its length; their texts as JSON on standard output.

It has no environment, opens no file, and ends by itself: at the end of its time, or of its memory.
"""

import base64
import binascii
import json
import sys
import time
from collections.abc import Iterator

from addons.calls.documents.formats import text_of
from addons.calls.documents.job import LENGTH, NOTHING, SECONDS, Text

try:
    import resource
except ImportError:  # there is none on Windows
    resource = None  # type: ignore[assignment]

MEMORY = 768 * 1024 * 1024  # bytes


def main() -> None:
    """Read all documents."""
    if resource is not None:
        hard = int(SECONDS) + 2
        resource.setrlimit(resource.RLIMIT_CPU, (hard, hard))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    texts = [_read(data, encoded=encoded) for data, encoded in _documents()]
    json.dump(texts, sys.stdout, ensure_ascii=True)


def _read(data: bytes, *, encoded: bool) -> Text:
    try:
        if encoded:
            data = _decoded(data)
        return text_of(data, lambda: time.process_time() > SECONDS)
    except (binascii.Error, ValueError, MemoryError, RecursionError):
        return NOTHING


def _decoded(text: bytes) -> bytes:
    """The bytes of base64, of either alphabet, or of a `data:` URL."""
    if text.startswith(b"data:"):
        text = text.partition(b",")[2]
    digits = text.translate(bytes.maketrans(b"-_", b"+/"), b"\r\n=")
    return base64.b64decode(digits + b"=" * (-len(digits) % 4))


def _documents() -> Iterator[tuple[bytes, bool]]:
    while head := sys.stdin.buffer.read(LENGTH.size):
        length, encoded = LENGTH.unpack(head)
        yield sys.stdin.buffer.read(length), encoded


if __name__ == "__main__":
    main()
