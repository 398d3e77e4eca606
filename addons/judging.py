"""A call's bytes -> what to do with it. Total: what cannot be read is said in the exchange, never raised."""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from urllib.parse import unquote

from addons.decode import decode
from addons.heads import canonical
from addons.providers.provider import Call, Provider
from rules.evaluate import Verdict, evaluate
from rules.exchange import NOWHERE, Exchange, Part, Unreadable
from rules.redact import splice
from rules.rulebook import Rulebook
from rules.scan import Clean


@dataclass(frozen=True, slots=True)
class Request:
    """A call as it arrived: `path` without its query, `body` as sent, under `encoding`."""

    provider: Provider
    host: str
    method: str
    path: str
    query: str
    body: bytes
    encoding: str
    time: datetime


class Reading(NamedTuple):
    """A call as rules see it; `prompt` is its body, decoded where that was possible."""

    exchange: Exchange
    prompt: bytes


class Judgement(NamedTuple):
    """What to do with a call; `body` is what may leave of it."""

    verdict: Verdict
    body: bytes


def read(request: Request, tenant: str) -> Reading:
    """Decode and read one call."""
    decoded = decode(request.body, request.encoding)
    body = request.body if isinstance(decoded, Unreadable) else decoded
    call = decoded if isinstance(decoded, Unreadable) else _read(request, body)
    return Reading(_exchange(request, tenant, call), body)


def judge(reading: Reading, rulebook: Rulebook, *, key: bytes, clean: Clean | None) -> Judgement:
    """Judge and redact one call; `key` makes its placeholders, `clean` remembers its texts."""
    verdict = evaluate(rulebook, reading.exchange, key=key, clean=clean)
    body = splice(reading.prompt, verdict.edits) if verdict.edits else reading.prompt
    return Judgement(verdict, body)


def _read(request: Request, body: bytes) -> Call | Unreadable:
    path = canonical(request.path)
    endpoint = request.provider.endpoint(request.method.upper(), path)
    return Unreadable("unknown_path") if endpoint is None else endpoint.format.read_call(body, path, endpoint.model)


def _exchange(request: Request, tenant: str, call: Call | Unreadable) -> Exchange:
    if isinstance(call, Unreadable):
        call = Call(model="", stream=False, parts=(), unreadable=(call.reason,))
    query = (Part(unquote(request.query, errors="replace"), "other", "field", NOWHERE),) if request.query else ()
    return Exchange(
        provider=request.provider.name,
        host=request.host,
        method=request.method,
        path=request.path,
        model=call.model,
        tenant=tenant,
        stream=call.stream,
        size=len(request.body),
        parts=(*call.parts, *query),
        unreadable=call.unreadable,
        user=call.user,
        time=request.time,
    )
