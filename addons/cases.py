"""Cases, one JSON object a line -> what the proxy makes of each: `earthflow rules try --cases` runs this as a program of its own.

Reading and judging are the proxy's; there is no network and no mitmproxy. A case is one of

    a text      {"text": "…", "way": "prompt"}; `role`, `kind` and `tool` say it piece by piece
    a call      {"url": "https://api.openai.com/v1/chat/completions", "body": {…}}, also with `method` and `headers`
    an answer   {"url": "…", "answer": {…}}; `headers` are the answer's, and one typed as a stream is judged as a stream

and may say what is right: `gone` (values that must not be left), `keep` (values that must stay), `min` and `max` (the weakest and the
strongest action that will do), `expect` (`find` or `quiet`: what a stronger action than `max` is called). `id` names it in the outcome.
A `body` or `answer` that is a string is taken as it stands; any other value is written as JSON, with `ascii` in ASCII alone.
"""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec

from addons.answer import Streamed, judge_whole, unreadable
from addons.decode import decoder_for
from addons.framing import framing_of
from addons.framing.frame import Frame
from addons.heads import canonical
from addons.judging import Reading, Request, judge, read
from addons.providers import Directory
from addons.record import blocked_message
from addons.saying import Reader
from contract.providers import BadProviders
from rules.complaint import BadRules
from rules.evaluate import Verdict, evaluate
from rules.exchange import Coverage, Direction, Exchange, Kind, Part, Role, Unreadable
from rules.leaves import leaves, parse
from rules.load import Library, shipped
from rules.rulebook import Rulebook
from rules.stream import Stream

Action = Literal["ALLOW", "FLAG", "REDACT", "BLOCK"]
Way = Literal["prompt", "tool_result", "tool_call", "answer_text"]

KEY = b"earthflow rules try"  # makes the placeholders that are shown; a tenant's own key makes its own
DECISION = "case"  # stands where a refusal names its decision
STRENGTH: Mapping[Action, int] = {"ALLOW": 0, "FLAG": 1, "REDACT": 2, "BLOCK": 3}
WAYS: Mapping[Way, tuple[Role, Kind, Direction]] = {
    "prompt": ("user", "text", "request"),
    "tool_result": ("tool", "tool_result", "request"),
    "tool_call": ("assistant", "tool_call", "response"),
    "answer_text": ("assistant", "text", "response"),
}
TOOLS: Mapping[Way, str] = {
    "tool_result": "Read",
    "tool_call": "Bash",
}  # the tool that is meant where a case names none
BAD_USAGE, BAD_RULES = 2, 3  # exit statuses
BOM = b"\xef\xbb\xbf"  # some editors begin a file with it


class Case(msgspec.Struct):
    """One case as it was written."""

    id: str = ""
    text: str | None = None
    way: Way | None = None
    role: Role | None = None
    kind: Kind | None = None
    tool: str | None = None
    url: str | None = None
    method: str = "POST"
    headers: dict[str, str] = {}
    body: Any = msgspec.UNSET
    answer: Any = msgspec.UNSET
    ascii: bool = False
    imageok: bool = False  # part of it cannot be read, and that is right
    expect: Literal["find", "quiet"] = "find"
    gone: list[str] = []
    keep: list[str] = []
    min: Action = "ALLOW"
    max: Action = "BLOCK"


KNOWN = {*Case.__struct_fields__, "group", "source", "known", "show", "note"}  # the latter are for people


class Job(msgspec.Struct):
    """What the cases are judged by, and what they are called: the first line of the program's input."""

    sources: dict[str, str] = {}
    preset: str = "default"
    tenant: str = ""
    providers: str | None = None  # the operator's own list of them, a file


class BadCase(ValueError):
    """A line that is no case, and why."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What became of a case: `leaves` is what passes on of it, as it is sent, and `texts` are what a client reads in that.

    `defects` are promises of the proxy's that did not hold.
    """

    verdict: Verdict
    coverage: Coverage
    leaves: str
    texts: tuple[str, ...] = ()
    defects: tuple[str, ...] = ()


def read_case(line: bytes) -> Case:
    """A line as a case. Raises BadCase."""
    try:
        case = msgspec.json.decode(line, type=Case)
    except RecursionError:
        raise BadCase("is nested too deep") from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadCase(str(error)) from None
    given = [name for name in ("text", "body", "answer") if getattr(case, name) not in (None, msgspec.UNSET)]
    if len(given) != 1:
        raise BadCase(
            "has to have one of `text`, `body` and `answer`"
            + (f", not {' and '.join(given)}" if given else "")
        )
    if given != ["text"] and case.url is None:
        raise BadCase(f"has a `{given[0]}` and no `url`")
    return case


@dataclass(frozen=True, slots=True)
class CaseJudge:
    """Judges cases by one rulebook, in the name of one tenant, as if all were called at one time."""

    book: Rulebook
    tenant: str
    now: datetime
    directory: Directory

    def judge(self, case: Case) -> Judged:
        """Judge one case. Raises BadCase where its URL is no AI provider's."""
        if case.text is not None:
            return self._text(case, case.text)
        return self._call(case) if case.answer is msgspec.UNSET else self._answer(case)

    def _text(self, case: Case, text: str) -> Judged:
        role, kind, direction = WAYS[case.way or "prompt"]
        tool = TOOLS.get(case.way, "") if case.way is not None and case.tool is None else case.tool or ""
        if case.way is None and case.role == "assistant":
            direction = "response"
        part = Part(text, case.role or role, case.kind or kind, 0, tool)
        exchange = Exchange(
            direction=direction, parts=(part,), size=len(text), time=self.now, tenant=self.tenant
        )
        verdict = evaluate(self.book, exchange, key=KEY)
        for edit in reversed(verdict.edits):
            text = text[: edit.start] + edit.text + text[edit.end :]
        return Judged(verdict, exchange.coverage, text)

    def _call(self, case: Case) -> Judged:
        reading = read(self._request(case, _written(case, case.body), case.headers), self.tenant)
        first, second = (judge(reading, self.book, key=KEY, clean=None) for _ in range(2))
        defects = () if isinstance(case.body, str) else _misshapen(case.body, first.body)
        if first.body != second.body:
            defects += ("placeholders not stable",)
        coverage = reading.exchange.coverage
        if coverage != "full" and not case.imageok:
            defects += (f"coverage {coverage} {reading.exchange.unreadable}",)
        return Judged(first.verdict, coverage, _shown(first.body), _leaves(first.body), defects)

    def _answer(self, case: Case) -> Judged:
        request, body = self._request(case, b"", {}), _written(case, case.answer)
        asked = read(request, self.tenant)
        content_type, encoding = (
            _header(case.headers, "content-type", "application/json"),
            _header(case.headers, "content-encoding"),
        )
        opaque = unreadable(content_type, encoding)
        context = replace(
            asked.exchange, direction="response", parts=(), unreadable=(opaque,) if opaque else (), size=0
        )
        if opaque:
            return Judged(evaluate(self.book, context, key=KEY), "none", _shown(body))
        framing = framing_of(content_type, grows=asked.format is not None and asked.format.grows)
        decoder = decoder_for(encoding)
        if framing is None or decoder is None:
            whole = judge_whole(self.book, context, body, content_type, encoding, key=KEY, restore=())
            left = body if whole.body is None else whole.body
            return Judged(whole.verdict or Verdict("ALLOW"), whole.coverage, _shown(left), _leaves(left))
        stream: Stream[Frame] = Stream(self.book, replace(context, stream=True), key=KEY)
        ending = request.provider.family_of(canonical(request.path)).end
        answer = Streamed(
            framing,
            decoder,
            stream,
            lambda why: ending(why, DECISION),
            lambda verdict: blocked_message(verdict, DECISION),
        )
        passed = b"".join([*answer.feed(body), *answer.end()])
        return Judged(
            answer.verdict, answer.coverage, _shown(passed), _streamed_texts(content_type, asked, passed)
        )

    def _request(self, case: Case, body: bytes, headers: Mapping[str, str]) -> Request:
        try:
            url = urlsplit(case.url or "")
            host = url.hostname or ""
        except ValueError:
            raise BadCase(f"`{case.url}` is no URL") from None
        provider = self.directory.of(host) if url.scheme == "https" else None
        if provider is None:
            raise BadCase(f"`{case.url}` is no URL of an AI provider (see earthflow providers)")
        encoding, content_type = (
            _header(headers, "content-encoding"),
            _header(headers, "content-type", "application/json"),
        )
        return Request(
            provider, host, case.method, url.path or "/", url.query, body, encoding, self.now, content_type
        )


def _written(case: Case, value: Any) -> bytes:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=case.ascii)
    return text.encode("utf-8", "replace")


def _shown(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _leaves(body: bytes) -> tuple[str, ...]:
    """The strings of a JSON body, as a client reads them; none of anything else."""
    document = parse(body)
    found = document if isinstance(document, Unreadable) else leaves(body, document)
    return () if isinstance(found, Unreadable) else tuple(leaf.text for leaf in found)


def _streamed_texts(content_type: str, asked: Reading, body: bytes) -> tuple[str, ...]:
    """The texts that a client puts together from the events of a stream."""
    framing, reader = (
        framing_of(content_type, grows=asked.format is not None and asked.format.grows),
        Reader(),
    )
    texts: dict[object, list[str]] = {}
    for frame in [*framing.feed(body), *framing.end()] if framing is not None else ():
        said = reader.read(frame.data, frame.name) if frame.data is not None else Unreadable("opaque")
        for number, piece in enumerate(() if isinstance(said, Unreadable) else said.pieces):
            for name in piece.channels or ((id(frame), number),):
                texts.setdefault(name, []).append(piece.text)
    return tuple(map("".join, texts.values()))


def _header(headers: Mapping[str, str], name: str, default: str = "") -> str:
    return next((value for key, value in headers.items() if key.lower() == name), default)


def _misshapen(body: Any, left: bytes) -> tuple[str, ...]:
    """What an edit has broken in a JSON body."""
    try:
        return () if _shape(json.loads(left)) == _shape(body) else ("shape changed",)
    except ValueError:
        return ("body is no JSON any more",)


def _shape(value: Any) -> Any:
    """Keys in their order and types of values; marks of a cache as they stand."""
    if isinstance(value, dict):
        return {key: inner if key == "cache_control" else _shape(inner) for key, inner in value.items()}
    return [_shape(inner) for inner in value] if isinstance(value, list) else type(value).__name__


# -- what is right ----------------------------------------------------------------------------------------------------


def result_of(case: Case, judged: Judged) -> tuple[str, list[str]]:
    """Whether what became of a case is right: `ok`, or how it is wrong, and the values of `gone` that are left."""
    action = judged.verdict.action
    left = [value for value in case.gone if action != "BLOCK" and _holds(judged, value)]
    lost = [value[:30] for value in case.keep if action != "BLOCK" and not _holds(judged, value)]
    if judged.defects:
        return f"DEFECT: {'; '.join(judged.defects)}", left
    if left:
        return f"MISS ({len(left)} of {len(case.gone)} left)" if len(case.gone) > 1 else "MISS", left
    if STRENGTH[action] < STRENGTH[case.min]:
        return "MISS", left
    if STRENGTH[action] > STRENGTH[case.max]:
        changed = "FALSE POSITIVE" if action in ("REDACT", "BLOCK") else "NOISE"
        return "BAD ACTION" if case.expect == "find" else changed, left
    return f"BAD ACTION (lost: {', '.join(lost)})" if lost else "ok", left


def _holds(judged: Judged, value: str) -> bool:
    """Whether a value is in what leaves: as it is, as JSON writes it, or in a text that a client reads."""
    written = json.dumps(value, ensure_ascii=False)[1:-1]
    return any(value in text for text in (judged.leaves, *judged.texts)) or written in judged.leaves


def outcome(case: Case, judged: Judged) -> dict[str, Any]:
    """What is printed of a case."""
    verdict, (result, left) = judged.verdict, result_of(case, judged)
    return {
        "id": case.id,
        "result": result,
        "action": verdict.action,
        "by": verdict.by.id if verdict.by else None,
        "rules": [{"id": one.judge.id, "action": one.judge.action or "score"} for one in verdict.fired],
        "coverage": judged.coverage,
        "unreadable": list(verdict.unreadable),
        "leaves": None if verdict.action == "BLOCK" else judged.leaves,
        "left": left,
    }


def main() -> int:
    """Standard input: a Job, then a case a line. Standard output: an outcome a line. The exit status; 2 after a line that is no case."""
    lines, out = sys.stdin.buffer, sys.stdout.buffer
    try:
        job = msgspec.json.decode(lines.readline(), type=Job)
        book = Library({**shipped(), **job.sources}, portable=True).rulebook(job.preset, job.tenant)
        directory = Directory(Path(job.providers) if job.providers else None)
    except (BadRules, BadProviders) as error:
        print(error, file=sys.stderr)
        return BAD_RULES
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        print(f"preset, tenant and rule files must be UTF-8: {error}", file=sys.stderr)
        return BAD_USAGE
    judge = CaseJudge(book, job.tenant, datetime.now(UTC), directory)
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            out.write(msgspec.json.encode(_outcome_of(line, number, judge)) + b"\n")
            out.flush()
        except BadCase as error:
            print(f"line {number}: {error}", file=sys.stderr)
            return BAD_USAGE
    return 0


def _outcome_of(line: bytes, number: int, judge: CaseJudge) -> dict[str, Any]:
    """The outcome of a line. Raises BadCase."""
    case = read_case(line.removeprefix(BOM))
    case.id = case.id or f"line {number}"
    try:
        unknown = sorted(set(msgspec.json.decode(line.removeprefix(BOM))) - KNOWN)
        return {**outcome(case, judge.judge(case)), "unknown": unknown}
    except RecursionError:
        raise BadCase("is nested too deep") from None


if __name__ == "__main__":
    sys.exit(main())
