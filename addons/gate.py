"""The story of a call: who → where → what → judge → record, and the same for its answer.

Each step takes a `Flow` and gives `Allow` or `Refuse`; `mitm/hooks.py` calls the steps in the
order of the traffic and carries out what they give. A decision is in the spool before its
call is sent or its refusal is.
"""

import re
import time
from contextlib import suppress

from addons.answers.guarded import Piece
from addons.answers.handle import AnswerHandler
from addons.calls.access import Access
from addons.calls.failures import Failures, guarded
from addons.calls.flow import Flow, is_opaque, path_of
from addons.calls.heads import names_agree, private_names
from addons.calls.judge import CallJudge, JudgedCall, Read
from addons.calls.reading import read, read_head, request_of, shown
from addons.calls.refusal import (
    BAD_REQUEST,
    CONTENT_TOO_LARGE,
    PASS,
    REQUEST_TIMEOUT,
    SWITCHING_PROTOCOLS,
    TOO_MANY_REQUESTS,
    UNAVAILABLE,
    UPGRADE_REQUIRED,
    Allow,
    Refusal,
    Refuse,
    Refuser,
    Reply,
    Step,
    challenge,
    plain,
    refused,
    unanswered,
)
from addons.calls.state import STATE, CallState, address_of, state_of
from addons.network.connections import Connections
from addons.network.probe import is_probe, probe_answer
from addons.providers import Directory
from addons.providers.error_formats import TORN, UNREACHABLE
from addons.providers.provider import UNSENT
from addons.record.recorder import Recorder, blocked_message
from addons.settings import ProxySettings
from addons.tenants.rate_limit import YES, RateLimiter
from addons.tunnels import Tunnels
from contract.decision import Outcome

# Headers of a call. SDKs send some twenty; Node refuses more than 2,000, Go and nginx bound
# their bytes. Each costs a lookup, and some readers take the first of two equal names.
MAX_HEADERS = 100
# Tokens, and no longer than any method is (RFC 9110, sections 5.6.2 and 9.1); a path without
# control characters and blanks, which end it in HTTP/1.
METHOD = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}")
PATH = re.compile(r"[^\x00-\x20\x7f]{1,}")


class Gate:
    """The steps of a call, in their order."""

    def __init__(
        self,
        settings: ProxySettings,
        access: Access,
        tunnels: Tunnels,
        providers: Directory,
        judge: CallJudge,
        limiter: RateLimiter,
        connections: Connections,
        recorder: Recorder,
        refuser: Refuser,
        failures: Failures,
    ):
        self.failures = failures
        self._access, self._tunnels, self._providers = access, tunnels, providers
        self._judge, self._limiter, self._connections = judge, limiter, connections
        self._recorder, self._refuser = recorder, refuser
        self._max_body = settings.max_body
        self._block_status = int(settings.block_status)
        self._answers = AnswerHandler(
            self._block_status, failures, judge.saw_signed, judge.answer_work
        )

    # -- the head of a call -------------------------------------------------------------

    @guarded
    async def head(self, flow: Flow) -> Step:
        """Decide what the head of a call decides by itself. Its body, if any, follows."""
        admitted = self._admit(flow)
        if not isinstance(admitted, CallState):
            return admitted
        state, headers = admitted, flow.request.headers
        for name in private_names(headers.fields):
            headers.pop(name, None)
        refusal = (
            self._malformed(flow)
            or self._mismatch(flow)
            or self._too_many_headers(flow)
            or self._upgrade_refused(flow, state)
            or self._unknown_host(flow, state)
        )
        step: Step = PASS
        if refusal is not None:
            step = self._refuser.refuse(flow, refusal)
        elif is_probe(flow.request.host):
            step = Refuse(Reply(200, probe_answer(), {"content-type": "text/plain"}))
        elif state.provider is None:
            step = await self._unopened(flow, state)
        elif "upgrade" in headers:
            endpoint = state.provider.sockets.find(path_of(flow))
            state.format = endpoint.format if endpoint is not None else None
            # Compressed messages have no bound on what they inflate to.
            headers.pop("sec-websocket-extensions", None)
            if endpoint is None:
                step = await self._opaque(flow, state)
        elif self._is_unreadable(flow, state):
            step = await self._opaque(flow, state)
        return step

    async def _unopened(self, flow: Flow, state: CallState) -> Step:
        """A plain call to a host that is no AI provider's: passed on and counted, but to no internal address."""
        with suppress(OSError):  # the dial will say so
            host, port = flow.request.host, flow.request.port
            refusal = await self._tunnels.leads_inside(state.caller, host, port)
            if refusal is not None:
                return self._refuser.refuse(flow, refusal)
        to = address_of(flow)
        state.record = self._recorder.tunnelled(state.caller, to, tunnel=False)
        flow.request.stream = state.record.count_up
        return PASS

    def _admit(self, flow: Flow) -> CallState | Refuse:
        """Who calls: the tunnel's caller, or that of the call's own proxy key."""
        tunnel = self._tunnels.of(flow.client_conn)
        if tunnel is None:
            reply = self._access.without_certificate(flow)
            if reply is not None:
                return Refuse(reply)
        caller = tunnel.caller if tunnel else self._access.caller(flow)
        if caller is None:
            return Refuse(challenge())
        state = CallState(caller, self._providers.of(flow.request.host))
        flow.metadata[STATE] = state
        current = self._access.still(caller)
        if current is None:
            message = (
                "The Earthflow key of this connection has ended; reconnect with another"
            )
            return self._refuser.refuse(flow, Refusal("key_revoked", 401, message))
        state.caller = current
        return state

    def _malformed(self, flow: Flow) -> Refusal | None:
        """A blank in HTTP/2's `:method` or `:path` would be another request line in HTTP/1."""
        request = flow.request
        if METHOD.fullmatch(request.method) and PATH.fullmatch(request.path):
            return None
        message = "The method or the path has characters that none may have"
        return Refusal("malformed", BAD_REQUEST, message)

    def _mismatch(self, flow: Flow) -> Refusal | None:
        """CONNECT, SNI and Host must name one host; what was compared is then what is sent."""
        request, tunnel = flow.request, self._tunnels.of(flow.client_conn)
        inner_tls = tunnel is not None and request.scheme == "https"
        others = (request.authority, flow.client_conn.sni if inner_tls else None)
        wanted = tunnel.host if tunnel else request.host
        if not names_agree(wanted, request.headers.get_all("host"), others):
            message = "CONNECT, the TLS server name and the Host header must name the same host"
            return Refusal("authority_mismatch", 421, message)
        if not request.is_http2:
            request.authority = ""  # origin form
        return None

    def _too_many_headers(self, flow: Flow) -> Refusal | None:
        if len(flow.request.headers.fields) <= MAX_HEADERS:
            return None
        message = f"The call has more than {MAX_HEADERS} headers"
        return Refusal("too_many_headers", 431, message)

    def _upgrade_refused(self, flow: Flow, state: CallState) -> Refusal | None:
        """A WebSocket is opened only where Earthflow knows what is spoken over it."""
        headers = flow.request.headers
        if "upgrade" not in headers or is_probe(flow.request.host):
            return None
        if state.provider is None:
            message = (
                "Other protocols over plain HTTP are not passed on; "
                "open a tunnel (CONNECT)"
            )
            return Refusal("upgrade", UPGRADE_REQUIRED, message)
        path = path_of(flow)
        known = state.provider.sockets.find(path) is not None
        if (
            (known or state.provider.passes_unread(path))
            and headers["upgrade"].lower() == "websocket"
            and headers.get("sec-websocket-version", "") == "13"
        ):
            return None
        message = "Earthflow does not pass this kind of connection; use plain HTTPS (or have its path named under `unread` of the provider)"
        return Refusal("upgrade", UPGRADE_REQUIRED, message, unreadable=("opaque",))

    def _unknown_host(self, flow: Flow, state: CallState) -> Refusal | None:
        if is_probe(flow.request.host):
            return None
        return self._access.forbidden(flow, state)

    def _is_unreadable(self, flow: Flow, state: CallState) -> bool:
        """Whether it is a protocol that Earthflow cannot read, under no path that it knows. A body with a length is read for what it is."""
        assert state.provider is not None
        length = flow.request.headers.get("content-length", "")
        held = length.isdecimal() and int(length[:10]) <= self._max_body
        if held or not is_opaque(flow):
            return False
        return state.provider.endpoint(flow.request.method, path_of(flow)) is None

    async def _opaque(self, flow: Flow, state: CallState) -> Step:
        """A call whose body may never end, or a WebSocket that nobody can read: judged by its head, then passed uninspected."""
        step = await self._judge_call(
            flow,
            state,
            lambda request, tenant: read_head(
                request, tenant, unreadable=("unknown_path",)
            ),
            counts=True,
        )
        if isinstance(step, Allow) and state.record is not None:
            state.record.uncovered = "opaque"
            if "upgrade" not in flow.request.headers:
                flow.request.stream = state.record.count_up
        return step

    # -- a whole call -------------------------------------------------------------------

    @guarded
    async def decide(self, flow: Flow) -> Step:
        """Read, judge and record a whole call. A large one is judged beside the event loop."""
        if flow.response is not None:
            return PASS  # refused by its head
        state = state_of(flow)
        if state is None:
            return Refuse(
                plain(UNAVAILABLE, "Earthflow has not judged this call's head")
            )
        if state.provider is None or state.record is not None:
            return PASS  # decided by its head
        format = state.format
        if format is None:
            counts = flow.request.method not in UNSENT
            return await self._judge_call(flow, state, read, counts=counts)
        judged = await self._judge.judge(
            state.caller,
            request_of(flow, state.provider),
            lambda request, tenant: read_head(request, tenant, format),
        )
        return self._carry_out(flow, state, judged, UPGRADE_REQUIRED)

    async def _judge_call(
        self, flow: Flow, state: CallState, read: Read, *, counts: bool
    ) -> Step:
        """Judge a call; if it `counts`, ask Redis meanwhile whether its tenant may call."""
        assert state.provider is not None
        request = request_of(flow, state.provider)
        enquiry = self._limiter.ask(state.caller, self._judge.rate) if counts else None
        judged = await self._judge.judge(state.caller, request, read, flow.client_conn)
        state.format = judged.reading.format
        allowance = await self._limiter.settle(enquiry) if enquiry else YES
        if allowance.allowed or judged.judgement.verdict.action == "BLOCK":
            return self._carry_out(flow, state, judged, self._block_status)
        refusal = Refusal(
            "token_budget" if allowance.tokens else "rate_limit",
            TOO_MANY_REQUESTS,
            allowance.sentence(state.caller, self._judge.rate),
            retry_after=allowance.retry_after,
        )
        return self._refuser.refuse(flow, refusal)

    def _carry_out(
        self, flow: Flow, state: CallState, judged: JudgedCall, status: int
    ) -> Step:
        """Record what was judged, and give the call that is sent, or its refusal."""
        exchange, verdict = judged.reading.exchange, judged.judgement.verdict
        model, path = shown(exchange, verdict)
        state.model = model
        record = state.record = self._recorder.judged(
            state.caller,
            address_of(flow, path=path),
            exchange,
            verdict,
            model=model,
            prompt_hash=judged.prompt_hash,
            rulebook=judged.rulebook,
            prompt=judged.prompt,
        )
        record.bytes_up = exchange.size
        if flow.request.timestamp_end is not None:
            spent = time.time() - flow.request.timestamp_end
            record.added_ms = max(0.0, spent * 1000)
        state.answer_policy = judged.answer_policy
        if verdict.action == "BLOCK":
            message = blocked_message(verdict, record.id)
            return Refuse(refused(flow, state, status, message))
        whole = flow.request.raw_content is not None
        return Allow(judged.judgement.body if whole else None)

    @guarded
    def too_large(self, flow: Flow) -> Step:
        """The body of a call exceeds EARTHFLOW_MAX_BODY."""
        message = f"The call's body is larger than {self._max_body} bytes (EARTHFLOW_MAX_BODY)"
        return self._refuser.refuse(
            flow,
            Refusal("too_large", CONTENT_TOO_LARGE, message, unreadable=("too_large",)),
        )

    @guarded
    def too_slow(self, flow: Flow) -> Step:
        """The body of a call arrives too slowly."""
        if flow.response is not None:
            return PASS  # refused already
        message = "The call's body arrives too slowly"
        return self._refuser.refuse(flow, Refusal("too_slow", REQUEST_TIMEOUT, message))

    # -- its answer ---------------------------------------------------------------------

    @guarded
    def answer_head(self, flow: Flow) -> Step:
        """Choose by the head of an answer how it is treated."""
        state, response = state_of(flow), flow.response
        if state is None or response is None or state.record is None:
            return PASS
        if state.record.refused:
            return PASS
        # In these names only the proxy speaks. No extension was asked for, and compressed
        # messages have no bound on what they inflate to.
        headers = response.headers
        for name in (*private_names(headers.fields), "sec-websocket-extensions"):
            headers.pop(name, None)
        if response.status_code == SWITCHING_PROTOCOLS:
            return self._answers.switched(flow, state)
        if self._connections.is_old(flow.client_conn) and not flow.request.is_http2:
            headers["connection"] = "close"
        response.stream = True
        return self._answers.head(flow, state)

    @guarded
    async def whole_answer(self, flow: Flow) -> Step:
        """Judge an answer that was held whole, before it is sent."""
        state = state_of(flow)
        if state is None or not state.whole or state.record is None:
            return PASS
        if state.record.answer is not None:
            return PASS
        return await self._answers.whole(flow, state)

    @guarded
    def answer_too_large(self, flow: Flow) -> Step:
        """A whole answer is larger than is held: let it stream, or refuse it."""
        state = state_of(flow)
        assert state is not None
        return self._answers.too_large(flow, state)

    async def judge_piece(self, piece: Piece) -> None:
        """Judge a piece of a streamed answer that takes long."""
        await self._answers.judge_piece(piece)

    # -- the end ------------------------------------------------------------------------

    async def settle(self, flow: Flow) -> None:
        """Before `complete`: judge what there is of a long answer."""
        await self._answers.settle(state_of(flow))

    def complete(self, flow: Flow, outcome: Outcome) -> None:
        """The exchange is over. It no longer counts as a call of its connection."""
        if flow.request.method != "CONNECT":
            self._connections.end_call(flow.client_conn)
        state = state_of(flow)
        if state is not None and state.record is not None:
            status = flow.response.status_code if flow.response else None
            self._recorder.complete(state.record, outcome, status=status)

    def cut_off(self, flow: Flow, why: str, *, by_client: bool, reached: bool) -> Step:
        """The exchange broke off. A call whose provider failed gets a reply in its format.

        `reached`: there was a connection to the provider.
        """
        state = state_of(flow)
        if state is None or state.record is None:
            return PASS
        state.record.failure = state.record.failure or why
        if by_client or flow.response is not None:
            return PASS
        host, code = flow.request.host, TORN if reached else UNREACHABLE
        said = (
            f"{host} gave no answer" if reached else f"Earthflow could not reach {host}"
        )
        message = f"{said}: {why} (decision {state.record.id})"
        return Refuse(unanswered(flow, state, message, code))
