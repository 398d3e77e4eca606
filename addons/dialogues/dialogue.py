"""The messages of one WebSocket, both ways: a client's is judged as a call, what comes back as an answer that streams.

    client    {"type":"conversation.item.create", …text…}    a call: judged, recorded, sent
    client    {"type":"input_audio_buffer.append", …}        no text: counted with the handshake
    provider  {"type":"response.created", …}                 a response begins: its stream opens
    provider  {"type":"response.output_text.delta", …}       text: held until it is settled
    provider  {"type":"response.done", …}                    the stream ends; the call's record
                                                             is completed

The provider's messages form one stream as long as any response is in progress, since those of
several may be interleaved. When none is, nothing can continue a text, and what is held is
settled. The handshake's record sums up all answers; tokens are counted once, in the record of
the call that they answer. No I/O but the judge's and the rate limiter's.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import cast

from addons.answers.guarded import is_large
from addons.answers.heads import passes
from addons.answers.streamed import StreamedAnswer
from addons.calls.judge import CallJudge, JudgedCall
from addons.calls.originals import joined
from addons.calls.reading import CallRequest, read_message, shown
from addons.calls.refusal import (
    AUDIT_FULL,
    POLICY_VIOLATION,
    SWITCHING_PROTOCOLS,
    UNAVAILABLE,
    Refusal,
)
from addons.calls.state import AnswerPolicy
from addons.dialogues.called_files import CalledFiles
from addons.dialogues.message import FAILED, TOO_LARGE, Outgoing, SocketMessage
from addons.dialogues.responses import OpenResponses, asks_for_answer
from addons.dialogues.totals import AnswerTotals
from addons.framing.decode import NoEncoding
from addons.framing.frame import Frame
from addons.framing.messages import Messages
from addons.providers.error_formats import Family, Why
from addons.providers.provider import Format
from addons.record.recorder import Address, OpenRecord, Recorder, blocked_message
from addons.record.spool import SpoolFull
from addons.tenants.compiled_snapshot import Caller
from addons.tenants.rate_limit import RateLimiter
from contract.decision import Outcome, Reason
from rules.stream import Stream

MAX_REASON = 123  # bytes of a close frame's reason: RFC 6455, section 5.5
MAX_RESTORED = 1000  # placeholders of earlier messages whose originals are kept
# Kinds of texts that make a message a call of its own.
SPEAKING = frozenset(("text", "tool_call", "tool_result", "tool_definition", "key"))


@dataclass(frozen=True, slots=True)
class Handshake:
    """The call that became a WebSocket, and what its messages inherit from it.

    `answer_policy` judges what the provider sends before the client has.
    """

    caller: Caller
    request: CallRequest
    format: Format
    family: Family
    to: Address
    record: OpenRecord
    answer_policy: AnswerPolicy | None


class Dialogue:
    """One WebSocket. An exception of `take` means that its message may not be sent."""

    def __init__(
        self,
        judge: CallJudge,
        limiter: RateLimiter,
        recorder: Recorder,
        handshake: Handshake,
    ):
        self._judge, self._limiter, self._recorder = judge, limiter, recorder
        self._handshake, self._policy = handshake, handshake.answer_policy
        self._turn: OpenRecord | None = None  # the newest call, until it is answered
        self._answer: StreamedAnswer | None = None  # of the responses in progress
        self._responses, self._files = OpenResponses(), CalledFiles()
        # reasons for which messages without text were unreadable, and were recorded
        self._recorded: set[tuple[str, ...]] = set()
        self._kinds: deque[bool] = deque()  # whether messages that are judged are text
        self._totals = handshake.record.answer = AnswerTotals()

    async def take(self, message: SocketMessage) -> None:
        """Decide what becomes of a message: fill its `outgoing` and `close`."""
        if message.last:
            await self._settle(message)
            said = message.content.decode()
            if said and self._policy is not None and not passes(self._policy, [said]):
                message.content = b""
        elif message.large:
            why = "The message exceeds EARTHFLOW_MAX_BODY"
            refusal = Refusal("too_large", 413, why, ("too_large",), close=TOO_LARGE)
            self._refuse(message, refusal)
        elif message.from_client:
            await self._call(message)
        else:
            await self._answered(message)

    def failed(self, message: SocketMessage, error: Exception, *, passes: bool) -> None:
        """A message could not be judged, or recorded. It passes only where the operator allows that."""
        message.outgoing, message.close = [], None
        why = "Earthflow could not judge this message"
        refusal = Refusal("engine_error", UNAVAILABLE, why, close=FAILED)
        if isinstance(error, SpoolFull):
            refusal = AUDIT_FULL
        elif passes and not message.last:
            try:
                self._pass_unjudged(message)
                return
            except SpoolFull:
                refusal = AUDIT_FULL
        self._refuse(message, refusal)

    def _pass_unjudged(self, message: SocketMessage) -> None:
        caller = self._handshake.caller
        record = self._recorder.passed(caller, self._to_message, "engine_error")
        self._recorder.complete(record, "ok")
        to_client = not message.from_client
        message.outgoing = [Outgoing(to_client, message.is_text, message.content)]

    def end(self, outcome: Outcome) -> None:
        """The WebSocket is closed."""
        self._end_turn(outcome)
        record = self._handshake.record
        self._recorder.complete(record, outcome, status=SWITCHING_PROTOCOLS)

    # -- from the client ----------------------------------------------------------------

    async def _call(self, message: SocketMessage) -> None:
        caller = self._judge.still(self._handshake.caller)
        if caller is None:
            why = "The Earthflow key of this connection has ended"
            self._refuse(message, Refusal("key_revoked", 401, why))
            return
        request = replace(
            self._handshake.request,
            method="MESSAGE",
            query="",
            body=message.content,
            time=datetime.now(UTC),
        )
        format, files = self._handshake.format, self._files.by_call
        read = partial(read_message, format=format, files=files)
        judged = await self._judge.judge(caller, request, read)
        self._handshake.record.bytes_up += len(message.content)
        verdict = judged.judgement.verdict
        if verdict.action != "BLOCK":
            refusal = await self._over_limit(caller, judged, message.content)
            if refusal is not None:
                self._refuse(message, refusal)
                return
        self._policy = _joined(self._policy, judged.answer_policy)
        record = self._record(caller, judged)
        if verdict.action == "BLOCK":
            self._stop(message, blocked_message(verdict, record.id), record.id)
            self._recorder.complete(record, "refused")
            return
        message.outgoing.append(Outgoing(False, message.is_text, judged.judgement.body))
        if record is not self._handshake.record:
            self._end_turn()
            self._turn, record.bytes_up = record, len(message.content)

    async def _over_limit(
        self, caller: Caller, judged: JudgedCall, content: bytes
    ) -> Refusal | None:
        """Messages with text, and those that ask for an answer, count as calls."""
        if not (_speaks(judged) or asks_for_answer(content)):
            return None
        rate = self._judge.rate
        allowance = await self._limiter.settle(self._limiter.ask(caller, rate))
        if allowance.allowed:
            return None
        reason: Reason = "token_budget" if allowance.tokens else "rate_limit"
        return Refusal(reason, 429, allowance.sentence(caller, rate))

    def _record(self, caller: Caller, judged: JudgedCall) -> OpenRecord:
        """A record of the message; the handshake's own where it has nothing to add."""
        exchange, verdict = judged.reading.exchange, judged.judgement.verdict
        if (
            not _speaks(judged)
            and verdict.action in ("ALLOW", "FLAG")
            and exchange.unreadable in self._recorded
        ):
            return self._handshake.record
        self._recorded.add(exchange.unreadable)
        return self._recorder.judged(
            caller,
            self._to_message,
            exchange,
            verdict,
            model=shown(exchange, verdict).model,
            prompt_hash=judged.prompt_hash,
            rulebook=judged.rulebook,
            prompt=judged.prompt,
        )

    @property
    def _to_message(self) -> Address:
        return replace(self._handshake.to, method="MESSAGE")

    # -- from the provider --------------------------------------------------------------

    async def _answered(self, message: SocketMessage) -> None:
        ended = self._responses.take(message.content)
        self._files.take(message.content)
        if self._policy is None:  # no rule concerns answers
            self._totals.size += len(message.content)
            self._send_to_client(message, [message.content])
        else:
            if self._answer is None:
                self._answer = self._new_answer(self._policy)
            large = is_large(message.content) or (
                self._answer.is_long and self._answer.may_conclude(message.content)
            )
            feed = partial(self._answer.feed, message.content)
            self._kinds.append(message.is_text)
            self._send_to_client(message, await self._work(feed, large=large))
            if self._answer.ended or not self._responses.ids:
                await self._settle(message)
        if ended:
            self._end_turn()

    async def _work(
        self, work: Callable[[], list[bytes]], *, large: bool
    ) -> list[bytes]:
        tenant = self._handshake.caller.tenant.id
        return await self._judge.answer_work.run(tenant, work) if large else work()

    def _new_answer(self, policy: AnswerPolicy) -> StreamedAnswer:
        stream: Stream[Frame] = Stream(
            policy.book,
            replace(policy.context, stream=True),
            key=policy.key,
            restorer=policy.restorer(),
        )
        decision = self._current.id
        return StreamedAnswer(
            Messages(),
            NoEncoding(),
            stream,
            lambda why, code: self._handshake.family.end(Why(why, decision, code=code)),
            partial(blocked_message, decision=decision),
            partial(self._judge.saw_signed, policy),
        )

    async def _settle(self, message: SocketMessage) -> None:
        """Nothing can continue what is held: send it, or what ends the dialogue instead."""
        answer, self._answer = self._answer, None
        if answer is None:
            return
        ended = await self._work(answer.end, large=answer.is_long)
        self._send_to_client(message, ended)
        self._kinds.clear()
        self._totals.add(answer, with_tokens=self._turn is None)
        if self._turn is None:
            tenant = self._handshake.caller.tenant.id
            self._totals.spent_before += self._recorder.spend(tenant, answer.usage)
        else:
            if self._turn.answer is None:
                self._turn.answer = AnswerTotals()
            cast(AnswerTotals, self._turn.answer).add(answer)
        if answer.ended:
            why = blocked_message(answer.verdict, self._current.id)
            message.close = (POLICY_VIOLATION, _short(why))
            self._end_turn()

    @property
    def _current(self) -> OpenRecord:
        """The record that an answer belongs to: the newest call's, or the handshake's."""
        return self._turn or self._handshake.record

    def _end_turn(self, outcome: Outcome = "ok") -> None:
        turn, self._turn = self._turn, None
        if turn is not None:
            self._recorder.complete(turn, outcome)

    def _send_to_client(
        self, message: SocketMessage, contents: Sequence[bytes]
    ) -> None:
        for content in contents:
            # One message leaves for each that arrived, in their order.
            is_text = self._kinds.popleft() if self._kinds else message.is_text
            message.outgoing.append(Outgoing(True, is_text, content))

    # -- refusing -----------------------------------------------------------------------

    def _refuse(self, message: SocketMessage, refusal: Refusal) -> None:
        record = self._recorder.refused(
            self._handshake.caller,
            self._to_message,
            refusal.reason,
            provider=self._handshake.request.provider.name,
            unreadable=refusal.unreadable,
        )
        self._recorder.complete(record, "refused")
        known = f" (decision {record.id})" if record.written else ""
        why = f"{refusal.message}{known}"
        self._stop(message, why, record.id, refusal.close)

    def _stop(
        self,
        message: SocketMessage,
        why: str,
        decision: str,
        code: int = POLICY_VIOLATION,
    ) -> None:
        """Tell the client why, and close."""
        events = self._handshake.family.end(Why(why, decision))
        message.outgoing = [Outgoing(True, True, data) for _, data in events]
        message.close = (code, _short(why))


def _speaks(judged: JudgedCall) -> bool:
    """Whether a message has text, and so is a call of its own."""
    return any(part.kind in SPEAKING for part in judged.reading.exchange.parts)


def _joined(
    before: AnswerPolicy | None, now: AnswerPolicy | None
) -> AnswerPolicy | None:
    """The newest policy; originals of earlier messages are still put back."""
    if before is None or now is None:
        return now or before
    originals = joined(before.originals, now.originals)
    return replace(now, originals=tuple(originals[-MAX_RESTORED:]))


def _short(reason: str) -> str:
    return reason.encode()[:MAX_REASON].decode("utf-8", "ignore")
