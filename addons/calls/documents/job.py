"""What the proxy and the process apart know of one another: the text of a document, and the bounds of reading it."""

from typing import NamedTuple

SECONDS = 6.0  # of the processor, for a document; a hundred pages take one
MEMORY = 768 * 1024 * 1024  # bytes


class Text(NamedTuple):
    """What was read of a document; not `whole` where there may be more to see, as in a picture."""

    text: str
    whole: bool


NOTHING = Text("", whole=False)
