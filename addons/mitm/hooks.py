"""Earthflow as mitmproxy sees it: each hook calls one step and carries out what the step gives.

The order of the traffic:

    http_connect                  Tunnels.open
    requestheaders                Gate.head
    earthflow_too_large, _slow    Gate.too_large, too_slow      (raised by mitm/http.py)
    request                       Gate.decide                   → the call is sent
    responseheaders               Gate.answer_head
    earthflow_answer_too_large    Gate.answer_too_large         (raised by mitm/http.py)
    earthflow_judge               GuardedAnswer.feed            (raised by mitm/http.py)
    response                      Gate.whole_answer, complete   → the answer is sent
    error                         Gate.cut_off, complete

Nothing here decides. The steps are guarded, and so is each hook around its step: mitmproxy
passes on what a hook that raised was asked about.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any

from mitmproxy import http
from mitmproxy.connection import Client
from mitmproxy.proxy.server_hooks import ServerConnectionHookData

from addons.answers.guarded import Piece
from addons.api_relay import ApiRelay
from addons.calls.flow import is_opaque, send_body
from addons.calls.refusal import UNAVAILABLE, Refuse, Step
from addons.gate import Gate
from addons.mitm.error_page import unquoted
from addons.mitm.handlers import abandon_uploads
from addons.mitm.http_hooks import AT_ONCE, LEFT, REPLACED
from addons.mitm.layer_choice import LayerChoice
from addons.network.connections import Connections
from addons.network.resolver import mark_caller, mark_own_connections
from addons.settings import Address
from addons.tunnels import Tunnels
from contract.decision import Outcome

FAILED = b"Earthflow failed to handle this call, so it is refused.\n"


def closed(hook: Callable[..., Any]) -> Callable[..., Any]:
    """Refuse the call, or the answer, whose hook raises."""

    @functools.wraps(hook)
    async def close_async(self: "Hooks", flow: http.HTTPFlow) -> None:
        try:
            await hook(self, flow)
        except Exception as error:
            self.refuse_failed(flow, error)

    @functools.wraps(hook)
    def close(self: "Hooks", flow: http.HTTPFlow) -> None:
        try:
            hook(self, flow)
        except Exception as error:
            self.refuse_failed(flow, error)

    return close_async if inspect.iscoroutinefunction(hook) else close


class Hooks:
    """The hooks of calls and tunnels. `addons` are asked beside it."""

    name = "earthflow"

    def __init__(
        self,
        gate: Gate,
        tunnels: Tunnels,
        layer_choice: LayerChoice,
        api_relay: ApiRelay,
        connections: Connections,
        control: Address,
        addons: list[Any],
    ):
        self._gate, self._tunnels, self._layer_choice = gate, tunnels, layer_choice
        self._api_relay = api_relay
        self._connections = connections
        self._control = control
        self.addons = addons

    # -- tunnels ------------------------------------------------------------------------

    @closed
    async def http_connect(self, flow: http.HTTPFlow) -> None:
        """CONNECT."""
        _carry_out(flow, await self._tunnels.open(flow))

    def http_connect_error(self, flow: http.HTTPFlow) -> None:
        """A CONNECT was refused."""
        self._gate.complete(flow, "refused")

    def client_disconnected(self, client: Client) -> None:
        """A client's connection is closed."""
        tunnel = self._tunnels.of(client)
        if tunnel is not None and tunnel.opened:
            abandon_uploads(client)
        self._tunnels.disconnected(client)

    def server_connect(self, data: ServerConnectionHookData) -> None:
        """API clients are connected to control; the resolver checks every other connection."""
        is_api = data.client in self._layer_choice.api_clients
        if is_api and data.server.address == self._control:
            mark_own_connections()
        tunnel = self._tunnels.of(data.client)
        peer = data.client.peername
        mark_caller(tunnel.caller.key.id if tunnel else peer and peer[0])

    # -- calls --------------------------------------------------------------------------

    @closed
    async def requestheaders(self, flow: http.HTTPFlow) -> None:
        """The head of a call."""
        self._connections.begin_call(flow.client_conn)
        if flow.error is not None:
            return  # malformed: mitmproxy answers 400 and sends nothing on
        if self._is_api(flow):
            reply = self._api_relay.relay(flow)
            if reply is not None:
                _carry_out(flow, Refuse(reply))
            return
        step = await self._gate.head(flow)
        _carry_out(flow, step)
        if isinstance(step, Refuse) and is_opaque(flow):
            flow.metadata[AT_ONCE] = True

    @closed
    async def request(self, flow: http.HTTPFlow) -> None:
        """A whole call."""
        if self._is_api(flow):
            return
        _carry_out(flow, await self._gate.decide(flow))

    @closed
    def earthflow_too_large(self, flow: http.HTTPFlow) -> None:
        """A call's body exceeds the limit."""
        _carry_out(flow, self._gate.too_large(flow))

    @closed
    def earthflow_too_slow(self, flow: http.HTTPFlow) -> None:
        """A call's body arrives too slowly."""
        _carry_out(flow, self._gate.too_slow(flow))

    # -- answers ------------------------------------------------------------------------

    @closed
    def responseheaders(self, flow: http.HTTPFlow) -> None:
        """The head of an answer."""
        if self._is_api(flow):
            if flow.response is not None and flow.request.stream:
                flow.response.stream = True
            return
        _replace(flow, self._gate.answer_head(flow))

    @closed
    def earthflow_answer_too_large(self, flow: http.HTTPFlow) -> None:
        """A whole answer exceeds what is held."""
        _replace(flow, self._gate.answer_too_large(flow))

    @closed
    async def response(self, flow: http.HTTPFlow) -> None:
        """A whole answer, or the end of a streamed one."""
        try:
            _carry_out(flow, await self._gate.whole_answer(flow))
        finally:
            if flow.websocket is None:
                await self._gate.settle(flow)
                self._gate.complete(flow, "ok")

    async def earthflow_judge(self, piece: Piece) -> None:
        """A piece of an answer that takes long to judge."""
        await self._gate.judge_piece(piece)

    async def error(self, flow: http.HTTPFlow) -> None:
        """A call broke off: its client left, or its provider failed."""
        if self._is_api(flow):
            self._connections.end_call(flow.client_conn)
            _carry_out(flow, Refuse(self._api_relay.unreachable()))
            return
        by_client = LEFT in flow.metadata or not flow.client_conn.connected
        reached = flow.server_conn.timestamp_start is not None
        why = flow.error.msg if flow.error else ""
        try:
            why = unquoted(why) if reached else why
            _carry_out(
                flow,
                self._gate.cut_off(flow, why, by_client=by_client, reached=reached),
            )
        finally:
            await self._gate.settle(flow)
            outcome: Outcome = "client_abort" if by_client else "upstream_error"
            self._gate.complete(flow, outcome)

    def refuse_failed(self, flow: http.HTTPFlow, error: Exception) -> None:
        """Replace a call or an answer whose hook raised. This itself cannot raise."""
        try:
            _replace(flow, self._gate.failures.step(flow, error))
        except Exception:  # the reply cannot be made: one that depends on nothing
            flow.response = http.Response.make(UNAVAILABLE, FAILED)
            flow.metadata[REPLACED] = True

    def _is_api(self, flow: http.HTTPFlow) -> bool:
        return flow.client_conn in self._layer_choice.api_clients


def _carry_out(flow: http.HTTPFlow, step: Step) -> None:
    """Send what a step allows, or its reply."""
    if isinstance(step, Refuse):
        reply = step.reply
        body = b"" if flow.request.method == "HEAD" else reply.body
        flow.response = http.Response.make(reply.status, body, reply.headers)
    elif step.body is not None:
        send_body(flow.request, step.body)


def _replace(flow: http.HTTPFlow, step: Step) -> None:
    """Carry out a step on an answer that mitmproxy would otherwise pass on."""
    _carry_out(flow, step)
    if isinstance(step, Refuse):
        flow.metadata[REPLACED] = True
