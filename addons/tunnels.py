"""CONNECT: who opens a tunnel, to where, and whether Earthflow opens its TLS.

A tunnel to an AI host is opened and its calls are judged. Any other tunnel, where it is
allowed, carries its bytes unopened, and its record counts them.
"""

from dataclasses import dataclass
from weakref import WeakKeyDictionary

from addons.calls.access import Access
from addons.calls.failures import Failures, guarded
from addons.calls.flow import Client, Flow
from addons.calls.refusal import (
    BAD_GATEWAY,
    PASS,
    Refusal,
    Refuse,
    Refuser,
    Step,
    challenge,
    plain,
)
from addons.calls.state import STATE, CallState, address_of
from addons.network.connections import Connections
from addons.network.probe import is_probe
from addons.network.resolver import InternalAddress, Resolver
from addons.providers import Directory
from addons.record.recorder import Address, OpenRecord, Recorder
from addons.tenants.compiled_snapshot import Caller


@dataclass(slots=True)
class Tunnel:
    """A client's authenticated tunnel. `opened`: its TLS ends here. Else `record` is its own."""

    caller: Caller
    host: str
    port: int
    opened: bool
    record: OpenRecord | None = None


class Tunnels:
    """The tunnels of all connected clients; each client has at most one."""

    def __init__(
        self,
        access: Access,
        providers: Directory,
        resolver: Resolver,
        connections: Connections,
        recorder: Recorder,
        refuser: Refuser,
        failures: Failures,
    ):
        self.failures = failures
        self._access, self._providers, self._resolver = access, providers, resolver
        self._connections = connections
        self._recorder = recorder
        self._refuser = refuser
        self._tunnels: WeakKeyDictionary[Client, Tunnel] = WeakKeyDictionary()

    def of(self, client: Client) -> Tunnel | None:
        """The client's tunnel, if it has one."""
        return self._tunnels.get(client)

    @guarded
    async def open(self, flow: Flow) -> Step:
        """A CONNECT request: refuse it, or remember the tunnel."""
        client, request = flow.client_conn, flow.request
        self._connections.arrived(client)
        if (reply := self._access.without_certificate(flow)) is not None:
            return Refuse(reply)
        caller = self._access.caller(flow)
        if caller is None:
            return Refuse(challenge())
        provider = self._providers.of(request.host)
        opened = provider is not None or is_probe(request.host)
        tunnel = Tunnel(caller, request.host, request.port, opened)
        state = flow.metadata[STATE] = CallState(caller)
        step = PASS if opened else await self._unopened(flow, state, tunnel)
        if isinstance(step, Refuse):
            return step
        self._tunnels[client] = tunnel
        if opened:
            self._connections.expect(client)
        else:
            self._connections.mark_tunnel(client)
        return PASS

    async def _unopened(self, flow: Flow, state: CallState, tunnel: Tunnel) -> Step:
        """Whether an unopened tunnel may lead where it wants to; recorded either way."""
        try:
            refusal = self._access.forbidden(flow, state) or await self.leads_inside(
                tunnel.caller, tunnel.host, tunnel.port
            )
        except OSError as error:
            return self._unresolved(flow, tunnel, error)
        if refusal is not None:
            return self._refuser.refuse(flow, refusal)
        tunnel.record = self._recorder.tunnelled(
            tunnel.caller, address_of(flow), tunnel=True
        )
        return PASS

    async def leads_inside(
        self, caller: Caller, host: str, port: int
    ) -> Refusal | None:
        """Why nothing may go there: the name leads to an internal address. Raises OSError where it leads nowhere."""
        try:
            await self._resolver.resolve(host, port, caller.key.id)
        except InternalAddress as error:
            return Refusal("internal_address", 403, str(error))
        return None

    def _unresolved(self, flow: Flow, tunnel: Tunnel, error: OSError) -> Refuse:
        reason = f"{tunnel.host} does not resolve: {error.strerror or error}"
        record = self._recorder.tunnelled(tunnel.caller, address_of(flow), tunnel=True)
        record.failure = reason
        self._recorder.complete(record, "upstream_error", status=BAD_GATEWAY)
        return Refuse(plain(BAD_GATEWAY, reason))

    def ended(self, tunnel: Tunnel, up: int, down: int) -> None:
        """An unopened tunnel ended, after these bytes each way."""
        if tunnel.record is not None:
            tunnel.record.bytes_up = up
            self._recorder.complete(tunnel.record, "ok", bytes_down=down)

    def mismatched(self, tunnel: Tunnel, name: str) -> None:
        """The ClientHello inside an unopened tunnel named an AI host that CONNECT did not."""
        if tunnel.record is not None:
            tunnel.record.failure = (
                "the ClientHello named an AI host that CONNECT did not"
            )
            self._recorder.complete(tunnel.record, "refused")
        to = Address(name, "CONNECT", f"{tunnel.host}:{tunnel.port}")
        record = self._recorder.refused(tunnel.caller, to, "authority_mismatch")
        self._recorder.complete(record, "refused")

    def disconnected(self, client: Client) -> None:
        """A client's connection closed; its tunnel, if it has one, ends with it."""
        self._connections.close(client)
        tunnel = self._tunnels.pop(client, None)
        if tunnel is not None and tunnel.record is not None:
            self._recorder.complete(tunnel.record, "client_abort")
