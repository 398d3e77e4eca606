"""Reads a call and judges it: bytes in, an exchange and its judgement out.

Total: what cannot be read is named in the exchange, never raised.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import NamedTuple
from urllib.parse import unquote

from addons.calls.documents.job import Text
from addons.calls.flow import Flow
from addons.calls.head_parts import head_parts
from addons.calls.heads import canonical
from addons.framing.charset import is_utf8
from addons.framing.decode import decode
from addons.providers import mcp
from addons.providers.any_body import Write, read_any
from addons.providers.form import is_form, read_form
from addons.providers.provider import (
    UNSENT,
    Call,
    Conversation,
    Document,
    Endpoint,
    Format,
    Provider,
    no_sources,
)
from rules.evaluate import evaluate
from rules.exchange import HEAD, Exchange, Unreadable
from rules.redact import splice
from rules.rulebook import Rulebook
from rules.scan import Clean
from rules.verdict import Verdict


@dataclass(frozen=True, slots=True)
class CallRequest:
    """A call as received. `path` is without its query; `body` is still in its `encoding`.

    `content_type` is what the call declares; `model` is the one that its query names;
    `fields` are its headers, as they would be sent.
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
    fields: tuple[tuple[bytes, bytes], ...] = ()


def request_of(flow: Flow, provider: Provider) -> CallRequest:
    """The request of a flow, as its whole body was received."""
    request = flow.request
    path, _, query = request.path.partition("?")
    return CallRequest(
        provider=provider,
        host=request.host,
        method=request.method,
        path=path,
        query=query,
        body=request.raw_content or b"",
        encoding=",".join(request.headers.get_all("content-encoding")),
        time=datetime.now(UTC),
        content_type=request.headers.get("content-type", ""),
        model=request.query.get("model", "") if query else "",
        fields=request.headers.fields,
    )


NOTHING = Call("", stream=False, parts=())


class Reading(NamedTuple):
    """A call as the rules see it.

    `prompt` is its body, decoded where that is possible; `write` puts edits into it.
    `format` is None where it is not known. `template` is the path without what a client
    chose in it; empty under an unknown path. `sources` gives, for those of some parts that
    show the content of one file, its path. `documents` are those whose texts are not read
    yet, by the numbers of their parts. `conversation` reads the call that continues this one.
    """

    exchange: Exchange
    prompt: bytes
    format: Format | None
    write: Write
    template: str = ""
    sources: Callable[[Collection[int]], dict[int, str]] = partial(no_sources, {})
    documents: Mapping[int, Document] = {}
    conversation: Conversation | None = None

    def with_texts(self, texts: Mapping[int, Text]) -> "Reading":
        """The call with the texts of its documents. What was read whole is no longer named
        as unreadable.
        """
        exchange = self.exchange
        parts = list(exchange.parts)
        for number, found in texts.items():
            parts[number] = parts[number]._replace(text=found.text)
        reasons = [one for one in exchange.unreadable if one != "document"]
        if not all(found.whole for found in texts.values()):
            reasons.append("document")
        if any(not found.whole and not found.text.strip() for found in texts.values()):
            reasons.append("unread_document")
        read = replace(exchange, parts=tuple(parts), unreadable=tuple(reasons))
        return self._replace(exchange=read, documents={})


class Shown(NamedTuple):
    """What a record says of a call's head: its model, and its path if that is unknown."""

    model: str
    path: str


WITHHELD = "(withheld)"  # a rule found something there


def shown(exchange: Exchange, verdict: Verdict) -> Shown:
    """Nothing that a rule takes out, or would: monitored rules count, too."""
    model, path = exchange.model, exchange.path
    for fired in verdict.fired:
        if fired.rule.action not in ("redact", "block"):
            continue
        for finding in fired.findings:
            part = exchange.parts[finding.text]
            if part.text == exchange.model:
                model = WITHHELD
            if part.kind in HEAD:
                path = WITHHELD
                if finding.value is None or _overlap(finding.value, exchange.model):
                    model = WITHHELD
    return Shown(model, path)


def _overlap(found: str, model: str) -> bool:
    """Whether one has the other, as a canonical path (in lower case) would show it."""
    found, model = found.lower(), unquote(model).lower()
    return bool(model) and (found in model or model in found)


class Judgement(NamedTuple):
    """The verdict on a call, and the body that may be sent."""

    verdict: Verdict
    body: bytes


def read(request: CallRequest, tenant: str) -> Reading:
    """Decode and read one call."""
    decoded = decode(request.body, request.encoding)
    body = request.body if isinstance(decoded, Unreadable) else decoded
    path = canonical(request.path)
    endpoint = request.provider.endpoint(request.method.upper(), path)
    write: Write = splice
    call: Call | Unreadable
    if isinstance(decoded, Unreadable):
        call = decoded
    elif endpoint is None and not body and request.method.upper() in UNSENT:
        call = Call(request.model, stream=False, parts=())  # the head is all there is
    elif endpoint is None:
        endpoint, call, write = _under_unknown_path(body, path, request.content_type)
    elif is_form(request.content_type):
        form = read_form(body, request.content_type, endpoint.model)
        call, write = (
            (form, splice) if isinstance(form, Unreadable) else (form[0], form[1].write)
        )
    elif not is_utf8(body, request.content_type):
        call = Unreadable("unknown_encoding")
    else:
        call = endpoint.format.read_call(body, path, endpoint.model)
    return _reading(request, tenant, body, endpoint, call, write)


def read_next(
    request: CallRequest, tenant: str, before: Conversation, more: bytes
) -> Reading | None:
    """The same as `read`, for a call that continues the one `before`, by what it has `more`;
    None where it must be read whole.
    """
    path, content_type = canonical(request.path), request.content_type
    endpoint = request.provider.endpoint(request.method.upper(), path)
    if (
        endpoint is None
        or endpoint.format is not before.format
        or is_form(content_type)
        or not is_utf8(request.body, content_type)
    ):
        return None
    call = before.next(more, path, endpoint.model)
    if call is None:
        return None
    return _reading(request, tenant, request.body, endpoint, call, splice)


def _reading(
    request: CallRequest,
    tenant: str,
    body: bytes,
    endpoint: Endpoint | None,
    call: Call | Unreadable,
    write: Write,
) -> Reading:
    exchange = _exchange(request, tenant, call)
    format = endpoint.format if endpoint else None
    template = endpoint.template if endpoint else ""
    if isinstance(call, Unreadable):
        return Reading(exchange, body, format, write, template)
    sources = partial(call.sources, {})
    return Reading(exchange, body, format, write, template, sources, call.documents, call.conversation)  # fmt: skip


def read_message(
    request: CallRequest, tenant: str, format: Format, files: Mapping[str, str]
) -> Reading:
    """Read a message of a WebSocket as a call of its own. `files` are those that tools show
    the content of, by the ids of their calls.
    """
    call = format.read_call(request.body, canonical(request.path), request.model)
    exchange = _exchange(request, tenant, call, with_head=False)
    of_call = no_sources if isinstance(call, Unreadable) else call.sources
    documents = {} if isinstance(call, Unreadable) else call.documents
    sources = partial(of_call, files)
    return Reading(exchange, request.body, format, splice, "", sources, documents)


def read_head(
    request: CallRequest,
    tenant: str,
    format: Format | None = None,
    unreadable: tuple[str, ...] = (),
) -> Reading:
    """What the head of a call tells by itself, whatever its body is."""
    call = Call(request.model, stream=False, parts=(), unreadable=unreadable)
    return Reading(_exchange(request, tenant, call), b"", format, splice)


def judge(
    reading: Reading, rulebook: Rulebook, *, key: bytes, clean: Clean | None
) -> Judgement:
    """Judge a call and edit its body. `key` makes placeholders; `clean` remembers clean texts."""
    verdict = evaluate(rulebook, reading.exchange, key=key, clean=clean)
    body = (
        reading.write(reading.prompt, verdict.edits)
        if verdict.edits
        else reading.prompt
    )
    return Judgement(verdict, body)


def _under_unknown_path(
    body: bytes, path: str, content_type: str
) -> tuple[Endpoint | None, Call, Write]:
    """Read a call under an unknown path: an MCP server may have any, and its messages show it;
    of another body every text is read.
    """
    reasons = ["unknown_path"]
    if not is_utf8(body, content_type):
        reasons.append("unknown_encoding")
    (format,) = mcp.FORMATS
    call = (
        format.read_call(body, path, "") if body.lstrip()[:1] in (b"{", b"[") else None
    )
    endpoint = Endpoint(format, "") if isinstance(call, Call) else None
    write: Write = splice
    if not isinstance(call, Call):
        call, write = read_any(body, content_type) or (NOTHING, splice)
    return endpoint, replace(call, unreadable=(*call.unreadable, *reasons)), write


def _exchange(
    request: CallRequest,
    tenant: str,
    call: Call | Unreadable,
    *,
    with_head: bool = True,
) -> Exchange:
    """The exchange of a call. The head of a WebSocket is judged with its handshake alone."""
    if isinstance(call, Unreadable):
        call = Call(model="", stream=False, parts=(), unreadable=(call.reason,))
    places = request.provider.credentials
    head = (
        head_parts(request.method, request.path, request.query, request.fields, places)
        if with_head
        else ()
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
        parts=(*call.parts, *head),
        unreadable=call.unreadable,
        user=call.user,
        time=request.time,
        tokens_of_provider=places.tokens,
    )
