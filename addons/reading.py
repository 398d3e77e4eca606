"""A call's bytes -> the Exchange that rules judge. Total: what cannot be read is said in the exchange, never raised."""

from dataclasses import dataclass

from addons.decode import decode
from addons.providers.provider import Call, Provider
from rules.exchange import Exchange, Unreadable


@dataclass(frozen=True, slots=True)
class Request:
    """A call as it arrived: `path` without its query, `body` as sent, under `encoding`."""

    provider: Provider
    host: str
    method: str
    path: str
    body: bytes
    encoding: str


@dataclass(frozen=True, slots=True)
class Reading:
    """What was made of a request; `body` is decoded, and empty where it did not decode."""

    exchange: Exchange
    body: bytes


def read(request: Request, tenant: str) -> Reading:
    """Decode and read one call in the tenant's name."""
    decoded = decode(request.body, request.encoding)
    body = b"" if isinstance(decoded, Unreadable) else decoded
    call = decoded if isinstance(decoded, Unreadable) else _call(request, body)
    if isinstance(call, Unreadable):
        call = Call(model="", stream=False, parts=(), unreadable=(call.reason,))
    exchange = Exchange(
        provider=request.provider.name,
        host=request.host,
        method=request.method,
        path=request.path,
        model=call.model,
        tenant=tenant,
        stream=call.stream,
        size=len(request.body),
        parts=call.parts,
        unreadable=call.unreadable,
    )
    return Reading(exchange, body)


def _call(request: Request, body: bytes) -> Call | Unreadable:
    if not request.provider.knows(request.method, request.path):
        return Unreadable("unknown_path")
    return request.provider.read_call(body)
