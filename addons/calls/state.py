"""What Earthflow knows of a call between its hooks; `flow.metadata[STATE]` holds it."""

from dataclasses import dataclass

from addons.calls.flow import Flow
from addons.providers.provider import Format, Provider
from addons.record.recorder import Address, OpenRecord
from addons.tenants.snapshot import Caller
from rules.exchange import Exchange
from rules.rulebook import Rulebook

STATE = "earthflow"


@dataclass(frozen=True, slots=True)
class AnswerPolicy:
    """How the answer to a judged call is judged, and what is put back into it.

    `restore` are pairs of a placeholder and the original that it replaced in the call.
    """

    book: Rulebook
    context: Exchange
    key: bytes
    restore: tuple[tuple[str, str], ...]


@dataclass(slots=True)
class CallState:
    """Who calls which provider in which format, and what was decided so far.

    `record` is None until the call is decided. `whole`: the answer is held to be judged
    in one piece.
    """

    caller: Caller
    provider: Provider | None = None
    format: Format | None = None
    record: OpenRecord | None = None
    answer_policy: AnswerPolicy | None = None
    whole: bool = False


def state_of(flow: Flow) -> CallState | None:
    """The state of a call; None where its caller is not known."""
    state: CallState | None = flow.metadata.get(STATE)
    return state


def address_of(flow: Flow) -> Address:
    """Where a call goes to and comes from, as the audit names it."""
    request, peer = flow.request, flow.client_conn.peername
    path = request.path.partition("?")[0] if request.method != "CONNECT" else ""
    return Address(request.host, request.method, path, peer[0] if peer else "")
