"""Makes the replies of refused calls, and records them.

Nothing here decides, and nothing knows the transport.

A step gives `Allow` (the call, or its answer, continues) or `Refuse` (the proxy replies
in the provider's place). Who refuses: `gate.py`, `tunnels.py`, `answers/handle.py`,
`calls/failures.py`; a WebSocket ends in `dialogues/dialogue.py`, a stream in
`answers/streamed.py`, and bounds on bytes and time in `mitm/http.py`, `mitm/http1.py`
and `network/connections.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil

import msgspec

from addons.calls.flow import Flow, path_of
from addons.calls.state import CallState, address_of, state_of
from addons.providers.error_formats import BLOCKED, FAILED, FAMILIES, Family, Why
from addons.record.recorder import OpenRecord, Recorder
from contract.decision import Reason

# Status codes: RFC 9110, section 15.
SWITCHING_PROTOCOLS, REQUEST_TIMEOUT, CONTENT_TOO_LARGE = 101, 408, 413
BAD_REQUEST = 400
UPGRADE_REQUIRED, TOO_MANY_REQUESTS, BAD_GATEWAY, UNAVAILABLE = 426, 429, 502, 503
# Close codes of a WebSocket: RFC 6455, section 7.4.1, and IANA's registry.
POLICY_VIOLATION, TRY_AGAIN_LATER = 1008, 1013


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP response that the proxy gives itself."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Allow:
    """It continues. `body`: what is sent instead of the call's own body, or None."""

    body: bytes | None = None


@dataclass(frozen=True, slots=True)
class Refuse:
    """It ends here, with this reply."""

    reply: Reply


Step = Allow | Refuse
PASS = Allow()


FULL_AGAIN = 5.0  # seconds after which a disk may have room


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a call, or a WebSocket's message, is refused without asking the rules.

    `message` is what its sender reads. `unreadable`: one of `rules.exchange.REASONS`.
    `retry_after`: seconds after which it may be tried again. `code`: one of
    `error_formats`. `close` is the close code where it ends a WebSocket.
    """

    reason: Reason
    status: int
    message: str
    unreadable: tuple[str, ...] = ()
    retry_after: float | None = None
    code: str = BLOCKED
    close: int = POLICY_VIOLATION


# A call that would not be recorded.
AUDIT_FULL = Refusal(
    "audit_full",
    UNAVAILABLE,
    "Earthflow cannot record this call, since its disk is full, so it was not sent; try again later",
    retry_after=FULL_AGAIN,
    code=FAILED,
    close=TRY_AGAIN_LATER,
)


class Refuser:
    """Records refusals and makes their replies."""

    def __init__(self, recorder: Recorder):
        self._recorder = recorder

    def refuse(self, flow: Flow, refusal: Refusal) -> Refuse:
        """Record a refusal of a call whose state is known. A record that was open is completed."""
        state = state_of(flow)
        assert state is not None
        record = self._recorder.refused(
            state.caller,
            address_of(flow),
            refusal.reason,
            provider=state.provider.name if state.provider else "",
            unreadable=refusal.unreadable,
        )
        if state.record is not None:
            self._recorder.complete(state.record, "refused")
        state.record = record
        message = refusal.message
        if record.written:
            message += f" (decision {record.id})"
        retry_after, code = refusal.retry_after, refusal.code
        return Refuse(
            refused(flow, state, refusal.status, message, retry_after, code=code)
        )


def refused(
    flow: Flow,
    state: CallState,
    status: int,
    message: str,
    retry_after: float | None = None,
    *,
    code: str = BLOCKED,
) -> Reply:
    """The reply to a recorded, refused call. SDKs show its message.

    They try again only where `retry_after` says when.
    """
    headers = {"x-earthflow-decision": "BLOCK"}
    if retry_after is None:
        headers["x-should-retry"] = "false"
    else:
        headers["retry-after"] = str(max(1, ceil(retry_after)))
        if status == TOO_MANY_REQUESTS:
            headers["x-earthflow-ratelimit"] = "1"
    return _in_words_of(flow, state, status, message, headers, code)


def unanswered(flow: Flow, state: CallState, message: str, code: str) -> Reply:
    """The reply to an allowed call whose provider gave no answer; SDKs may try again."""
    headers = {"x-earthflow-decision": "ALLOW"}
    return _in_words_of(flow, state, BAD_GATEWAY, message, headers, code)


def challenge() -> Reply:
    """Asks for an Earthflow key, before any provider is known."""
    error = {
        "code": "proxy_key_required",
        "message": "Put your Earthflow key into the proxy URL: http://any:KEY@host:8443",
    }
    headers = {
        "proxy-authenticate": 'Basic realm="earthflow"',
        "content-type": "application/json",
    }
    return Reply(407, msgspec.json.encode({"error": error}), headers)


def plain(status: int, text: str) -> Reply:
    """A reply in plain text, where no provider's format applies."""
    return Reply(status, f"{text}\n".encode())


def family_of(flow: Flow, state: CallState) -> Family:
    """Whose error format a call is answered in: its format's, its path's, or its provider's."""
    family = state.format.family if state.format is not None else None
    if family is None and state.provider is not None:
        family = state.provider.family_of(path_of(flow))
    family = family or FAMILIES["openai"]
    return (
        family.about(flow.request.raw_content or b"")
        if family.about is not None
        else family
    )


def _in_words_of(
    flow: Flow,
    state: CallState,
    status: int,
    message: str,
    headers: dict[str, str],
    code: str,
) -> Reply:
    record: OpenRecord | None = state.record
    assert record is not None
    why = Why(message, record.id, status, code)
    worded = family_of(flow, state).refuse(why)
    all_headers = {
        "content-type": "application/json",
        **({"x-earthflow-decision-id": record.id} if record.written else {}),
        **headers,
        **worded.headers,
    }
    return Reply(worded.status or status, worded.body, all_headers)
