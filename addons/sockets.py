"""WebSockets of AI hosts: the layer whose messages go nowhere but by a hook, and the hooks.

The layer's class is semi-private in mitmproxy, which is pinned exactly; tests/addons/test_layers.py fails loudly when it changes.
"""

import logging
from dataclasses import dataclass

import wsproto.events
from mitmproxy import http
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers import websocket as websocket_layers
from mitmproxy.proxy.layers.websocket import WebsocketConnection, WebsocketEndHook, WebsocketLayer
from wsproto.connection import ConnectionState

from addons import enforce
from addons.connections import Connections
from addons.dialogue import Dialogue, Frame
from addons.flows import address_of, place_of, request_of
from addons.health import Health
from addons.judges import Judges
from addons.limits import Limiter
from addons.passage import PASSAGE, Passage
from addons.record import Recorder
from addons.snapshot import NoSnapshot

logger = logging.getLogger("earthflow.sockets")

DIALOGUE = "earthflow_dialogue"  # in flow.metadata: the Dialogue of a WebSocket
BROKEN = (1011, "Earthflow could not judge this message")

Commands = layer.CommandGenerator[None]
Said = wsproto.events.TextMessage | wsproto.events.BytesMessage


@dataclass
class FrameHook(commands.StartHook):
    """A message came over a WebSocket. What is not put into `frame.passed` goes nowhere."""

    name = "earthflow_frame"
    came: tuple[http.HTTPFlow, Frame]  # a hook bears one value


class JudgedSocket(WebsocketLayer):
    """A WebSocket whose messages go nowhere but by `FrameHook`; none of them is kept, none is larger than a body may be."""

    PIECE = 100  # bytes that a piece of a message counts for besides its own

    def __init__(self, context: Context, flow: http.HTTPFlow):
        super().__init__(context, flow)
        self.max_message = 32 * 1024 * 1024
        self._held = {
            True: 0,
            False: 0,
        }  # bytes of the message that is coming, from the client and from the server

    def relay_messages(self, event: events.Event) -> Commands:
        assert isinstance(event, events.ConnectionEvent)
        from_client = event.connection == self.context.client
        source = self.client_ws if from_client else self.server_ws
        source.receive_data(event.data if isinstance(event, events.DataReceived) else None)
        for said in source.events():
            if isinstance(said, Said):
                yield from self._piece(source, said, from_client)
            elif isinstance(
                said, wsproto.events.Ping
            ):  # answered here: what it carries would be judged by nobody
                yield source.send2(said.response())
            elif isinstance(said, wsproto.events.CloseConnection):
                yield from self._pass(
                    Frame(from_client, last=True)
                )  # what is held of the other side's messages is settled first
                yield from self._close(
                    wsproto.events.CloseConnection(said.code, "" if from_client else said.reason)
                )
            if self._handle_event == self.done:
                return

    def _piece(self, source: WebsocketConnection, said: Said, from_client: bool) -> Commands:
        is_text = isinstance(said.data, str)
        source.frame_buf.append(said.data.encode() if isinstance(said.data, str) else bytes(said.data))
        self._held[from_client] += len(source.frame_buf[-1]) + self.PIECE
        if self._held[from_client] > self.max_message:
            source.frame_buf = []
            yield from self._judge(Frame(from_client, large=True))
        elif said.message_finished:
            content, source.frame_buf, self._held[from_client] = b"".join(source.frame_buf), [], 0
            yield from self._judge(Frame(from_client, is_text, content))

    def _judge(self, frame: Frame) -> Commands:
        yield from self._pass(frame)
        if frame.close is not None:
            yield from self._close(wsproto.events.CloseConnection(*frame.close))

    def _pass(self, frame: Frame) -> Commands:
        yield FrameHook((self.flow, frame))
        for message in frame.passed:
            target = self.client_ws if message.to_client else self.server_ws
            if target.state is ConnectionState.OPEN:
                text = message.content.decode("utf-8", "replace") if message.is_text else None
                yield target.send2(
                    wsproto.events.BytesMessage(message.content)
                    if text is None
                    else wsproto.events.TextMessage(text)
                )

    def _close(self, how: wsproto.events.CloseConnection) -> Commands:
        for side in (self.server_ws, self.client_ws):
            if side.state in (ConnectionState.OPEN, ConnectionState.REMOTE_CLOSING):
                yield side.send2(how)
            yield commands.CloseConnection(side.conn)
        yield WebsocketEndHook(self.flow)
        self.flow.live = False
        self._handle_event = self.done


websocket_layers.WebsocketLayer = JudgedSocket  # type: ignore[misc]  # likewise


class Sockets:
    """The hooks. What cannot be judged goes nowhere, and its dialogue ends, unless the operator wrote EARTHFLOW_FAIL_MODE=open."""

    name = "earthflow_sockets"

    def __init__(
        self,
        judges: Judges,
        limiter: Limiter,
        recorder: Recorder,
        connections: Connections,
        health: Health,
        *,
        fails_open: bool,
    ):
        self._judges, self._limiter, self._recorder = judges, limiter, recorder
        self._connections, self._health = connections, health
        self._fails_open = fails_open

    def websocket_start(self, flow: http.HTTPFlow) -> None:
        """Messages will come. Without what is set here none goes on."""
        passage: Passage = flow.metadata[PASSAGE]
        if passage.provider is None or passage.format is None or passage.ongoing is None:
            return
        self._recorder.lasts(passage.ongoing)
        flow.metadata[DIALOGUE] = Dialogue(
            self._judges,
            self._limiter,
            self._recorder,
            passage.identity,
            request_of(flow, passage.provider),
            passage.format,
            enforce.family_of(flow, passage),
            address_of(flow),
            passage.ongoing,
            passage.asked,
        )

    async def earthflow_frame(self, came: tuple[http.HTTPFlow, Frame]) -> None:
        """A message came. It is guarded as calls are: what cannot be judged goes nowhere, and its dialogue ends."""
        flow, frame = came
        dialogue: Dialogue | None = flow.metadata.get(DIALOGUE)
        try:
            if dialogue is None:
                frame.close = BROKEN
            else:
                await dialogue.take(frame)
        except Exception as error:
            self._health.count_failure()
            mode = "open" if self._fails_open else "closed"
            logger.error(
                "%s at %s in a message (EARTHFLOW_FAIL_MODE=%s)", type(error).__name__, place_of(error), mode
            )
            if dialogue is None:
                frame.passed, frame.close = [], BROKEN
                return
            dialogue.failed(frame, passes=self._fails_open and not isinstance(error, NoSnapshot))

    def websocket_end(self, flow: http.HTTPFlow) -> None:
        """The dialogue is over."""
        self._connections.over(flow.client_conn)
        if (dialogue := flow.metadata.get(DIALOGUE)) is not None:
            dialogue.end()
        elif (passage := flow.metadata.get(PASSAGE)) is not None and passage.ongoing is not None:
            self._recorder.complete(passage.ongoing, "upstream_error", status=enforce.SWITCHING)
