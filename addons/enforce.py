"""Verdict -> flow: refuse in the provider's own words, write a redacted body back. Nothing here decides."""

import msgspec
from mitmproxy import http

from addons.heads import canonical
from addons.providers.provider import Provider
from addons.providers.refusals import FAMILIES, Family
from rules.evaluate import Verdict

BAD_GATEWAY, TOO_LARGE, UPGRADE_REQUIRED = 502, 413, 426


def refuse(flow: http.HTTPFlow, status: int, message: str, decision: str, provider: Provider | None) -> None:
    """Answer a refused call in the provider's place, so that its SDK shows the message and does not try again."""
    _answer(flow, status, message, decision, provider, {"x-earthflow-decision": "BLOCK", "x-should-retry": "false"})


def unreachable(flow: http.HTTPFlow, message: str, decision: str, provider: Provider | None) -> None:
    """Answer an allowed call whose provider could not be reached; its SDK may try again."""
    _answer(flow, BAD_GATEWAY, message, decision, provider, {"x-earthflow-decision": "ALLOW"})


def _answer(flow: http.HTTPFlow, status: int, message: str, decision: str, provider: Provider | None, headers: dict[str, str]) -> None:
    refusal = family_of(flow, provider).refuse(message, decision, status)
    told = {"content-type": "application/json", "x-earthflow-decision-id": decision, **headers, **refusal.headers}
    flow.response = http.Response.make(status, refusal.body, told)


def family_of(flow: http.HTTPFlow, provider: Provider | None) -> Family:
    """In whose words a call is refused."""
    return provider.family_of(canonical(flow.request.path.partition("?")[0])) if provider else FAMILIES["openai"]


def blocked_message(verdict: Verdict, decision: str) -> str:
    """What a blocked caller reads: the rule and the decision's id, nothing of what was found."""
    rule = verdict.by.id if verdict.by else "unknown"
    why = f": {verdict.by.message}" if verdict.by and verdict.by.message else ""
    return f"Blocked by Earthflow policy {rule} (decision {decision}){why}"


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
    message = {"error": {"code": "proxy_key_required", "message": "Put your Earthflow key into the proxy URL: http://any:KEY@host:8443"}}
    headers = {"proxy-authenticate": 'Basic realm="earthflow"', "content-type": "application/json"}
    flow.response = http.Response.make(407, msgspec.json.encode(message), headers)
