"""A WebSocket of which nobody can read what is said: its provider's entry lets it pass, and the record says so.

Its messages are counted and sent as they are.
"""

from collections.abc import Callable

from addons.calls.refusal import POLICY_VIOLATION, SWITCHING_PROTOCOLS
from addons.dialogues.message import TOO_LARGE, Outgoing, SocketMessage
from addons.dialogues.totals import AnswerTotals
from addons.record.recorder import OpenRecord, Recorder
from contract.decision import Outcome


class UnreadDialogue:
    """One of them."""

    def __init__(
        self, recorder: Recorder, record: OpenRecord, still: Callable[[], object]
    ):
        """`still`: its caller, None where the key has ended."""
        self._recorder, self._record, self._still = recorder, record, still
        self._answers = record.answer = AnswerTotals(coverage="none")

    async def take(self, message: SocketMessage) -> None:
        """Send a message on."""
        if message.large:
            message.close = (TOO_LARGE, "The message exceeds EARTHFLOW_MAX_BODY")
        elif message.from_client and self._still() is None:
            message.close = POLICY_VIOLATION, "The Earthflow key has ended"
        elif not message.last:
            if message.from_client:
                self._record.bytes_up += len(message.content)
            else:
                self._answers.size += len(message.content)
            sent = Outgoing(not message.from_client, message.is_text, message.content)
            message.outgoing.append(sent)

    def failed(self, message: SocketMessage, error: Exception, *, passes: bool) -> None:
        """There is nothing that could fail but the sending itself."""

    def end(self, outcome: Outcome) -> None:
        """The WebSocket is closed."""
        self._recorder.complete(self._record, outcome, status=SWITCHING_PROTOCOLS)
