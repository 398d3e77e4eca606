"""The hooks, in the order of traffic, and the one guard for failure.

mitmproxy lets a request through when a hook raises. Here every hook that could let something pass is `guarded`: whatever is raised
inside becomes a refusal and a recorded decision, or, where the operator wrote EARTHFLOW_FAIL_MODE=open, a recorded pass of a call
whose sender was known. Do not weaken: a hook without a guard, or one that catches for itself, is a way around the rules.
"""

import asyncio
import functools
import inspect
import logging
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from mitmproxy import ctx, http
from mitmproxy.connection import Client
from mitmproxy.proxy.server_hooks import ServerConnectionHookData

from addons import back, enforce
from addons.answer import goes_unescaped
from addons.front import Front, Session
from addons.heads import names_agree, private_names, proxy_key
from addons.health import Health
from addons.judging import Judgement, Request, judge, read
from addons.layers import REPLACED
from addons.passage import PASSAGE, Asked, Passage
from addons.providers import Directory
from addons.providers.provider import Provider
from addons.record import Address, Ongoing, Recorder
from addons.relay import away, relay, stream_answer
from addons.resolver import InternalAddress, Resolver, ours
from addons.rulebooks import Memory
from addons.settings import ProxySettings
from addons.snapshot import Holder, Identity, NoSnapshot
from contract.decision import Outcome, Reason
from rules.exchange import Exchange
from rules.rulebook import Rulebook

logger = logging.getLogger("earthflow.gate")

# What is judged in a thread, so that other calls go on meanwhile: more than so many characters that were not judged before,
# compressed bodies, and calls of more than so many bytes or parts, whatever is known of them.
LARGE, HUGE, MANY = 32 * 1024, 256 * 1024, 1_000
MAX_CONNECTIONS = 1000  # from one client connection to one address; mitmproxy's five would hold back h2 clients of h1 upstreams

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

    def __init__(self, settings: ProxySettings, holder: Holder, recorder: Recorder, resolver: Resolver, health: Health):
        """Raises BadProviders."""
        self._settings, self._holder, self._recorder = settings, holder, recorder
        self._resolver, self._health = resolver, health
        self._status = int(settings.block_status)
        self._memory = Memory()
        self._providers = Directory(settings.providers)
        self.front = Front(settings.control, settings.max_body, self._providers, self.tunnel_ended, self.tunnel_mismatch)

    # -- who ----------------------------------------------------------------------------------------------------------

    def client_connected(self, client: Client) -> None:
        """An h2 client may open as many upstream connections as it has calls."""
        handler = ctx.master.addons.get("proxyserver").connections.get(client.id)
        if handler is not None:
            handler.max_conns = defaultdict(lambda: asyncio.Semaphore(MAX_CONNECTIONS))

    @guarded
    async def http_connect(self, flow: http.HTTPFlow) -> None:
        """CONNECT: who calls, and may the tunnel go where it wants to go."""
        identity = self._identify(flow)
        if identity is None:
            enforce.challenge(flow)
            return
        session = Session(identity, flow.request.host, flow.request.port, self._providers.of(flow.request.host) is not None)
        flow.metadata[PASSAGE] = Passage(identity)
        if session.opened or await self._may_tunnel(flow, session):
            self.front.sessions[flow.client_conn] = session

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
            ongoing = self._recorder.tunnelled(session.identity, _address(flow), tunnel=True)
            ongoing.trouble = reason
            self._recorder.complete(ongoing, "upstream_error", status=enforce.BAD_GATEWAY)
            flow.response = http.Response.make(enforce.BAD_GATEWAY, f"{reason}\n")
            return False
        session.ongoing = self._recorder.tunnelled(session.identity, _address(flow), tunnel=True)
        return True

    def _denied(self, flow: http.HTTPFlow) -> bool:
        """Refuse what goes to a host that is no AI provider's, where the operator wants that."""
        if self._settings.unknown_hosts == "tunnel":
            return False
        message = f"{flow.request.host} is no AI provider's host, and others are not let through (EARTHFLOW_UNKNOWN_HOSTS=deny)"
        self._refuse(flow, "unknown_host", 403, message)
        return True

    def _identify(self, flow: http.HTTPFlow) -> Identity | None:
        key = proxy_key(flow.request.headers.pop("proxy-authorization", ""))
        return self._holder.knowledge.identify(key) if key else None

    def client_disconnected(self, client: Client) -> None:
        """Whatever became of its tunnel, it is over now."""
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
    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """A call's head: to the API, to an AI host, or passed on."""
        if flow.error is not None:
            return  # malformed; mitmproxy answers 400 and nothing goes on
        if flow.client_conn in self.front.direct:
            relay(flow, self._health)
            return
        passage = self._passage(flow)
        if passage is None:
            return
        for name in private_names(flow.request.headers):
            flow.request.headers.pop(name, None)
        if not self._agree(flow):
            message = "CONNECT, the TLS server name and the Host header must name the same host"
            self._refuse(flow, "authority_mismatch", 421, message)
        elif passage.provider is None:
            if not self._denied(flow):
                passage.ongoing = self._recorder.tunnelled(passage.identity, _address(flow), tunnel=False)
                flow.request.stream = True
        elif "upgrade" in flow.request.headers:
            message = "Earthflow does not pass WebSockets of AI hosts yet; use plain HTTPS."
            self._refuse(flow, "upgrade", enforce.UPGRADE_REQUIRED, message, unreadable=("opaque",))

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
            self._refuse(flow, "key_revoked", 401, "The Earthflow key of this connection has ended; reconnect with another")
            return None
        passage.identity = still
        return passage

    def _agree(self, flow: http.HTTPFlow) -> bool:
        """Whether CONNECT, SNI and Host name the same host; what was compared is then what is sent."""
        session = self.front.sessions.get(flow.client_conn)
        inner_tls = session is not None and flow.request.scheme == "https"
        others = (flow.request.authority, flow.client_conn.sni if inner_tls else None)
        agree = names_agree(session.host if session else flow.request.host, flow.request.headers.get_all("host"), others)
        if agree and not flow.request.is_http2:
            flow.request.authority = ""  # origin form
        return agree

    @guarded
    def earthflow_too_large(self, flow: http.HTTPFlow) -> None:
        """The body is over the cap; layers.py sends what is set here."""
        limit = self._settings.max_body
        message = f"The call's body is larger than {limit} bytes (EARTHFLOW_MAX_BODY)"
        self._refuse(flow, "too_large", enforce.TOO_LARGE, message, unreadable=("too_large",))

    # -- what, judge, do, record --------------------------------------------------------------------------------------

    @guarded
    async def request(self, flow: http.HTTPFlow) -> None:
        """A whole call: read, judged, recorded, and only then let go or refused. A large one is judged beside the loop."""
        passage: Passage | None = flow.metadata.get(PASSAGE)
        if flow.response is not None or passage is None or passage.provider is None or passage.ongoing is not None:
            return
        knowledge = self._holder.knowledge
        tenant = passage.identity.tenant
        request = _request(flow, passage.provider)

        small = len(request.body) <= HUGE and not request.encoding
        reading = read(request, tenant.id) if small else await asyncio.to_thread(read, request, tenant.id)
        ready = knowledge.library.ready(tenant.preset, tenant.id)
        rulebook = ready if ready is not None else await asyncio.to_thread(knowledge.rulebook, tenant)
        clean = self._memory.of(tenant.id, rulebook.version)

        def work() -> tuple[Judgement, str]:
            rulebook.warm()
            judgement = judge(reading, rulebook, key=knowledge.placeholder_key(tenant), clean=clean)
            return judgement, knowledge.prompt_hash(tenant, reading.prompt)

        parts = reading.exchange.parts
        quick = small and rulebook.ready and len(parts) <= MANY and clean.fresh(part.text for part in parts) <= LARGE
        judgement, prompt_hash = work() if quick else await asyncio.to_thread(work)
        passage.ongoing = ongoing = self._recorder.judged(
            passage.identity,
            _address(flow),
            reading.exchange,
            judgement.verdict,
            prompt_hash=prompt_hash,
            rulebook=rulebook.version,
        )
        ongoing.bytes_up = len(request.body)
        passage.asked = _asked(reading.exchange, rulebook, knowledge.placeholder_key(tenant), judgement.verdict.restore)
        if judgement.verdict.action == "BLOCK":
            message = enforce.blocked_message(judgement.verdict, ongoing.id)
            enforce.refuse(flow, self._status, message, ongoing.id, passage.provider)
        else:
            enforce.let_go(flow, judgement.body)

    def _refuse(self, flow: http.HTTPFlow, reason: Reason, status: int, message: str, unreadable: tuple[str, ...] = ()) -> Ongoing:
        """Refuse for a reason of our own, and record it."""
        passage: Passage = flow.metadata[PASSAGE]
        name = passage.provider.name if passage.provider else ""
        ongoing = self._recorder.refused(passage.identity, _address(flow), reason, provider=name, unreadable=unreadable)
        passage.ongoing = ongoing
        enforce.refuse(flow, status, f"{message} (decision {ongoing.id})", ongoing.id, passage.provider)
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
        flow.response.stream = True
        if passage.provider is not None:
            back.begin(flow, passage, self._status, self._answer_failed)

    @guarded
    def earthflow_answer_too_large(self, flow: http.HTTPFlow) -> None:
        """More of a whole answer came than is held; layers.py lets it stream, or sends what is set here."""
        back.too_large(flow, flow.metadata[PASSAGE], self._status)

    async def response(self, flow: http.HTTPFlow) -> None:
        """The exchange is over, answered; a whole answer is judged now, and then sent."""
        await self._whole_answer(flow)
        self._complete(flow, "ok")

    @guarded
    async def _whole_answer(self, flow: http.HTTPFlow) -> None:
        passage: Passage | None = flow.metadata.get(PASSAGE)
        if passage is not None and passage.whole and passage.ongoing is not None and passage.ongoing.answer is None:
            await back.judge(flow, passage, self._status)

    def _answer_failed(self, error: Exception) -> bool:
        """Count and log it; whether what could not be judged passes."""
        self._health.count_failure()
        logger.error("%s at %s in an answer (EARTHFLOW_FAIL_MODE=%s)", type(error).__name__, _place(error), self._settings.fail_mode)
        return self._settings.fail_mode == "open"

    def http_connect_error(self, flow: http.HTTPFlow) -> None:
        """A tunnel was refused; its exchange, if it had one, is over."""
        self._complete(flow, "refused")

    def error(self, flow: http.HTTPFlow) -> None:
        """The exchange is over, cut off: by the client, or because the upstream failed, which is answered in the provider's words."""
        text = flow.error.msg if flow.error else ""
        if flow.client_conn in self.front.direct:
            away(flow)
            return
        passage: Passage | None = flow.metadata.get(PASSAGE)
        if passage is None or passage.ongoing is None:
            return
        passage.ongoing.trouble = passage.ongoing.trouble or text
        gone = "lient disconnected" in text or "by client" in text or not flow.client_conn.connected
        if not gone and flow.response is None:
            message = f"Earthflow could not reach {flow.request.host}: {text} (decision {passage.ongoing.id})"
            enforce.unreachable(flow, message, passage.ongoing.id, passage.provider)
        self._complete(flow, "client_abort" if gone else "upstream_error")

    def _complete(self, flow: http.HTTPFlow, outcome: Outcome) -> None:
        passage: Passage | None = flow.metadata.get(PASSAGE)
        if passage is not None and passage.ongoing is not None:
            self._recorder.complete(passage.ongoing, outcome, status=flow.response.status_code if flow.response else None)

    # -- dialling -----------------------------------------------------------------------------------------------------

    def server_connect(self, data: ServerConnectionHookData) -> None:
        """The API's callers are led to control; every other dial is checked by the resolver."""
        if data.client in self.front.direct and data.server.address == self._settings.control:
            ours()

    # -- failure ------------------------------------------------------------------------------------------------------

    def failed(self, flow: http.HTTPFlow, error: Exception) -> None:
        """The one guard: refuse and record, or, only where the operator wrote `open`, pass and record."""
        self._health.count_failure()
        where = _place(error)
        logger.error("%s at %s in a hook (EARTHFLOW_FAIL_MODE=%s)", type(error).__name__, where, self._settings.fail_mode)
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
            logger.critical("%s at %s while recording a failure", type(second).__name__, _place(second))
            flow.response = http.Response.make(503, "Earthflow cannot record this call, so it is refused.\n")

    def _record_failure(self, flow: http.HTTPFlow, passage: Passage, where: str) -> None:
        if passage.ongoing is None and self._settings.fail_mode == "open" and flow.request.method != "CONNECT":
            name = passage.provider.name if passage.provider else ""
            passage.ongoing = self._recorder.passed(passage.identity, _address(flow), "engine_error", provider=name)
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
            enforce.refuse(flow, self._status, f"{message} (decision {passage.ongoing.id})", passage.ongoing.id, passage.provider)


def _request(flow: http.HTTPFlow, provider: Provider) -> Request:
    path, _, query = flow.request.path.partition("?")
    encoding = ",".join(flow.request.headers.get_all("content-encoding"))
    body, now = flow.request.raw_content or b"", datetime.now(UTC)
    return Request(provider, flow.request.host, flow.request.method, path, query, body, encoding, now)


def _asked(exchange: Exchange, book: Rulebook, key: bytes, restore: tuple[tuple[str, str], ...]) -> Asked | None:
    """What the answer will be judged by; None where nothing is to be done with it."""
    plain = tuple(pair for pair in restore if goes_unescaped(pair[1]))
    if book.answers is None and not plain:
        return None
    return Asked(book, replace(exchange, direction="response", parts=(), unreadable=(), size=0), key, plain)


def _address(flow: http.HTTPFlow) -> Address:
    peer = flow.client_conn.peername
    path = flow.request.path.partition("?")[0] if flow.request.method != "CONNECT" else ""
    return Address(flow.request.host, flow.request.method, path, peer[0] if peer else "")


def _place(error: Exception) -> str:
    """Where an error came from, without its text, which may quote what must not be logged."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}" if trace else "unknown"
