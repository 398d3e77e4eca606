"""A streamed answer as the transport sees it: every exception is caught, and lets
nothing pass unless EARTHFLOW_FAIL_MODE=open.
"""

import time
from dataclasses import dataclass

from addons.answers.loop_budget import LoopBudget
from addons.answers.streamed import StreamedAnswer
from addons.calls.failures import Failures
from addons.providers.error_formats import FAILED, SLOW
from addons.record.recorder import OpenRecord

# Bytes that are judged on the loop; more in a thread. Text in several encodings at once takes 14 us a byte.
LARGE = 4 * 1024
# Strings of JSON in such a piece, by its quotes: each is a text of its own, and costs as much as 50 bytes.
MANY_QUOTES = 400


def is_large(chunk: bytes) -> bool:
    """Whether others would have to wait while it is judged."""
    return len(chunk) > LARGE or chunk.count(b'"') > MANY_QUOTES


class GuardedAnswer:
    """One answer. Give it every chunk, and send what it gives back."""

    def __init__(
        self,
        answer: StreamedAnswer,
        record: OpenRecord,
        failures: Failures,
        budget: LoopBudget,
    ):
        self._answer, self._record, self._failures = answer, record, failures
        self._budget = budget

    @property
    def tenant(self) -> str:
        """Whose call it answers."""
        return self._record.tenant

    @property
    def ended(self) -> bool:
        """Whether Earthflow ended it: then nothing more is sent."""
        return self._answer.ended

    @property
    def keepalive(self) -> bytes:
        """Bytes without meaning for a client that waits while text is held, or none."""
        return self._answer.keepalive

    def is_work(self, chunk: bytes) -> bool:
        """Whether others would have to wait while a chunk is judged."""
        answer = self._answer
        return (
            self._budget.is_spent
            or len(chunk) + answer.held > LARGE
            # At its end, and where it seems to end, all of it is judged together.
            or (answer.is_long and (not chunk or answer.may_conclude(chunk)))
            # Nobody knows how much is in what is packed.
            or (answer.is_packed and bool(chunk))
            or is_large(chunk)
        )

    def feed(self, chunk: bytes) -> bytes:
        """Take a chunk of the provider's; give the bytes to send."""
        if self._record.first_byte is None:
            self._record.first_byte = time.monotonic()
        try:
            return b"".join(self._budget.judge(self._answer.feed, chunk))
        except Exception as error:
            return self._failed(error)

    def end(self) -> bytes:
        """The provider has ended; give the last bytes to send."""
        try:
            last = b"".join(self._budget.judge(self._answer.end))
            if self._answer.torn:
                why = "the answer broke off inside of its encoding"
                self._record.failure, self._record.expired = why, True
            return last
        except Exception as error:
            return self._failed(error)

    def expire(self, why: str) -> bytes:
        """The answer took too long; give its last bytes, which say why."""
        self._record.failure, self._record.expired = why, True
        return b"".join(
            self._answer.cut_off(f"{why} (decision {self._record.id})", SLOW)
        )

    def _failed(self, error: Exception) -> bytes:
        self._record.failure = "engine_error"
        if self._failures.passes(error, "an answer"):
            return b"".join(self._answer.stop_judging())
        message = f"Earthflow could not judge this answer (decision {self._record.id})"
        return b"".join(self._answer.cut_off(message, FAILED))


@dataclass
class Piece:
    """A piece of an answer, or its end (None); and what is sent then, once it is judged."""

    answer: GuardedAnswer
    data: bytes | None
    passed: bytes = b""

    @property
    def is_work(self) -> bool:
        """Whether others would have to wait while it is judged."""
        return self.answer.is_work(self.data or b"")

    def judge(self) -> None:
        """Judge it."""
        self.passed = (
            self.answer.end() if self.data is None else self.answer.feed(self.data)
        )
