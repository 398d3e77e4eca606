"""The hooks of WebSockets to AI hosts: one `Dialogue` for each, or `UnreadDialogue`, and the guard of its messages."""

from dataclasses import replace
from functools import partial

from addons.calls.failures import Failures
from addons.calls.flow import Flow, path_of
from addons.calls.judge import CallJudge
from addons.calls.reading import request_of
from addons.calls.refusal import SWITCHING_PROTOCOLS, family_of
from addons.calls.state import address_of, state_of
from addons.dialogues.dialogue import Dialogue, Handshake
from addons.dialogues.message import FAILED, SocketMessage
from addons.dialogues.unread import UnreadDialogue
from addons.network.connections import Connections
from addons.record.recorder import Recorder
from addons.tenants.rate_limit import RateLimiter
from contract.decision import Outcome

DIALOGUE = "earthflow_dialogue"  # in flow.metadata: the Dialogue of a WebSocket
BROKEN = (1002, 1006, 1007)  # close codes: RFC 6455, section 7.4.1
CLOSE_FAILED = (FAILED, "Earthflow could not judge this message")


class DialogueHooks:
    """What cannot be judged is not sent and ends its WebSocket, unless EARTHFLOW_FAIL_MODE=open."""

    name = "earthflow_dialogues"

    def __init__(
        self,
        judge: CallJudge,
        limiter: RateLimiter,
        recorder: Recorder,
        connections: Connections,
        failures: Failures,
    ):
        self._judge, self._limiter, self._recorder = judge, limiter, recorder
        self._connections, self._failures = connections, failures

    def websocket_start(self, flow: Flow) -> None:
        """Messages follow. Without the Dialogue that is made here, none is sent."""
        state = state_of(flow)
        if state is None or state.provider is None or state.record is None:
            return
        if state.format is None:
            if state.provider.passes_unread(path_of(flow)):
                self._recorder.lasts(state.record)
                still = partial(self._judge.still, state.caller)
                unread = UnreadDialogue(self._recorder, state.record, still)
                flow.metadata[DIALOGUE] = unread
            return
        self._recorder.lasts(state.record)
        handshake = Handshake(
            state.caller,
            replace(request_of(flow, state.provider), model=state.model),
            state.format,
            family_of(flow, state),
            address_of(flow),
            state.record,
            state.answer_policy,
        )
        flow.metadata[DIALOGUE] = Dialogue(
            self._judge, self._limiter, self._recorder, handshake
        )

    async def earthflow_message(self, received: tuple[Flow, SocketMessage]) -> None:
        """A message was received; decide what is sent."""
        flow, message = received
        dialogue: Dialogue | UnreadDialogue | None = flow.metadata.get(DIALOGUE)
        if dialogue is None:
            message.close = CLOSE_FAILED
            return
        try:
            await dialogue.take(message)
        except Exception as error:
            passes = self._failures.passes(error, "a message")
            dialogue.failed(message, error, passes=passes)

    def websocket_end(self, flow: Flow) -> None:
        """The WebSocket is closed."""
        self._connections.end_call(flow.client_conn)
        dialogue: Dialogue | UnreadDialogue | None = flow.metadata.get(DIALOGUE)
        state = state_of(flow)
        if dialogue is not None:
            dialogue.end(_outcome(flow))
        elif state is not None and state.record is not None:
            self._recorder.complete(
                state.record, "upstream_error", status=SWITCHING_PROTOCOLS
            )


def _outcome(flow: Flow) -> Outcome:
    """How a WebSocket ended: a side that broke off, or whose frames were none, sent no close frame."""
    ended = flow.websocket
    if ended is None or ended.close_code not in BROKEN:
        return "ok"
    return "client_abort" if ended.closed_by_client else "upstream_error"
