"""The layer of an unopened tunnel, and the one that refuses a connection."""

from collections.abc import Callable

from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.tcp import TCPLayer

Commands = layer.CommandGenerator[None]


class TunnelLayer(TCPLayer):
    """Passes bytes on unopened. `on_end` gets their number, up and down."""

    def __init__(self, context: Context, on_end: Callable[[int, int], None]):
        super().__init__(context, ignore=True)
        self._on_end = on_end
        self.up = self.down = 0

    def relay_messages(self, event: events.Event) -> Commands:
        if isinstance(event, events.DataReceived):
            if event.connection == self.context.client:
                self.up += len(event.data)
            else:
                self.down += len(event.data)
        yield from super().relay_messages(event)
        if self._handle_event == self.done:
            self._on_end(self.up, self.down)


class RefusedLayer(layer.Layer):
    """Closes the connection at its first event."""

    def _handle_event(self, event: events.Event) -> Commands:
        yield commands.CloseConnection(self.context.client)
