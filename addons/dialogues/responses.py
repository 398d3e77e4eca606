"""Which responses of a provider are in progress on a WebSocket, by the messages that begin and end them.

OpenAI's Realtime and Responses APIs name a response by type and id; Gemini Live shows its
state by the fields that a message has. An unknown message counts as one that may continue.
"""

from dataclasses import dataclass, field
from typing import Any

import msgspec

MAX_OPEN = 1000  # responses at once; OpenAI allows one by default, and few out of band
BEGIN = ("response.created", "response.queued", "response.in_progress")
END = (
    "response.done",
    "response.completed",
    "response.failed",
    "response.incomplete",
)
# Types whose messages are complete in themselves.
COMPLETE = (
    "session.",
    "conversation.",
    "input_audio_buffer.",
    "output_audio_buffer.",
    "rate_limits.",
    "error",
    "response.",
)
GEMINI_COMPLETE = {
    "set_up": "setupComplete",
    "leaving": "goAway",
    "resumption": "sessionResumptionUpdate",
    "usage": "usageMetadata",
}


class _Response(msgspec.Struct):
    id: str = ""


class _Content(msgspec.Struct, rename="camel"):
    turn_complete: bool = False
    interrupted: bool = False


class _ProviderMessage(
    msgspec.Struct,
    rename={
        "content": "serverContent",
        "call": "toolCall",
        "cancelled": "toolCallCancellation",
    }
    | GEMINI_COMPLETE,
):
    """The fields of a message that tell which response it belongs to."""

    type: str = ""
    response_id: str = ""
    response: _Response | None = None
    content: _Content | None = None
    call: Any = None
    cancelled: Any = None
    set_up: Any = None
    leaving: Any = None
    resumption: Any = None
    usage: Any = None

    @property
    def is_complete(self) -> bool:
        """Whether no later message can continue it."""
        if self.type:
            return self.type.startswith(COMPLETE)
        gemini = (
            self.cancelled,
            self.set_up,
            self.leaving,
            self.resumption,
            self.usage,
        )
        return any(part is not None for part in gemini)


class _Turn(msgspec.Struct, rename="camel"):
    turn_complete: bool = False


class _ClientMessage(msgspec.Struct):
    """The fields of a client's message that tell whether it wants an answer."""

    type: str = ""
    client_content: _Turn | None = msgspec.field(default=None, name="clientContent")


_from_provider = msgspec.json.Decoder(_ProviderMessage)
_from_client = msgspec.json.Decoder(_ClientMessage)
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


@dataclass
class OpenResponses:
    """The responses in progress, by id; those without an id count as one."""

    ids: set[str] = field(default_factory=set)

    def take(self, content: bytes) -> bool:
        """Take a message of the provider; whether a response ended with it."""
        try:
            message = _from_provider.decode(content)
        except _UNREADABLE:
            message = _ProviderMessage(type=".delta")  # unknown, so it may continue
        id = message.response.id if message.response else ""
        if message.type in END:
            self.ids -= {id, ""}
            return True
        if message.type in BEGIN or message.type.endswith(".delta"):
            self._add(message.response_id or id)
        elif message.content is not None:
            return self._take_content(message.content)
        elif message.call is not None:  # now the client speaks
            self.ids.discard("")
        elif not message.is_complete:
            self._add("")
        return False

    def _take_content(self, content: _Content) -> bool:
        ended = content.turn_complete or content.interrupted
        if ended:  # transcriptions may follow `generationComplete`
            self.ids.discard("")
        else:
            self._add("")
        return ended

    def _add(self, id: str) -> None:
        if len(self.ids) < MAX_OPEN:
            self.ids.add(id)


def asks_for_answer(content: bytes) -> bool:
    """Whether a client's message makes the provider answer, even if it has no text itself."""
    try:
        message = _from_client.decode(content)
    except _UNREADABLE:
        return False
    turn = message.client_content
    return message.type == "response.create" or (
        turn is not None and turn.turn_complete
    )
