"""Judges a case as the proxy judges the call or the answer that it stands for."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import msgspec

from addons.answers.answer import judge_whole, looks_readable, unreadable_by_head
from addons.answers.streamed import StreamedAnswer
from addons.answers.texts import AnswerReader
from addons.calls.heads import canonical
from addons.calls.reading import CallRequest, Reading, judge, read
from addons.cases.case import DECISION, KEY, BadCase, Case, JudgedCase, Way
from addons.framing import framing_of
from addons.framing.decode import decoder_for
from addons.framing.frame import Frame
from addons.providers import Directory
from addons.providers.error_formats import Why
from addons.record.recorder import blocked_message
from rules.evaluate import evaluate
from rules.exchange import Direction, Exchange, Kind, Part, Role, Unreadable
from rules.leaves import leaves, parse
from rules.rulebook import Rulebook
from rules.stream import Stream
from rules.verdict import Verdict

WAYS: Mapping[Way, tuple[Role, Kind, Direction]] = {
    "prompt": ("user", "text", "request"),
    "tool_result": ("tool", "tool_result", "request"),
    "tool_call": ("assistant", "tool_call", "response"),
    "answer_text": ("assistant", "text", "response"),
}
# the tool where a case names none
TOOLS: Mapping[Way, str] = {
    "tool_result": "Read",
    "tool_call": "Bash",
}


@dataclass(frozen=True, slots=True)
class CaseJudge:
    """Judges cases by one rulebook, for one tenant, as if all were called at one time."""

    book: Rulebook
    tenant: str
    now: datetime
    directory: Directory

    def judge(self, case: Case) -> JudgedCase:
        """Judge one case. Raises BadCase where its URL is no AI provider's."""
        if case.text is not None:
            return self._text(case, case.text)
        return self._call(case) if case.answer is msgspec.UNSET else self._answer(case)

    def _text(self, case: Case, text: str) -> JudgedCase:
        role, kind, direction = WAYS[case.way or "prompt"]
        tool = (
            TOOLS.get(case.way, "")
            if case.way is not None and case.tool is None
            else case.tool or ""
        )
        if case.way is None and case.role == "assistant":
            direction = "response"
        part = Part(text, case.role or role, case.kind or kind, 0, tool)
        exchange = Exchange(
            direction=direction,
            parts=(part,),
            size=len(text),
            time=self.now,
            tenant=self.tenant,
        )
        verdict = evaluate(self.book, exchange, key=KEY)
        for edit in reversed(verdict.edits):
            text = text[: edit.start] + edit.text + text[edit.end :]
        return JudgedCase(verdict, exchange.coverage, text)

    def _call(self, case: Case) -> JudgedCase:
        reading = read(
            self._request(case, _written(case, case.body), case.headers), self.tenant
        )
        first, second = (
            judge(reading, self.book, key=KEY, clean=None) for _ in range(2)
        )
        defects = (
            () if isinstance(case.body, str) else _misshapen(case.body, first.body)
        )
        if first.body != second.body:
            defects += ("placeholders not stable",)
        coverage = reading.exchange.coverage
        if coverage != "full" and not case.imageok:
            defects += (f"coverage {coverage} {reading.exchange.unreadable}",)
        return JudgedCase(
            first.verdict, coverage, _shown(first.body), _leaves(first.body), defects
        )

    def _answer(self, case: Case) -> JudgedCase:
        request, body = self._request(case, b"", {}), _written(case, case.answer)
        call = read(request, self.tenant)
        content_type = _header(case.headers, "content-type", "application/json")
        encoding = _header(case.headers, "content-encoding")
        opaque = "" if looks_readable(body) else unreadable_by_head(content_type)
        context = replace(
            call.exchange,
            direction="response",
            parts=(),
            unreadable=(opaque,) if opaque else (),
            size=0,
        )
        if opaque:
            return JudgedCase(
                evaluate(self.book, context, key=KEY), "none", _shown(body)
            )
        framing = framing_of(
            content_type, grows=call.format is not None and call.format.grows
        )
        decoder = decoder_for(encoding)
        if framing is None or decoder is None:
            whole = judge_whole(
                self.book, context, body, content_type, encoding, key=KEY
            )
            left = body if whole.body is None else whole.body
            return JudgedCase(
                whole.verdict or Verdict("ALLOW"),
                whole.coverage,
                _shown(left),
                _leaves(left),
            )
        stream: Stream[Frame] = Stream(
            self.book, replace(context, stream=True), key=KEY
        )
        ending = request.provider.family_of(canonical(request.path)).end
        answer = StreamedAnswer(
            framing,
            decoder,
            stream,
            lambda why, code: ending(Why(why, DECISION, code=code)),
            lambda verdict: blocked_message(verdict, DECISION),
        )
        passed = b"".join([*answer.feed(body), *answer.end()])
        return JudgedCase(
            answer.verdict,
            answer.coverage,
            _shown(passed),
            _streamed_texts(content_type, call, passed),
        )

    def _request(
        self, case: Case, body: bytes, headers: Mapping[str, str]
    ) -> CallRequest:
        try:
            url = urlsplit(case.url or "")
            host = url.hostname or ""
        except ValueError:
            raise BadCase(f"`{case.url}` is no URL") from None
        provider = self.directory.of(host) if url.scheme == "https" else None
        if provider is None:
            raise BadCase(
                f"`{case.url}` is not a URL of an AI provider (see earthflow providers)"
            )
        encoding = _header(headers, "content-encoding")
        content_type = _header(headers, "content-type", "application/json")
        return CallRequest(
            provider,
            host,
            case.method,
            url.path or "/",
            url.query,
            body,
            encoding,
            self.now,
            content_type,
        )


def _written(case: Case, value: Any) -> bytes:
    text = (
        value if isinstance(value, str) else json.dumps(value, ensure_ascii=case.ascii)
    )
    return text.encode("utf-8", "replace")


def _shown(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _leaves(body: bytes) -> tuple[str, ...]:
    """The strings of a JSON body, as a client reads them; none of any other body."""
    document = parse(body)
    found = document if isinstance(document, Unreadable) else leaves(body, document)
    return () if isinstance(found, Unreadable) else tuple(leaf.text for leaf in found)


def _streamed_texts(content_type: str, call: Reading, body: bytes) -> tuple[str, ...]:
    """The texts that a client joins from the events of a stream."""
    framing = framing_of(
        content_type, grows=call.format is not None and call.format.grows
    )
    reader = AnswerReader()
    texts: dict[object, list[str]] = {}
    for frame in [*framing.feed(body), *framing.end()] if framing is not None else ():
        said = (
            reader.read(frame.data, frame.name)
            if frame.data is not None
            else Unreadable("opaque")
        )
        for number, piece in enumerate(
            () if isinstance(said, Unreadable) else said.pieces
        ):
            for name in piece.channels or ((id(frame), number),):
                texts.setdefault(name, []).append(piece.text)
    return tuple(map("".join, texts.values()))


def _header(headers: Mapping[str, str], name: str, default: str = "") -> str:
    return next(
        (value for key, value in headers.items() if key.lower() == name), default
    )


def _misshapen(body: Any, left: bytes) -> tuple[str, ...]:
    """What an edit broke in a JSON body."""
    try:
        return () if _shape(json.loads(left)) == _shape(body) else ("shape changed",)
    except ValueError:
        return ("the body is not JSON any more",)


def _shape(value: Any) -> Any:
    """The keys in their order, and the types of values; cache marks as they are."""
    if isinstance(value, dict):
        return {
            key: inner if key == "cache_control" else _shape(inner)
            for key, inner in value.items()
        }
    return (
        [_shape(inner) for inner in value]
        if isinstance(value, list)
        else type(value).__name__
    )
