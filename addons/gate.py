"""The hooks, in the order of traffic, and the one guard for failure.

mitmproxy lets a request through when a hook raises. Here every hook that could let something pass is `guarded`: whatever is raised
inside becomes a refusal and a recorded decision, or, where the operator wrote EARTHFLOW_FAIL_MODE=open, a recorded pass of a call
whose sender was known. Do not weaken: a hook without a guard, or one that catches for itself, is a way around the rules.
"""

import functools
import inspect
import logging
import time
from collections.abc import Callable
from typing import Any

from mitmproxy import http
from mitmproxy.connection import Client
from mitmproxy.proxy.server_hooks import ServerConnectionHookData

from addons import back, enforce
from addons.callers import Callers, end
from addons.connections import Connections
from addons.distrust import Distrust
from addons.flows import address_of, place_of, request_of
from addons.front import Front, Session
from addons.heads import names_agree, private_names, proxy_key
from addons.health import Health
from addons.judges import Judged, Judges
from addons.judging import read, read_head
from addons.layers import AT_ONCE, REPLACED, Bounds
from addons.limits import YES, Allowance, Limiter
from addons.passage import PASSAGE, Passage
from addons.probe import is_probe, seen
from addons.providers import Directory
from addons.providers.provider import UNSENT, Provider
from addons.record import Address, Ongoing, Recorder, blocked_message
from addons.relay import away, relay, stream_answer
from addons.resolver import InternalAddress, Resolver, ours
from addons.settings import ProxySettings
from addons.snapshot import Holder, Identity, NoSnapshot
from addons.sockets import Sockets
from contract.decision import Outcome, Reason

logger = logging.getLogger("earthflow.gate")

MAX_HEADERS = 100

Hook = Callable[..., Any]


def guarded(hook: Hook) -> Hook:
    """Whatever the hook raises ends in `Gate.failed`, and nowhere else."""

    @functools.wraps(hook)
    async def guard_async(self: "Gate", flow: http.HTTPFlow) -> None:
        try:
            await hook(self, flow)
        except Exception as error:
            self.failed(flow, error)

    @functools.wraps(hook)
    def guard(self: "Gate", flow: http.HTTPFlow) -> None:
        try:
            hook(self, flow)
        except Exception as error:
            self.failed(flow, error)

    return guard_async if inspect.iscoroutinefunction(hook) else guard


class Gate:
    """Earthflow as mitmproxy sees it."""

    name = "earthflow"

    def __init__(
        self,
        settings: ProxySettings,
        holder: Holder,
        recorder: Recorder,
        resolver: Resolver,
        health: Health,
        distrust: Distrust,
        limiter: Limiter,
    ):
        """Raises BadProviders."""
        self._settings, self._holder, self._recorder = settings, holder, recorder
        self._resolver, self._health, self._limiter = resolver, health, limiter
        self._status = int(settings.block_status)
        self._judges = Judges(holder)
        self._providers = Directory(settings.providers)
        self.connections = Connections(settings.limits, end)
        bounds = Bounds(
            self.connections, lambda host: self._providers.of(host) is not None, enforce.is_opaque
        )
        self.front = Front(settings.control, bounds, self.tunnel_ended, self.tunnel_mismatch)
        fails_open = settings.fail_mode == "open"
        self.addons = [  # mitmproxy asks them, too
            Callers(self.front, self.connections, recorder, distrust),
            Sockets(self._judges, limiter, recorder, self.connections, health, fails_open=fails_open),
        ]

    # -- who ----------------------------------------------------------------------------------------------------------

    @guarded
    async def http_connect(self, flow: http.HTTPFlow) -> None:
        """CONNECT: who calls, and may the tunnel go where it wants to go."""
        self.connections.came(flow.client_conn)
        if self._needs_certificate(flow):
            return
        identity = self._identify(flow)
        if identity is None:
            enforce.challenge(flow)
            return
        opened = self._providers.of(flow.request.host) is not None or is_probe(flow.request.host)
        session = Session(identity, flow.request.host, flow.request.port, opened)
        flow.metadata[PASSAGE] = Passage(identity)
        if session.opened or await self._may_tunnel(flow, session):
            self.front.sessions[flow.client_conn] = session
        if session.opened:
            self.connections.expect(flow.client_conn)

    def _needs_certificate(self, flow: http.HTTPFlow) -> bool:
        """Refuse who came without TLS, where clients must show a certificate."""
        if self._settings.tls_ca is None or flow.client_conn.tls:
            return False
        flow.response = http.Response.make(
            403, "Connect to this proxy with TLS (https://) and a client certificate.\n"
        )
        return True

    async def _may_tunnel(self, flow: http.HTTPFlow, session: Session) -> bool:
        """Whether an unopened tunnel may go where it wants to; recorded either way."""
        if self._denied(flow):
            return False
        try:
            await self._resolver.resolve(session.host, session.port)
        except InternalAddress as error:
            self._refuse(flow, "internal_address", 403, str(error))
            return False
        except OSError as error:
            reason = f"{session.host} does not resolve: {error.strerror}"
            ongoing = self._recorder.tunnelled(session.identity, address_of(flow), tunnel=True)
            ongoing.trouble = reason
            self._recorder.complete(ongoing, "upstream_error", status=enforce.BAD_GATEWAY)
            flow.response = http.Response.make(enforce.BAD_GATEWAY, f"{reason}\n")
            return False
        session.ongoing = self._recorder.tunnelled(session.identity, address_of(flow), tunnel=True)
        self.connections.tunnels(flow.client_conn)
        return True

    def _denied(self, flow: http.HTTPFlow) -> bool:
        """Refuse what goes to a host that is no AI provider's, where the operator wants that, for all or for this tenant."""
        passage: Passage = flow.metadata[PASSAGE]
        if (passage.identity.tenant.unknown_hosts or self._settings.unknown_hosts) == "tunnel":
            return False
        message = (
            f"{flow.request.host} is no AI provider's host, and others are not let through "
            "(EARTHFLOW_UNKNOWN_HOSTS, or the tenant's own)"
        )
        self._refuse(flow, "unknown_host", 403, message)
        return True

    def _identify(self, flow: http.HTTPFlow) -> Identity | None:
        key = proxy_key(flow.request.headers.pop("proxy-authorization", ""))
        return self._holder.knowledge.identify(key) if key else None

    def client_disconnected(self, client: Client) -> None:
        """Whatever became of its tunnel, it is over now."""
        self.connections.close(client)
        session = self.front.sessions.pop(client, None)
        if session is not None and session.ongoing is not None:
            self._recorder.complete(session.ongoing, "client_abort")

    def tunnel_ended(self, session: Session, up: int, down: int) -> None:
        """A tunnel that was never opened is over."""
        if session.ongoing is not None:
            session.ongoing.bytes_up = up
            self._recorder.complete(session.ongoing, "ok", bytes_down=down)

    def tunnel_mismatch(self, session: Session, name: str) -> None:
        """A tunnel asked for one host turned to an AI host inside."""
        if session.ongoing is not None:
            session.ongoing.trouble = "the ClientHello named an AI host that CONNECT did not"
            self._recorder.complete(session.ongoing, "refused")
        to = Address(name, "CONNECT", f"{session.host}:{session.port}")
        self._recorder.complete(self._recorder.refused(session.identity, to, "authority_mismatch"), "refused")

    # -- where --------------------------------------------------------------------------------------------------------

    @guarded
    async def requestheaders(self, flow: http.HTTPFlow) -> None:
        """A call's head: to the API, to an AI host, or passed on."""
        self.connections.begin(flow.client_conn)
        if flow.error is not None:
            return  # malformed; mitmproxy answers 400 and nothing goes on
        if flow.client_conn in self.front.direct:
            relay(flow, self._health, anyone=self._settings.tls_ca is None or flow.client_conn.tls)
            return
        if flow.client_conn not in self.front.sessions and self._needs_certificate(flow):
            return
        passage = self._passage(flow)
        if passage is None:
            return
        for name in private_names(flow.request.headers):
            flow.request.headers.pop(name, None)
        if not self._agree(flow):
            message = "CONNECT, the TLS server name and the Host header must name the same host"
            self._refuse(flow, "authority_mismatch", 421, message)
        elif len(flow.request.headers.fields) > MAX_HEADERS:
            self._refuse(flow, "too_many_headers", 431, f"The call has more than {MAX_HEADERS} headers")
        elif is_probe(flow.request.host):
            flow.response = seen()
        elif passage.provider is None and "upgrade" in flow.request.headers:
            message = "Other protocols over plain HTTP are not passed on; open a tunnel (CONNECT)"
            self._refuse(flow, "upgrade", enforce.UPGRADE_REQUIRED, message)
        elif passage.provider is None:
            if not self._denied(flow):
                passage.ongoing = self._recorder.tunnelled(passage.identity, address_of(flow), tunnel=False)
                flow.request.stream = passage.ongoing.count_up
        elif "upgrade" in flow.request.headers:
            self._upgrade(flow, passage, passage.provider)
        elif (
            enforce.is_opaque(flow)
            and passage.provider.endpoint(flow.request.method, enforce.path_of(flow)) is None
        ):
            await self._opaque(flow, passage, passage.provider)

    def _upgrade(self, flow: http.HTTPFlow, passage: Passage, provider: Provider) -> None:
        """A WebSocket is opened where we know what is spoken over it; without compression, so that its messages have an end."""
        endpoint = provider.sockets.find(enforce.path_of(flow))
        headers = flow.request.headers
        if (
            endpoint is None
            or headers["upgrade"].lower() != "websocket"
            or headers.get("sec-websocket-version") != "13"
        ):
            message = "Earthflow does not pass this kind of connection; use plain HTTPS"
            self._refuse(flow, "upgrade", enforce.UPGRADE_REQUIRED, message, unreadable=("opaque",))
            return
        passage.format = endpoint.format
        flow.request.headers.pop("sec-websocket-extensions", None)

    async def _opaque(self, flow: http.HTTPFlow, passage: Passage, provider: Provider) -> None:
        """A call in a protocol that we do not read goes on as it comes, if the rules let it: its body may never end."""
        question = self._limiter.ask(passage.identity, self._judges.rate)
        judged = await self._judges.judge(
            passage.identity,
            request_of(flow, provider),
            lambda request, tenant: read_head(request, tenant, unreadable=("unknown_path",)),
        )
        self._decide_within(flow, passage, judged, await self._limiter.settle(question))
        if passage.ongoing is not None and not passage.ongoing.refused:
            passage.ongoing.uncovered = "opaque"
            flow.request.stream = passage.ongoing.count_up
        else:
            flow.metadata[AT_ONCE] = True

    def _passage(self, flow: http.HTTPFlow) -> Passage | None:
        """The caller: of the tunnel, or for a call without one, of its own header. Refuses and gives None where there is none."""
        session = self.front.sessions.get(flow.client_conn)
        identity = session.identity if session else self._identify(flow)
        if identity is None:
            enforce.challenge(flow)
            return None
        passage = flow.metadata[PASSAGE] = Passage(identity, self._providers.of(flow.request.host))
        still = self._holder.knowledge.still(identity)
        if still is None:
            self._refuse(
                flow,
                "key_revoked",
                401,
                "The Earthflow key of this connection has ended; reconnect with another",
            )
            return None
        passage.identity = still
        return passage

    def _agree(self, flow: http.HTTPFlow) -> bool:
        """Whether CONNECT, SNI and Host name the same host; what was compared is then what is sent."""
        session = self.front.sessions.get(flow.client_conn)
        inner_tls = session is not None and flow.request.scheme == "https"
        others = (flow.request.authority, flow.client_conn.sni if inner_tls else None)
        agree = names_agree(
            session.host if session else flow.request.host, flow.request.headers.get_all("host"), others
        )
        if agree and not flow.request.is_http2:
            flow.request.authority = ""  # origin form
        return agree

    @guarded
    def earthflow_too_large(self, flow: http.HTTPFlow) -> None:
        """The body is over the cap; layers.py sends what is set here."""
        limit = self._settings.max_body
        message = f"The call's body is larger than {limit} bytes (EARTHFLOW_MAX_BODY)"
        self._refuse(flow, "too_large", enforce.TOO_LARGE, message, unreadable=("too_large",))

    @guarded
    def earthflow_too_slow(self, flow: http.HTTPFlow) -> None:
        """The body trickles in; layers.py sends what is set here."""
        if flow.response is None:
            self._refuse(flow, "too_slow", enforce.TOO_SLOW, "The call's body comes too slowly")

    # -- what, judge, do, record --------------------------------------------------------------------------------------

    @guarded
    async def request(self, flow: http.HTTPFlow) -> None:
        """A whole call: read, judged, recorded, and only then let go or refused. A large one is judged beside the loop."""
        passage: Passage | None = flow.metadata.get(PASSAGE)
        if (
            flow.response is not None
            or passage is None
            or passage.provider is None
            or passage.ongoing is not None
        ):
            return
        request = request_of(flow, passage.provider)
        if passage.format is None:
            counts = flow.request.method not in UNSENT
            question = self._limiter.ask(passage.identity, self._judges.rate) if counts else None
            judged = await self._judges.judge(passage.identity, request, read)
            passage.format = judged.reading.format
            self._decide_within(
                flow, passage, judged, await self._limiter.settle(question) if question is not None else YES
            )
        else:  # a WebSocket's
            format = passage.format
            judged = await self._judges.judge(
                passage.identity, request, lambda told, tenant: read_head(told, tenant, format)
            )
            self._decide(flow, passage, judged, enforce.UPGRADE_REQUIRED)

    def _decide_within(
        self, flow: http.HTTPFlow, passage: Passage, judged: Judged, allowance: Allowance
    ) -> None:
        """Do what was judged, if the tenant may still call."""
        if allowance.allowed or judged.judgement.verdict.action == "BLOCK":
            self._decide(flow, passage, judged, self._status)
        else:
            self._too_many(flow, passage, allowance)

    def _too_many(self, flow: http.HTTPFlow, passage: Passage, allowance: Allowance) -> None:
        """More calls than the tenant may make, or more tokens than it may spend; its SDKs wait, and try again."""
        reason: Reason = "token_budget" if allowance.tokens else "rate_limit"
        self._refuse(flow, reason, enforce.TOO_MANY, allowance.sentence(passage.identity, self._judges.rate))
        enforce.wait(flow, allowance.retry_after)

    def _decide(self, flow: http.HTTPFlow, passage: Passage, judged: Judged, status: int) -> None:
        """Record what was judged, and do it."""
        exchange, verdict = judged.reading.exchange, judged.judgement.verdict
        passage.ongoing = ongoing = self._recorder.judged(
            passage.identity,
            address_of(flow),
            exchange,
            verdict,
            prompt_hash=judged.prompt_hash,
            rulebook=judged.rulebook,
            prompt=judged.prompt,
        )
        ongoing.bytes_up = exchange.size
        if flow.request.timestamp_end is not None:
            ongoing.added_ms = max(0.0, (time.time() - flow.request.timestamp_end) * 1000)
        passage.asked = judged.asked
        if verdict.action == "BLOCK":
            enforce.refuse(
                flow,
                status,
                blocked_message(verdict, ongoing.id),
                ongoing.id,
                enforce.family_of(flow, passage),
            )
        elif flow.request.raw_content is not None:
            enforce.let_go(flow, judged.judgement.body)

    def _refuse(
        self, flow: http.HTTPFlow, reason: Reason, status: int, message: str, unreadable: tuple[str, ...] = ()
    ) -> Ongoing:
        """Refuse for a reason of our own, and record it."""
        passage: Passage = flow.metadata[PASSAGE]
        name = passage.provider.name if passage.provider else ""
        ongoing = self._recorder.refused(
            passage.identity, address_of(flow), reason, provider=name, unreadable=unreadable
        )
        if passage.ongoing is not None:
            self._recorder.complete(passage.ongoing, "refused")
        passage.ongoing = ongoing
        enforce.refuse(
            flow, status, f"{message} (decision {ongoing.id})", ongoing.id, enforce.family_of(flow, passage)
        )
        return ongoing

    # -- the answer ---------------------------------------------------------------------------------------------------

    @guarded
    def responseheaders(self, flow: http.HTTPFlow) -> None:
        """An answer's head: how it goes on."""
        if flow.client_conn in self.front.direct:
            stream_answer(flow)
            return
        passage: Passage | None = flow.metadata.get(PASSAGE)
        if flow.response is None or passage is None or passage.ongoing is None or passage.ongoing.refused:
            return
        if flow.response.status_code == enforce.SWITCHING and passage.format is not None:
            return
        if self.connections.is_old(flow.client_conn) and not flow.request.is_http2:
            flow.response.headers["connection"] = "close"
        flow.response.stream = True
        if passage.provider is not None:
            back.begin(flow, passage, self._status, self._answer_failed)
        else:
            back.count(flow.response, passage.ongoing)

    @guarded
    def earthflow_answer_too_large(self, flow: http.HTTPFlow) -> None:
        """More of a whole answer came than is held; layers.py lets it stream, or sends what is set here."""
        back.too_large(flow, flow.metadata[PASSAGE], self._status)

    async def response(self, flow: http.HTTPFlow) -> None:
        """The exchange is over, answered; a whole answer is judged now, and then sent."""
        await self._whole_answer(flow)
        if flow.websocket is None:
            self._complete(flow, "ok")

    @guarded
    async def _whole_answer(self, flow: http.HTTPFlow) -> None:
        passage: Passage | None = flow.metadata.get(PASSAGE)
        if (
            passage is not None
            and passage.whole
            and passage.ongoing is not None
            and passage.ongoing.answer is None
        ):
            await back.judge(flow, passage, self._status)

    def _answer_failed(self, error: Exception) -> bool:
        """Count and log it; whether what could not be judged passes."""
        self._health.count_failure()
        logger.error(
            "%s at %s in an answer (EARTHFLOW_FAIL_MODE=%s)",
            type(error).__name__,
            place_of(error),
            self._settings.fail_mode,
        )
        return self._settings.fail_mode == "open"

    # -- the end ------------------------------------------------------------------------------------------------------

    def http_connect_error(self, flow: http.HTTPFlow) -> None:
        """A tunnel was refused; its exchange, if it had one, is over."""
        self._complete(flow, "refused")

    def error(self, flow: http.HTTPFlow) -> None:
        """The exchange is over, cut off: by the client, or because the upstream failed, which is answered in the provider's words."""
        text = flow.error.msg if flow.error else ""
        if flow.client_conn in self.front.direct:
            self.connections.over(flow.client_conn)
            away(flow)
            return
        passage: Passage | None = flow.metadata.get(PASSAGE)
        if passage is None or passage.ongoing is None:
            self.connections.over(flow.client_conn)
            return
        passage.ongoing.trouble = passage.ongoing.trouble or text
        gone = "lient disconnected" in text or "by client" in text or not flow.client_conn.connected
        if not gone and flow.response is None:
            message = f"Earthflow could not reach {flow.request.host}: {text} (decision {passage.ongoing.id})"
            enforce.unreachable(flow, message, passage.ongoing.id, enforce.family_of(flow, passage))
        self._complete(flow, "client_abort" if gone else "upstream_error")

    def _complete(self, flow: http.HTTPFlow, outcome: Outcome) -> None:
        if flow.request.method != "CONNECT":
            self.connections.over(flow.client_conn)
        passage: Passage | None = flow.metadata.get(PASSAGE)
        if passage is not None and passage.ongoing is not None:
            self._recorder.complete(
                passage.ongoing, outcome, status=flow.response.status_code if flow.response else None
            )

    # -- dialling -----------------------------------------------------------------------------------------------------

    def server_connect(self, data: ServerConnectionHookData) -> None:
        """The API's callers are led to control; every other dial is checked by the resolver."""
        if data.client in self.front.direct and data.server.address == self._settings.control:
            ours()

    # -- failure ------------------------------------------------------------------------------------------------------

    def failed(self, flow: http.HTTPFlow, error: Exception) -> None:
        """The one guard: refuse and record, or, only where the operator wrote `open`, pass and record."""
        self._health.count_failure()
        where = place_of(error)
        logger.error(
            "%s at %s in a hook (EARTHFLOW_FAIL_MODE=%s)",
            type(error).__name__,
            where,
            self._settings.fail_mode,
        )
        passage: Passage | None = flow.metadata.get(PASSAGE)
        why = str(error) if isinstance(error, NoSnapshot) else "engine_error"
        if passage is None:
            flow.response = http.Response.make(503, f"Earthflow cannot judge now: {why}\n")
            return
        try:
            if isinstance(error, NoSnapshot):
                self._refuse(flow, "no_snapshot", 503, f"Earthflow cannot judge now: {why}")
            else:
                self._record_failure(flow, passage, where)
        except Exception as second:  # even the record failed: nothing goes on
            logger.critical("%s at %s while recording a failure", type(second).__name__, place_of(second))
            flow.response = http.Response.make(503, "Earthflow cannot record this call, so it is refused.\n")

    def _record_failure(self, flow: http.HTTPFlow, passage: Passage, where: str) -> None:
        if (
            passage.ongoing is None
            and self._settings.fail_mode == "open"
            and flow.request.method != "CONNECT"
        ):
            name = passage.provider.name if passage.provider else ""
            passage.ongoing = self._recorder.passed(
                passage.identity, address_of(flow), "engine_error", provider=name
            )
            passage.ongoing.trouble = where
            return
        message = "Earthflow could not judge this call"
        if passage.ongoing is None:
            self._refuse(flow, "engine_error", self._status, message).trouble = where
        elif flow.response is not None and self._settings.fail_mode == "open":  # its answer
            passage.ongoing.trouble = where
        else:  # decided already: what was decided cannot be done, so it ends here
            passage.ongoing.refused, passage.ongoing.trouble = True, where
            flow.metadata[REPLACED] = True
            told = f"{message} (decision {passage.ongoing.id})"
            enforce.refuse(flow, self._status, told, passage.ongoing.id, enforce.family_of(flow, passage))
