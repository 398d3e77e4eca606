"""A WebSocket's messages, both ways: each of a client's is a call, what comes back an answer that streams. No I/O but its judges'.

A message that says something is an exchange of its own, whose answer is what comes up to the end of a turn. Messages that say nothing
new (another piece of sound) are counted with the handshake, whose record tells of all answers together, but for tokens.

What comes back is one stream for as long as any response is open, since pieces of several may come in turns. Where none is, nothing goes
on what came, and what is held of it is settled.
"""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, NamedTuple, cast

import msgspec

from addons.answer import Streamed
from addons.decode import Identity as Plain
from addons.framing.frame import Frame as StreamFrame
from addons.framing.messages import Messages
from addons.judges import Judged, Judges
from addons.judging import Request, read_message
from addons.limits import Limiter
from addons.passage import Asked
from addons.providers.provider import Format, Usage
from addons.providers.refusals import Family
from addons.record import Address, Ongoing, Recorder, blocked_message
from addons.snapshot import Identity
from contract.decision import Reason
from rules.evaluate import Verdict
from rules.exchange import Coverage
from rules.stream import Stream

POLICY, TOO_LARGE, BROKEN = 1008, 1009, 1011  # RFC 6455, section 7.4.1
LONGEST_REASON = 123  # bytes of a close frame's reason
MOST_OPEN = 1000  # responses; and placeholders whose originals are kept
BEGIN = ("response.created", "response.queued", "response.in_progress")
ALONE = (
    "session.",
    "conversation.",
    "input_audio_buffer.",
    "output_audio_buffer.",
    "rate_limits.",
    "error",
    "response.",
)
GEMINI_ALONE = {
    "set_up": "setupComplete",
    "leaving": "goAway",
    "resumption": "sessionResumptionUpdate",
    "usage": "usageMetadata",
}
END = ("response.done", "response.completed", "response.failed", "response.incomplete")
SAYING = frozenset(("text", "tool_call", "tool_result", "tool_definition", "key"))
STRENGTH = ("ALLOW", "FLAG", "REDACT", "BLOCK")


class _Response(msgspec.Struct):
    id: str = ""


class _Content(msgspec.Struct, rename="camel"):
    turn_complete: bool = False
    interrupted: bool = False
    generation_complete: bool = False


class _Told(
    msgspec.Struct,
    rename={"content": "serverContent", "call": "toolCall", "cancelled": "toolCallCancellation"}
    | GEMINI_ALONE,
):
    """What a provider's message says of the response that it belongs to; OpenAI's by type and id, Gemini's by what it holds."""

    type: str = ""
    response_id: str = ""
    response: _Response | None = None
    content: _Content | None = None
    call: Any = None
    cancelled: Any = None
    set_up: Any = None
    leaving: Any = None
    resumption: Any = None
    usage: Any = None

    @property
    def is_alone(self) -> bool:
        """Whether nothing of it goes on in another message."""
        if self.type:
            return self.type.startswith(ALONE)
        return any(
            part is not None
            for part in (self.cancelled, self.set_up, self.leaving, self.resumption, self.usage)
        )


_told = msgspec.json.Decoder(_Told)


@dataclass
class _Open:
    """The responses that are under way, by id; those without one are one."""

    ids: set[str] = field(default_factory=set)

    def take(self, content: bytes) -> bool:
        """A message came; whether a response ended with it."""
        try:
            told = _told.decode(content)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            told = _Told(type=".delta")  # no message that we know: something may go on it
        if told.type in END:
            self.ids -= {told.response.id if told.response else "", ""}
            return True
        if told.type in BEGIN or told.type.endswith(".delta"):
            self._add(told.response_id or (told.response.id if told.response else ""))
        elif told.content is not None:
            over = told.content.turn_complete or told.content.interrupted or told.content.generation_complete
            if not over:
                self._add("")
                return False
            self.ids.discard("")
            return told.content.turn_complete or told.content.interrupted
        elif told.call is not None:  # now it is for the client to speak
            self.ids.discard("")
        elif not told.is_alone:
            self._add("")
        return False

    def _add(self, id: str) -> None:
        if len(self.ids) < MOST_OPEN:
            self.ids.add(id)


class Message(NamedTuple):
    """A message that goes on."""

    to_client: bool
    is_text: bool
    content: bytes


@dataclass
class Frame:
    """A message that came, and what is done about it: messages that go on, and how the dialogue is closed, if it is.

    `large`: it is larger than may be, and was not kept. `last`: it is none, its side closes.
    """

    from_client: bool
    is_text: bool = True
    content: bytes = b""
    large: bool = False
    last: bool = False
    passed: list[Message] = field(default_factory=list)
    close: tuple[int, str] | None = None


@dataclass
class Answers:
    """Several answers together: of a turn, or of a whole dialogue, for the handshake's record."""

    size: int = 0
    usage: Usage = field(default_factory=Usage)
    told: int = 0  # of its tokens the limiter knows already
    verdict: Verdict | None = None
    coverage: Coverage = "full"

    def add(self, answer: Streamed, *, counted: bool = False) -> None:
        """One more; its tokens unless another record has `counted` them."""
        self.size += answer.size
        if not counted:
            self.usage.add(answer.usage)
        if self.verdict is None or STRENGTH.index(answer.verdict.action) > STRENGTH.index(
            self.verdict.action
        ):
            self.verdict = answer.verdict
        if answer.coverage != "full":
            self.coverage = "partial"

    def finish(self) -> None:
        """There is nothing left to do."""


class Dialogue:
    """One WebSocket. `opened` is the handshake's exchange, `asked` what answers are judged by before there was a call."""

    def __init__(
        self,
        judges: Judges,
        limiter: Limiter,
        recorder: Recorder,
        identity: Identity,
        handshake: Request,
        format: Format,
        family: Family,
        to: Address,
        opened: Ongoing,
        asked: Asked | None,
    ):
        self._judges, self._limiter, self._recorder, self._identity = judges, limiter, recorder, identity
        self._handshake, self._format, self._family, self._to = handshake, format, family, to
        self._opened, self._asked = opened, asked
        self._turn: Ongoing | None = None  # the newest call, until it is answered
        self._answer: Streamed | None = None  # what is coming
        self._open = _Open()
        self._said: set[tuple[str, ...]] = set()  # what could not be read of messages, and was recorded
        self._all = opened.answer = Answers()

    async def take(self, frame: Frame) -> None:
        """Decide what becomes of a message. What is raised means that nothing may go on."""
        if frame.last:
            self._settle(frame)
        elif frame.large:
            self._refuse(
                frame, "too_large", TOO_LARGE, "The message is larger than may be (EARTHFLOW_MAX_BODY)"
            )
        elif frame.from_client:
            await self._call(frame)
        else:
            self._answered(frame)

    def failed(self, frame: Frame, *, passes: bool) -> None:
        """A message could not be judged; it goes on only where the operator lets it."""
        frame.passed, frame.close = [], None
        if passes and not frame.last:
            self._recorder.complete(
                self._recorder.passed(self._identity, self._to_message, "engine_error"), "ok"
            )
            frame.passed = [Message(not frame.from_client, frame.is_text, frame.content)]
        else:
            self._refuse(frame, "engine_error", BROKEN, "Earthflow could not judge this message")

    def end(self) -> None:
        """It is closed."""
        self._end_turn()
        self._recorder.complete(self._opened, "ok", status=101)

    async def _call(self, frame: Frame) -> None:
        still = self._judges.still(self._identity)
        if still is None:
            self._refuse(frame, "key_revoked", POLICY, "The Earthflow key of this connection has ended")
            return
        request = replace(
            self._handshake, method="MESSAGE", query="", body=frame.content, time=datetime.now(UTC)
        )
        judged = await self._judges.judge(still, request, partial(read_message, format=self._format))
        self._opened.bytes_up += len(frame.content)
        verdict = judged.judgement.verdict
        if verdict.action != "BLOCK" and (_says(judged) or _asks(frame.content)):
            allowance = await self._limiter.settle(self._limiter.ask(still, self._judges.rate))
            if not allowance.allowed:
                reason: Reason = "token_budget" if allowance.tokens else "rate_limit"
                self._refuse(frame, reason, POLICY, allowance.sentence(still, self._judges.rate))
                return
        self._asked = _joined(self._asked, judged.asked)
        ongoing = self._record(still, judged)
        if verdict.action == "BLOCK":
            self._stop(frame, blocked_message(verdict, ongoing.id), ongoing.id)
            self._recorder.complete(ongoing, "refused")
            return
        frame.passed.append(Message(False, frame.is_text, judged.judgement.body))
        if ongoing is not self._opened:
            self._end_turn()
            self._turn, ongoing.bytes_up = ongoing, len(frame.content)

    def _record(self, who: Identity, judged: Judged) -> Ongoing:
        """The record of a message; the handshake's, where it says nothing that was not recorded."""
        exchange, verdict = judged.reading.exchange, judged.judgement.verdict
        if not _says(judged) and verdict.action in ("ALLOW", "FLAG") and exchange.unreadable in self._said:
            return self._opened
        self._said.add(exchange.unreadable)
        return self._recorder.judged(
            who,
            self._to_message,
            exchange,
            verdict,
            prompt_hash=judged.prompt_hash,
            rulebook=judged.rulebook,
            prompt=judged.prompt,
        )

    @property
    def _to_message(self) -> Address:
        return replace(self._to, method="MESSAGE")

    def _answered(self, frame: Frame) -> None:
        over = self._open.take(frame.content)
        if self._asked is None:  # no rule speaks of answers
            self._all.size += len(frame.content)
            self._pass(frame, [frame.content])
        else:
            if self._answer is None:
                self._answer = self._new_answer(self._asked)
            self._pass(frame, self._answer.feed(frame.content))
            if self._answer.over or not self._open.ids:
                self._settle(frame)
        if over:
            self._end_turn()

    def _new_answer(self, asked: Asked) -> Streamed:
        stream: Stream[StreamFrame] = Stream(
            asked.book, replace(asked.context, stream=True), key=asked.key, restore=asked.restore
        )
        at = (self._turn or self._opened).id
        return Streamed(
            Messages(),
            Plain(),
            stream,
            lambda why: self._family.end(why, at),
            lambda verdict: blocked_message(verdict, at),
        )

    def _settle(self, frame: Frame) -> None:
        """Nothing goes on what came: what is held of it goes, or is what ends the dialogue."""
        answer, self._answer = self._answer, None
        if answer is None:
            return
        self._pass(frame, answer.end())
        self._all.add(answer, counted=self._turn is not None)
        if self._turn is None:
            self._all.told += self._recorder.spend(self._identity.tenant.id, answer.usage)
        if self._turn is not None:
            if self._turn.answer is None:
                self._turn.answer = Answers()
            cast(Answers, self._turn.answer).add(answer)
        if answer.over:
            frame.close = (POLICY, _short(blocked_message(answer.verdict, (self._turn or self._opened).id)))
            self._end_turn()

    def _end_turn(self) -> None:
        turn, self._turn = self._turn, None
        if turn is not None:
            self._recorder.complete(turn, "ok")

    def _pass(self, frame: Frame, passed: list[bytes]) -> None:
        frame.passed += [Message(True, frame.is_text, content) for content in passed]

    def _refuse(self, frame: Frame, reason: Reason, code: int, message: str) -> None:
        unreadable = (reason,) if reason == "too_large" else ()
        ongoing = self._recorder.refused(
            self._identity,
            self._to_message,
            reason,
            provider=self._handshake.provider.name,
            unreadable=unreadable,
        )
        self._recorder.complete(ongoing, "refused")
        self._stop(frame, f"{message} (decision {ongoing.id})", ongoing.id, code)

    def _stop(self, frame: Frame, message: str, decision: str, code: int = POLICY) -> None:
        """Tell a client why, and close."""
        frame.passed = [Message(True, True, said) for _, said in self._family.end(message, decision)]
        frame.close = (code, _short(message))


class _Turn(msgspec.Struct, rename="camel"):
    turn_complete: bool = False


class _Asking(msgspec.Struct):
    """What a client's message says of whether it wants an answer: OpenAI's by its type, Gemini's by the end of its turn."""

    type: str = ""
    client_content: _Turn | None = msgspec.field(default=None, name="clientContent")


_asking = msgspec.json.Decoder(_Asking)


def _asks(content: bytes) -> bool:
    """Whether a message makes the provider answer, though it may say nothing itself."""
    try:
        asked = _asking.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    return asked.type == "response.create" or (
        asked.client_content is not None and asked.client_content.turn_complete
    )


def _says(judged: Judged) -> bool:
    """Whether a message is a call: something is said in it."""
    return any(part.kind in SAYING for part in judged.reading.exchange.parts)


def _joined(before: Asked | None, now: Asked | None) -> Asked | None:
    """By the newest rules; what stood for what in earlier messages is still put back."""
    if before is None or now is None:
        return now or before
    return replace(now, restore=tuple(dict.fromkeys((*before.restore, *now.restore)))[-MOST_OPEN:])


def _short(reason: str) -> str:
    return reason.encode()[:LONGEST_REASON].decode("utf-8", "ignore")
