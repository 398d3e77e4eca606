"""A message of a WebSocket, between the layer that received it and the dialogue that decides about it."""

from dataclasses import dataclass, field
from typing import NamedTuple

# Close codes: RFC 6455, section 7.4.1.
TOO_LARGE, FAILED = 1009, 1011


class Outgoing(NamedTuple):
    """A message to send."""

    to_client: bool
    is_text: bool
    content: bytes


@dataclass
class SocketMessage:
    """A message that was received, and what is done about it.

    Only what stands in `outgoing` is sent; `close` (code and reason) ends the WebSocket.
    `large`: it exceeds the limit and was not kept. `last`: it is no message: its side closes, and
    `content` is the reason that it gives, and that is sent on.
    """

    from_client: bool
    is_text: bool = True
    content: bytes = b""
    large: bool = False
    last: bool = False
    outgoing: list[Outgoing] = field(default_factory=list)
    close: tuple[int, str] | None = None
