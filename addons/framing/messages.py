"""Messages of a WebSocket: each is a frame."""

from addons.framing.frame import Frame


class Messages:
    """One direction's; what is fed is one message."""

    idle = b""

    def feed(self, chunk: bytes) -> list[Frame]:
        """The message."""
        return [Frame(chunk, chunk)]

    def end(self) -> list[Frame]:
        """Nothing is left."""
        return []

    def rewritten(self, frame: Frame, data: bytes) -> bytes:
        """The data is all there is."""
        return data

    def made(self, name: str, data: bytes, *, first: bool) -> bytes:
        """A message of our own."""
        return data
