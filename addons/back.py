"""The way back: which answers are judged, and how, by their heads; what is done with a whole one; the guard of a streamed one."""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from mitmproxy import http

from addons import enforce
from addons.answer import Streamed, Unjudged, Whole, judge_whole, unreadable
from addons.decode import decoder_for
from addons.framing import framing_of
from addons.framing.frame import Frame
from addons.layers import ANSWER, REPLACED
from addons.passage import Asked, Passage
from addons.record import Ongoing, blocked_message
from rules.evaluate import Verdict, evaluate
from rules.stream import Stream

logger = logging.getLogger("earthflow.back")

LARGE = 32 * 1024  # bytes of a whole answer; a larger one is judged beside the loop
LENGTHS = (
    "content-length",
    "content-encoding",
    "content-md5",
    "digest",
    "content-digest",
    "etag",
    "accept-ranges",
)

OnError = Callable[
    [Exception], bool
]  # counts and logs it; whether the operator lets pass what could not be judged


def begin(flow: http.HTTPFlow, passage: Passage, status: int, on_error: OnError) -> None:
    """Decide by an answer's head how it goes on: read along, held, judged while it streams, or not at all."""
    response, asked, ongoing = flow.response, passage.asked, passage.ongoing
    assert response is not None and ongoing is not None
    headers = response.headers
    content_type, encoding = headers.get("content-type", ""), headers.get("content-encoding", "")
    bare = flow.request.method == "HEAD" or response.status_code in (204, 304)  # no body comes
    if bare or asked is None or (asked.book.answers is None and not asked.restore):
        _read_along(response, Unjudged(content_type, encoding), ongoing)
        return
    format = passage.format
    sought = asked.context.stream and format is not None and format.streams_text
    opaque = unreadable(content_type, encoding, sought=sought)
    verdict = _of_head(asked, opaque)
    if verdict.action == "BLOCK":
        _replace(flow, passage, Whole(verdict=verdict), status)
    elif opaque:
        _read_along(response, Unjudged(content_type, encoding, verdict), ongoing)
    else:
        framing = framing_of(
            content_type, grows=sought and format is not None and format.grows, sought=sought
        )
        decoder = decoder_for(encoding)
        if framing is None or decoder is None:
            response.stream, passage.whole = False, True
            return
        stream: Stream[Frame] = Stream(
            asked.book, replace(asked.context, stream=True), key=asked.key, restore=asked.restore
        )
        ending = enforce.family_of(flow, passage).end
        answer = Streamed(
            framing, decoder, stream, lambda why: ending(why, ongoing.id), partial(_why, ongoing.id)
        )
        ongoing.answer = answer
        _will_change(flow)
        flow.metadata[ANSWER] = Guarded(answer, ongoing, on_error)


async def judge(flow: http.HTTPFlow, passage: Passage, status: int) -> None:
    """Judge a whole answer; edit it, or put a refusal in its place."""
    response, asked, ongoing = flow.response, passage.asked, passage.ongoing
    assert response is not None and asked is not None and ongoing is not None
    raw, headers = response.raw_content or b"", response.headers
    content_type, encoding = headers.get("content-type", "").lower(), headers.get("content-encoding", "")
    work = partial(
        judge_whole,
        asked.book,
        asked.context,
        raw,
        content_type,
        encoding,
        key=asked.key,
        restore=asked.restore,
    )
    whole = work() if len(raw) <= LARGE and not encoding else await asyncio.to_thread(work)
    if whole.verdict is not None and whole.verdict.action == "BLOCK":
        _replace(flow, passage, whole, status)
        flow.metadata.pop(REPLACED)  # nothing was sent yet, so what stands in flow.response will be
        return
    ongoing.answer = whole
    if whole.body is not None:
        for name in LENGTHS:
            headers.pop(name, None)
        response.raw_content = whole.body
        if "transfer-encoding" not in headers:
            headers["content-length"] = str(len(whole.body))


def too_large(flow: http.HTTPFlow, passage: Passage, status: int) -> None:
    """A whole answer that is too large to be held passes unread, unless a rule says otherwise."""
    assert passage.asked is not None and passage.ongoing is not None and flow.response is not None
    verdict = _of_head(passage.asked, "too_large")
    passage.whole = False
    if verdict.action == "BLOCK":
        _replace(flow, passage, Whole(verdict=verdict), status)
    else:
        _read_along(flow.response, Unjudged("", "", verdict), passage.ongoing)


def count(response: http.Response, ongoing: Ongoing) -> None:
    """An answer of a host that is no AI provider's passes as it comes, counted."""
    _read_along(response, Unjudged("", "unread"), ongoing)


class Guarded:
    """What layers.py sees of a streamed answer: nothing that is raised inside gets out, and none of it means ALLOW."""

    def __init__(self, answer: Streamed, ongoing: Ongoing, on_error: OnError):
        self._answer, self._ongoing, self._on_error = answer, ongoing, on_error

    @property
    def over(self) -> bool:
        """Whether it was ended."""
        return self._answer.over

    @property
    def idle(self) -> bytes:
        """What keeps a client waiting while something is held."""
        return self._answer.idle

    def feed(self, chunk: bytes) -> bytes:
        """Take what came; give what may go on."""
        if self._ongoing.first_byte is None:
            self._ongoing.first_byte = time.monotonic()
        try:
            return b"".join(self._answer.feed(chunk))
        except Exception as error:
            return self._failed(error)

    def end(self) -> bytes:
        """Nothing more comes."""
        try:
            return b"".join(self._answer.end())
        except Exception as error:
            return self._failed(error)

    def cut(self, why: str) -> bytes:
        """It lasts too long."""
        self._ongoing.trouble, self._ongoing.expired = why, True
        return b"".join(self._answer.cut_off(f"{why} (decision {self._ongoing.id})"))

    def _failed(self, error: Exception) -> bytes:
        self._ongoing.trouble = "engine_error"
        if self._on_error(error):
            return b"".join(self._answer.let_go())
        return b"".join(
            self._answer.cut_off(f"Earthflow could not judge this answer (decision {self._ongoing.id})")
        )


def _of_head(asked: Asked, opaque: str) -> Verdict:
    """What the rules say of an answer of which nothing was read yet, or can be."""
    return evaluate(asked.book, replace(asked.context, unreadable=(opaque,) if opaque else ()), key=asked.key)


def _replace(flow: http.HTTPFlow, passage: Passage, answer: Whole, status: int) -> None:
    """Put a refusal in an answer's place."""
    assert passage.ongoing is not None and answer.verdict is not None
    passage.ongoing.answer = answer
    enforce.refuse(
        flow,
        status,
        _why(passage.ongoing.id, answer.verdict),
        passage.ongoing.id,
        enforce.family_of(flow, passage),
    )
    flow.metadata[REPLACED] = True


def _why(decision: str, verdict: Verdict) -> str:
    return blocked_message(verdict, decision)


def _will_change(flow: http.HTTPFlow) -> None:
    """What is said of an answer's length and form holds no longer."""
    response = flow.response
    assert response is not None
    for name in LENGTHS:
        response.headers.pop(name, None)
    if not response.is_http2 and flow.request.http_version != "HTTP/1.0":
        response.http_version = "HTTP/1.1"
        response.headers["transfer-encoding"] = "chunked"


def _read_along(response: http.Response, answer: Unjudged, ongoing: Ongoing) -> None:
    """Let an answer pass as it comes, counted."""
    ongoing.answer = answer

    def pass_on(chunk: bytes) -> bytes:
        if ongoing.first_byte is None:
            ongoing.first_byte = time.monotonic()
        try:
            answer.feed(chunk)
        except Exception as error:  # mitmproxy would lose the chunk
            logger.error("%s; an answer's tokens are not counted", type(error).__name__)
        return chunk

    response.stream = pass_on
