"""What the proxy and the process apart say to each other: documents one way, texts the other."""

import struct
from typing import NamedTuple

LENGTH = struct.Struct(">Q?")  # bytes of a document; whether they are base64
SECONDS = 8.0  # of the processor, for all documents of a call


class Text(NamedTuple):
    """What was read of a document; not `whole` where there may be more to see, as in a picture."""

    text: str
    whole: bool


NOTHING = Text("", whole=False)
