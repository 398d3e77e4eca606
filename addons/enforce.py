"""Verdict -> flow: refuse in the provider's own words, write a redacted body back. Nothing here decides."""

from math import ceil

import msgspec
from mitmproxy import http

from addons.heads import canonical
from addons.passage import Passage
from addons.providers.refusals import FAMILIES, Family

SWITCHING, TOO_SLOW, TOO_LARGE, UPGRADE_REQUIRED, TOO_MANY, BAD_GATEWAY = 101, 408, 413, 426, 429, 502
# Bodies in which no text stands as such, and which may go on for as long as they like, both ways.
OPAQUE = (
    "application/grpc",
    "application/connect+",
    "application/proto",
    "application/x-protobuf",
    "application/vnd.google.protobuf",
)


def path_of(flow: http.HTTPFlow) -> str:
    """The canonical path of a call."""
    return canonical(flow.request.path.partition("?")[0])


def is_opaque(flow: http.HTTPFlow) -> bool:
    """Whether a call says that it is in a protocol that we do not read."""
    said: str = flow.request.headers.get("content-type", "")
    return said.strip().lower().startswith(OPAQUE)


def refuse(flow: http.HTTPFlow, status: int, message: str, decision: str, family: Family) -> None:
    """Answer a refused call in the provider's place, so that its SDK shows the message and does not try again."""
    _answer(
        flow, status, message, decision, family, {"x-earthflow-decision": "BLOCK", "x-should-retry": "false"}
    )


def wait(flow: http.HTTPFlow, seconds: float) -> None:
    """Say of a refusal that it is ours, and in how many seconds it may be tried again: SDKs do, then."""
    if flow.response is not None:
        flow.response.headers.pop("x-should-retry", None)
        flow.response.headers["retry-after"] = str(max(1, ceil(seconds)))
        flow.response.headers["x-earthflow-ratelimit"] = "1"


def unreachable(flow: http.HTTPFlow, message: str, decision: str, family: Family) -> None:
    """Answer an allowed call whose provider could not be reached; its SDK may try again."""
    _answer(flow, BAD_GATEWAY, message, decision, family, {"x-earthflow-decision": "ALLOW"})


def _answer(
    flow: http.HTTPFlow, status: int, message: str, decision: str, family: Family, headers: dict[str, str]
) -> None:
    refusal = family.refuse(message, decision, status)
    told = {
        "content-type": "application/json",
        "x-earthflow-decision-id": decision,
        **headers,
        **refusal.headers,
    }
    flow.response = http.Response.make(refusal.status or status, refusal.body, told)


def family_of(flow: http.HTTPFlow, passage: Passage) -> Family:
    """In whose words a call is refused: its format's, else those of its path, else its provider's."""
    family = passage.format.family if passage.format is not None else None
    if family is None and passage.provider is not None:
        family = passage.provider.family_of(path_of(flow))
    family = family or FAMILIES["openai"]
    return family.about(flow.request.raw_content or b"") if family.about is not None else family


def let_go(flow: http.HTTPFlow, body: bytes) -> None:
    """Send what was judged and nothing else: this body, decoded, with its length said, and no trailers.

    The length matters: an HTTP/2 call without one would reach an HTTP/1 upstream as a head without end, its body as a call of its own.
    """
    request = flow.request
    if body is not request.raw_content and body != request.raw_content:
        request.headers.pop("content-encoding", None)
        request.raw_content = body
    request.trailers = None
    if body or "content-length" in request.headers or "transfer-encoding" in request.headers:
        request.headers.pop("transfer-encoding", None)
        request.headers["content-length"] = str(len(body))


def challenge(flow: http.HTTPFlow) -> None:
    """Ask for a key, in the only words a proxy has before a tunnel stands."""
    message = {
        "error": {
            "code": "proxy_key_required",
            "message": "Put your Earthflow key into the proxy URL: http://any:KEY@host:8443",
        }
    }
    headers = {"proxy-authenticate": 'Basic realm="earthflow"', "content-type": "application/json"}
    flow.response = http.Response.make(407, msgspec.json.encode(message), headers)
