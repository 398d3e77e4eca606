"""How the answer to a judged call is treated, by its head: passed and counted, held and judged whole, or judged as it streams."""

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial

from addons.answers.answer import (
    BLANKS,
    UNKNOWN,
    PassedAnswer,
    WholeAnswer,
    judge_whole,
    looks_readable,
    unreadable_by_head,
)
from addons.answers.guarded import GuardedAnswer, Piece
from addons.answers.heads import clean_head
from addons.answers.loop_budget import LoopBudget
from addons.answers.streamed import StreamedAnswer
from addons.calls.failures import Failures
from addons.calls.flow import Flow, Response
from addons.calls.large_work import LargeWork
from addons.calls.refusal import PASS, Refuse, Step, family_of, refused, unanswered
from addons.calls.signed_texts import Pair
from addons.calls.state import ANSWER, SNIFF, AnswerPolicy, CallState
from addons.framing import SNIFFED, framing_by, framing_of
from addons.framing.charset import hides_ascii
from addons.framing.decode import NoEncoding, Undecodable, decoder_for
from addons.framing.frame import Frame, Framing
from addons.providers.error_formats import TORN, Why
from addons.record.recorder import OpenRecord, blocked_message
from rules.evaluate import evaluate
from rules.stream import Stream
from rules.verdict import Verdict

logger = logging.getLogger("earthflow.answers")

LARGE = 4 * 1024  # bytes of a whole answer; a larger one is judged in a thread
NO_BODY = (204, 304)  # status codes
# Headers that describe a body as the provider sent it; they are wrong once it is edited.
BODY_HEADERS = (
    "content-length",
    "content-encoding",
    "content-md5",
    "digest",
    "content-digest",
    "etag",
    "accept-ranges",
)


class AnswerHandler:
    """Treats the answers of one proxy. A refusal has status `block_status`; `saw` takes
    texts that are bound to a signature.
    """

    def __init__(
        self,
        block_status: int,
        failures: Failures,
        saw: Callable[[AnswerPolicy, Sequence[Pair]], None],
        work: LargeWork,
    ):
        """`work`: where what takes long is judged."""
        self._block_status, self._failures, self._saw = block_status, failures, saw
        self._work = work
        self._budget = LoopBudget()

    def head(self, flow: Flow, state: CallState) -> Step:
        """Choose the treatment; refuse at once what the rules block by its head."""
        response, policy, record = flow.response, state.answer_policy, state.record
        assert response is not None and record is not None
        if state.provider is None:  # a host that is no AI provider's
            count(response, PassedAnswer("", "unread"), record)
            return PASS
        headers = response.headers
        content_type = headers.get("content-type", "")
        encoding = headers.get("content-encoding", "")
        empty = flow.request.method == "HEAD" or response.status_code in NO_BODY
        if policy is not None and _is_judged(policy):
            clean_head(response, policy)
        if empty or policy is None or not _is_judged(policy):
            count(response, PassedAnswer(content_type, encoding), record)
            return PASS
        format = state.format
        streams = policy.context.stream and format is not None and format.streams_text
        reason = unreadable_by_head(content_type, streams=streams)
        strange = "" if decoder_for(encoding) else UNKNOWN
        verdict = _verdict_by_head(policy, reason or strange)
        if verdict.action == "BLOCK":
            return self._refuse(flow, state, WholeAnswer(verdict=verdict))
        grows = streams and format is not None and format.grows
        framing = framing_of(content_type, grows=grows, sought=streams)
        if framing is not None:
            self._stream(flow, state, framing, encoding)
            return PASS
        # Until it shows what it is, it is held; to its end, unless it shows to be something else.
        response.stream, state.whole = False, True
        if reason:
            flow.metadata[SNIFF] = partial(self._sniff_unread, flow, state, verdict)
        elif streams:
            flow.metadata[SNIFF] = partial(self._sniff, flow, state)
        return PASS

    def switched(self, flow: Flow, state: CallState) -> Step:
        """A WebSocket begins; where none was asked for, its provider broke the protocol."""
        assert flow.response is not None and state.record is not None
        if "upgrade" not in flow.request.headers:
            why = "The provider changed the protocol, which nobody asked for"
            state.record.failure, state.record.expired = why, True
            return Refuse(unanswered(flow, state, why, TORN))
        if state.answer_policy is not None and _is_judged(state.answer_policy):
            clean_head(flow.response, state.answer_policy)
        return PASS

    def _sniff(self, flow: Flow, state: CallState, held: bytes) -> bool:
        """Whether an answer to a call for a stream is one, though its type says it is not: then it
        is judged as one from now on.
        """
        held, begin = _begin(flow, held)
        framing = framing_by(begin)
        if framing is not None or len(held) >= SNIFFED:
            del flow.metadata[SNIFF]
        if framing is None:
            return False
        self._streams_after_all(flow, state, framing)
        return True

    def _sniff_unread(
        self, flow: Flow, state: CallState, verdict: Verdict, held: bytes
    ) -> bool:
        """Whether an answer whose type nobody can read is not held any longer: it is a stream, or
        what it says it is. If it begins as JSON does, clients read it, and so it is judged whole.
        """
        held, begin = _begin(flow, held)
        if not begin and len(held) < SNIFFED:
            return False
        del flow.metadata[SNIFF]
        if (framing := framing_by(begin)) is not None:
            self._streams_after_all(flow, state, framing)
            return True
        if looks_readable(begin):
            return False
        assert flow.response is not None and state.record is not None
        headers = flow.response.headers
        types = headers.get("content-type", ""), headers.get("content-encoding", "")
        state.whole = False
        count(flow.response, PassedAnswer(*types, verdict), state.record)
        return True

    def _streams_after_all(
        self, flow: Flow, state: CallState, framing: Framing
    ) -> None:
        assert flow.response is not None
        encoding = flow.response.headers.get("content-encoding", "")
        flow.response.stream, state.whole = True, False
        self._stream(flow, state, framing, encoding)

    def _stream(
        self, flow: Flow, state: CallState, framing: Framing, encoding: str
    ) -> None:
        """Judge the answer while it streams."""
        policy, record = state.answer_policy, state.record
        assert policy is not None and record is not None and flow.response is not None
        stream: Stream[Frame] = Stream(
            policy.book,
            replace(policy.context, stream=True),
            key=policy.key,
            restorer=policy.restorer(),
        )
        end_events = family_of(flow, state).end
        answer = StreamedAnswer(
            framing,
            decoder_for(encoding) or NoEncoding(),
            stream,
            lambda why, code: end_events(Why(why, record.id, code=code)),
            partial(blocked_message, decision=record.id),
            partial(self._saw, policy),
        )
        record.answer = answer
        content_type = flow.response.headers.get("content-type", "")
        if decoder_for(encoding) is None:
            stream.cannot_read(UNKNOWN)
        if hides_ascii(content_type):
            stream.cannot_read("not_utf8")
        _drop_body_headers(flow)
        flow.metadata[ANSWER] = GuardedAnswer(
            answer, record, self._failures, self._budget
        )

    async def whole(self, flow: Flow, state: CallState) -> Step:
        """Judge an answer that was held whole; edit it, or refuse it."""
        response, policy, record = flow.response, state.answer_policy, state.record
        assert response is not None and policy is not None and record is not None
        raw, headers = response.raw_content or b"", response.headers
        encoding = headers.get("content-encoding", "")
        work = partial(
            judge_whole,
            policy.book,
            policy.context,
            raw,
            headers.get("content-type", "").lower(),
            encoding,
            key=policy.key,
            restorer=policy.restorer(),
        )
        quick = len(raw) <= LARGE and not encoding
        tenant = policy.context.tenant
        answer = work() if quick else await self._work.run(tenant, work)
        if answer.verdict is not None and answer.verdict.action == "BLOCK":
            return self._refuse(flow, state, answer)
        record.answer = answer
        if answer.bound:
            self._saw(policy, [(one.signature, one.text) for one in answer.bound])
        if answer.body is not None:
            for name in BODY_HEADERS:
                headers.pop(name, None)
            response.raw_content = answer.body
            if "transfer-encoding" not in headers:
                headers["content-length"] = str(len(answer.body))
        return PASS

    async def judge_piece(self, piece: Piece) -> None:
        """Judge a piece of a streamed answer beside the event loop."""
        await self._work.run(piece.answer.tenant, piece.judge)

    async def settle(self, state: CallState | None) -> None:
        """Have the verdict on a long answer that is over, beside the event loop."""
        record = state.record if state is not None else None
        if record is None or not isinstance(record.answer, StreamedAnswer):
            return
        if record.answer.is_long:
            answer = record.answer
            with suppress(Exception):  # the recorder meets it again, and says so
                await self._work.run(record.tenant, lambda: answer.verdict)

    def too_large(self, flow: Flow, state: CallState) -> Step:
        """A whole answer that is too large to be held streams unread, unless a rule blocks that."""
        policy, record = state.answer_policy, state.record
        assert policy is not None and record is not None and flow.response is not None
        state.whole = False
        verdict = _verdict_by_head(policy, "too_large")
        if verdict.action == "BLOCK":
            return self._refuse(flow, state, WholeAnswer(verdict=verdict))
        count(flow.response, PassedAnswer("", "", verdict), record)
        return PASS

    def _refuse(self, flow: Flow, state: CallState, answer: WholeAnswer) -> Refuse:
        """The reply that takes a blocked answer's place."""
        assert state.record is not None and answer.verdict is not None
        state.record.answer = answer
        message = blocked_message(answer.verdict, state.record.id)
        return Refuse(refused(flow, state, self._block_status, message))


def count(response: Response, answer: PassedAnswer, record: OpenRecord) -> None:
    """Let an answer pass unchanged; count its bytes, and its tokens where it tells them."""
    record.answer = answer

    def pass_on(chunk: bytes) -> bytes:
        if record.first_byte is None:
            record.first_byte = time.monotonic()
        try:
            answer.feed(chunk)
        except Exception as error:  # mitmproxy would lose the chunk
            name = type(error).__name__
            logger.error("%s; an answer's tokens are not counted", name)
        return chunk

    response.stream = pass_on


def _begin(flow: Flow, held: bytes) -> tuple[bytes, bytes]:
    """What is held of an answer without blanks before it, and its beginning, decoded; nothing where
    that is not possible.
    """
    assert flow.response is not None
    encoding = flow.response.headers.get("content-encoding", "")
    decoder = decoder_for(encoding)
    if decoder is None or not encoding:
        held = held.lstrip(BLANKS)
        return held, held[:SNIFFED]
    try:
        return held, decoder.feed(held[:SNIFFED]).lstrip(BLANKS)
    except Undecodable:
        return held, b""


def _is_judged(policy: AnswerPolicy) -> bool:
    """Whether any rule concerns answers, or something is to be put back."""
    return policy.book.answers is not None or bool(policy.originals)


def _verdict_by_head(policy: AnswerPolicy, reason: str) -> Verdict:
    """What the rules say of an answer whose body was not read, or cannot be for this reason."""
    context = policy.context
    if reason:
        context = context.but(unreadable=(reason,))
    return evaluate(policy.book, context, key=policy.key)


def _drop_body_headers(flow: Flow) -> None:
    """The length and form that the head declares will not be those of an edited body."""
    response = flow.response
    assert response is not None
    for name in BODY_HEADERS:
        response.headers.pop(name, None)
    if not response.is_http2 and flow.request.http_version != "HTTP/1.0":
        response.http_version = "HTTP/1.1"
        response.headers["transfer-encoding"] = "chunked"
