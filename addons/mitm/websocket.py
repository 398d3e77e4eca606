"""The layer of a WebSocket: no message is sent except through `SocketMessageHook`, and none is kept."""

from dataclasses import dataclass

import wsproto.events
from mitmproxy import http
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.websocket import (
    WebsocketConnection,
    WebsocketEndHook,
    WebsocketLayer,
)
from wsproto.connection import ConnectionState
from wsproto.frame_protocol import CloseReason

from addons.dialogues.message import SocketMessage
from addons.mitm.budget import Budget

# Bytes that a fragment of a message counts besides its own, so that a million empty ones
# reach the limit, too: a list's slot and a bytes object.
FRAGMENT_OVERHEAD = 100
DEFAULT_MAX_MESSAGE = 32 * 1024 * 1024  # until the HTTP layer sets EARTHFLOW_MAX_BODY

Commands = layer.CommandGenerator[None]
Fragment = wsproto.events.TextMessage | wsproto.events.BytesMessage


@dataclass
class SocketMessageHook(commands.StartHook):
    """A message was received. Only what the hook puts into `outgoing` is sent."""

    name = "earthflow_message"
    received: tuple[http.HTTPFlow, SocketMessage]  # a hook has one argument


class JudgedWebSocket(WebsocketLayer):
    """Takes the place of mitmproxy's layer, which keeps every message and sends it by itself."""

    def __init__(self, context: Context, flow: http.HTTPFlow):
        super().__init__(context, flow)
        self.max_message = DEFAULT_MAX_MESSAGE
        self._budget = Budget()
        # bytes of the unfinished message, from the client (True) and the server (False)
        self._held = {True: 0, False: 0}

    def relay_messages(self, event: events.Event) -> Commands:
        assert isinstance(event, events.ConnectionEvent)
        from_client = event.connection == self.context.client
        source = self.client_ws if from_client else self.server_ws
        data = event.data if isinstance(event, events.DataReceived) else None
        source.receive_data(data)
        for received in source.events():
            if self._spend(received):
                end = CloseReason.POLICY_VIOLATION, "too many control frames"
                self._note_end(CloseReason.ABNORMAL_CLOSURE, from_client=from_client)
                yield from self._close(wsproto.events.CloseConnection(*end))
                return
            if isinstance(received, Fragment):
                yield from self._fragment(source, received, from_client)
            elif isinstance(received, wsproto.events.Ping):
                # Answered here: its payload would reach the other side unjudged.
                yield source.send2(received.response())
            elif isinstance(received, wsproto.events.CloseConnection):
                self._note_end(received.code, from_client=from_client)
                # First settle what is held of the other side's messages.
                said = b"" if from_client else (received.reason or "").encode()
                last = SocketMessage(from_client, content=said, last=True)
                yield from self._pass(last)
                reason = last.content.decode()
                yield from self._close(
                    wsproto.events.CloseConnection(received.code, reason)
                )
            if self._handle_event == self.done:
                return

    def _spend(self, received: wsproto.events.Event) -> bool:
        """Whether a frame that says nothing is one too many."""
        silent = isinstance(received, wsproto.events.Ping | wsproto.events.Pong) or (
            isinstance(received, Fragment)
            and not received.data
            and not received.message_finished
        )
        return silent and self._budget.is_spent(1)

    def _fragment(
        self, source: WebsocketConnection, fragment: Fragment, from_client: bool
    ) -> Commands:
        data = fragment.data
        is_text = isinstance(data, str)
        source.frame_buf.append(data.encode() if isinstance(data, str) else bytes(data))
        self._held[from_client] += len(source.frame_buf[-1]) + FRAGMENT_OVERHEAD
        if self._held[from_client] > self.max_message:
            source.frame_buf = []
            yield from self._judge(SocketMessage(from_client, large=True))
        elif fragment.message_finished:
            content = b"".join(source.frame_buf)
            source.frame_buf, self._held[from_client] = [], 0
            yield from self._judge(SocketMessage(from_client, is_text, content))

    def _judge(self, message: SocketMessage) -> Commands:
        yield from self._pass(message)
        if message.close is not None:
            yield from self._close(wsproto.events.CloseConnection(*message.close))

    def _pass(self, message: SocketMessage) -> Commands:
        yield SocketMessageHook((self.flow, message))
        for outgoing in message.outgoing:
            target = self.client_ws if outgoing.to_client else self.server_ws
            if target.state is not ConnectionState.OPEN:
                continue
            if outgoing.is_text:
                text = outgoing.content.decode("utf-8", "replace")
                yield target.send2(wsproto.events.TextMessage(text))
            else:
                yield target.send2(wsproto.events.BytesMessage(outgoing.content))

    def _note_end(self, code: int, *, from_client: bool) -> None:
        """How it ended, for the record."""
        assert self.flow.websocket is not None
        self.flow.websocket.close_code = code
        self.flow.websocket.closed_by_client = from_client

    def _close(self, how: wsproto.events.CloseConnection) -> Commands:
        for side in (self.server_ws, self.client_ws):
            # A side that broke off sent no close frame; made of its code, one would say 1000.
            if how.code != CloseReason.ABNORMAL_CLOSURE and side.state in (
                ConnectionState.OPEN,
                ConnectionState.REMOTE_CLOSING,
            ):
                yield side.send2(how)
            yield commands.CloseConnection(side.conn)
        yield WebsocketEndHook(self.flow)
        self.flow.live = False
        self._handle_event = self.done
