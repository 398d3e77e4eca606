"""`python -m addons.calls.documents`: a document on standard input, its text as JSON on standard output.

Before the document stands a byte that says whether it is base64. The process has no environment, opens no file, and ends by
itself: at the end of its time, or of its memory.
"""

import base64
import json
import sys
import time

from addons.calls.documents.formats import text_of
from addons.calls.documents.job import MEMORY, SECONDS

try:
    import resource
except ImportError:  # there is none on Windows
    resource = None  # type: ignore[assignment]


def main() -> None:
    """Read the document."""
    if resource is not None:
        hard = int(SECONDS) + 2
        resource.setrlimit(resource.RLIMIT_CPU, (hard, hard))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    encoded = sys.stdin.buffer.read(1) == b"\1"
    data = sys.stdin.buffer.read()
    try:
        data = _decoded(data) if encoded else data
    except ValueError:
        data = b"\0"  # no base64: nothing to read
    json.dump(text_of(data, lambda: time.process_time() > SECONDS), sys.stdout)


def _decoded(text: bytes) -> bytes:
    """The bytes of base64, of either alphabet, or of a `data:` URL. Raises ValueError."""
    if text.startswith(b"data:"):
        text = text.partition(b",")[2]
    digits = text.translate(bytes.maketrans(b"-_", b"+/"), b"\r\n=")
    return base64.b64decode(digits + b"=" * (-len(digits) % 4))


if __name__ == "__main__":
    main()
