"""The messages of a WebSocket: each is a frame."""

from addons.framing.frame import Frame


class Messages:
    """The frames of one direction. Each chunk is a whole message."""

    keepalive = b""
    idle = True
    held = 0

    def feed(self, chunk: bytes) -> list[Frame]:
        """The message as a frame."""
        return [Frame(chunk, chunk)]

    def end(self) -> list[Frame]:
        """Nothing is left."""
        return []

    def rewritten(self, frame: Frame, data: bytes) -> bytes:
        """The other data: a message is nothing else."""
        return data

    def own_frame(self, name: str, data: bytes, *, first: bool) -> bytes:
        """A message of our own."""
        return data
