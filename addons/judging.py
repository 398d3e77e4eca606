"""A call's bytes -> what to do with it. Total: what cannot be read is said in the exchange, never raised."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple
from urllib.parse import unquote

from addons.decode import decode
from addons.heads import canonical
from addons.providers import mcp
from addons.providers.form import is_form, read_form
from addons.providers.provider import Call, Endpoint, Format, Provider
from rules.evaluate import Verdict, evaluate
from rules.exchange import NOWHERE, Exchange, Part, Unreadable
from rules.redact import Edit, splice
from rules.rulebook import Rulebook
from rules.scan import Clean


@dataclass(frozen=True, slots=True)
class Request:
    """A call as it arrived: `path` without its query, `body` as sent, under `encoding`, said to be of `content_type`.

    `model` is what its query names.
    """

    provider: Provider
    host: str
    method: str
    path: str
    query: str
    body: bytes
    encoding: str
    time: datetime
    content_type: str = ""
    model: str = ""


class Reading(NamedTuple):
    """A call as rules see it. `prompt` is its body, decoded where that was possible; `write` puts edits into it.

    `format` is how it is written, where that is known.
    """

    exchange: Exchange
    prompt: bytes
    format: Format | None
    write: Callable[[bytes, Sequence[Edit]], bytes]


class Judgement(NamedTuple):
    """What to do with a call; `body` is what may leave of it."""

    verdict: Verdict
    body: bytes


def read(request: Request, tenant: str) -> Reading:
    """Decode and read one call."""
    decoded = decode(request.body, request.encoding)
    body = request.body if isinstance(decoded, Unreadable) else decoded
    path = canonical(request.path)
    endpoint = request.provider.endpoint(request.method.upper(), path)
    write: Callable[[bytes, Sequence[Edit]], bytes] = splice
    call: Call | Unreadable
    if isinstance(decoded, Unreadable):
        call = decoded
    elif endpoint is None:
        endpoint, call = _somewhere(body, path)
    elif is_form(request.content_type):
        form = read_form(body, request.content_type, endpoint.model)
        call, write = (form, splice) if isinstance(form, Unreadable) else (form[0], form[1].write)
    else:
        call = endpoint.format.read_call(body, path, endpoint.model)
    return Reading(_exchange(request, tenant, call), body, endpoint.format if endpoint else None, write)


def read_message(request: Request, tenant: str, format: Format) -> Reading:
    """Read a message of a WebSocket, as a call of its own."""
    call = format.read_call(request.body, canonical(request.path), request.model)
    return Reading(_exchange(request, tenant, call), request.body, format, splice)


def read_head(
    request: Request, tenant: str, format: Format | None = None, unreadable: tuple[str, ...] = ()
) -> Reading:
    """What is known of a call by its head alone, whatever follows."""
    call = Call(request.model, stream=False, parts=(), unreadable=unreadable)
    return Reading(_exchange(request, tenant, call), b"", format, splice)


def judge(reading: Reading, rulebook: Rulebook, *, key: bytes, clean: Clean | None) -> Judgement:
    """Judge and redact one call; `key` makes its placeholders, `clean` remembers its texts."""
    verdict = evaluate(rulebook, reading.exchange, key=key, clean=clean)
    body = reading.write(reading.prompt, verdict.edits) if verdict.edits else reading.prompt
    return Judgement(verdict, body)


def _somewhere(body: bytes, path: str) -> tuple[Endpoint | None, Call | Unreadable]:
    """A call of a path that is not known. An agent's tools may live under any, and show themselves: they are read all the same."""
    (format,) = mcp.FORMATS
    call = format.read_call(body, path, "") if body.lstrip()[:1] in (b"{", b"[") else None
    if not isinstance(call, Call):
        return None, Unreadable("unknown_path")
    return Endpoint(format, ""), replace(call, unreadable=(*call.unreadable, "unknown_path"))


def _exchange(request: Request, tenant: str, call: Call | Unreadable) -> Exchange:
    if isinstance(call, Unreadable):
        call = Call(model="", stream=False, parts=(), unreadable=(call.reason,))
    query = (
        (Part(unquote(request.query, errors="replace"), "other", "field", NOWHERE),) if request.query else ()
    )
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
