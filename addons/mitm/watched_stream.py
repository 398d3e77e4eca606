"""A stream that is looked at from time to time: idle and endless answers are ended, and so are those that nobody reads;
a client that waits gets keepalive bytes.
"""

import time
from typing import Protocol

from mitmproxy.proxy import commands, events
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.http import (
    DropStream,
    ErrorCode,
    HttpResponseHook,
    HttpStream,
    RequestProtocolError,
    ResponseData,
    ResponseEndOfMessage,
    ResponseProtocolError,
    SendHttp,
)

from addons.calls.state import ANSWER
from addons.mitm.back_pressure import BackPressure
from addons.mitm.http1 import Commands
from addons.settings import Limits

# Seconds between two looks at a stream. A client hears something at least this often; SDKs
# and load balancers give up after 30 to 60 seconds of silence.
KEEPALIVE = 10.0


class Answer(Protocol):
    """An answer that streams (`answers/guarded.py`)."""

    @property
    def keepalive(self) -> bytes:
        """Bytes without meaning for a client that waits while text is held, or none."""

    def expire(self, why: str) -> bytes:
        """It took too long; its last bytes, which say why."""


class WatchedStream(HttpStream):
    """One call; its answer has bounds on time."""

    def __init__(
        self,
        context: Context,
        stream_id: int,
        limits: Limits,
        back_pressure: BackPressure,
    ):
        super().__init__(context, stream_id)
        self._limits, self._back_pressure = limits, back_pressure
        self._silent = True
        # When the provider began to answer, and when it last sent something.
        self._answer_began = self._last_data = 0.0

    def _handle_event(self, event: events.Event) -> Commands:
        return (
            self._keep_alive()
            if isinstance(event, events.Wakeup)
            else super()._handle_event(event)
        )

    def _watch(self) -> Commands:
        """Look at the stream from time to time."""
        self._answer_began = self._last_data = time.monotonic()
        yield commands.RequestWakeup(self._pause)

    def _sent(self) -> None:
        """Some of the answer was sent, or waits for its client."""
        self._back_pressure.sent(self.stream_id, self.context.server)

    def _end(self) -> Commands:
        """End the answer before the provider does."""
        yield HttpResponseHook(self.flow)
        yield from self._leave()
        yield SendHttp(ResponseEndOfMessage(self.stream_id), self.context.client)

    def _keep_alive(self) -> Commands:
        """End a stream that is idle or too old; else send keepalive bytes to a waiting client."""
        if self.server_state != self.state_stream_response_body:
            return
        answer: Answer | None = self.flow.metadata.get(ANSWER)
        now = time.monotonic()
        if self._back_pressure.holds(self.stream_id):
            if self._back_pressure.is_stalled(
                self.stream_id, now - self._limits.stream_idle_seconds
            ):
                yield from self._reset()
                return
        elif now - self._last_data > self._limits.stream_idle_seconds:
            yield from self._expire(
                answer,
                f"The provider said nothing for {self._limits.stream_idle_seconds} seconds",
            )
            return
        if now - self._answer_began > self._limits.stream_seconds:
            yield from self._expire(
                answer,
                f"The answer took longer than {self._limits.stream_seconds} seconds",
            )
            return
        if self._silent and answer is not None and (keepalive := answer.keepalive):
            yield SendHttp(ResponseData(self.stream_id, keepalive), self.context.client)
        self._silent = True
        yield commands.RequestWakeup(self._pause)

    @property
    def _pause(self) -> float:
        return min(KEEPALIVE, self._limits.stream_idle_seconds)

    def _expire(self, answer: Answer | None, why: str) -> Commands:
        if answer is not None:
            yield SendHttp(
                ResponseData(self.stream_id, answer.expire(why)), self.context.client
            )
            yield from self._end()
        else:
            yield SendHttp(
                RequestProtocolError(self.stream_id, why, ErrorCode.CANCEL),
                self.context.server,
            )
            yield from super().handle_protocol_error(
                ResponseProtocolError(
                    self.stream_id, why, ErrorCode.GENERIC_SERVER_ERROR
                )
            )

    def _reset(self) -> Commands:
        """The client takes nothing of its answer."""
        why = "the client did not read its answer"
        yield SendHttp(
            ResponseProtocolError(self.stream_id, why, ErrorCode.CANCEL),
            self.context.client,
        )
        yield from self.handle_protocol_error(
            RequestProtocolError(self.stream_id, why, ErrorCode.CANCEL)
        )

    def _leave(self) -> Commands:
        """Leave the upstream: what it does not generate costs nothing."""
        yield SendHttp(
            RequestProtocolError(
                self.stream_id, "ended by Earthflow", ErrorCode.CANCEL
            ),
            self.context.server,
        )
        self.flow.live = False
        self.client_state = self.server_state = self.state_errored
        yield DropStream(self.stream_id)
