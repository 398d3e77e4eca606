"""What Earthflow knows of a call between its hooks; `flow.metadata[STATE]` holds it."""

from dataclasses import dataclass

from addons.calls.flow import Flow, path_of
from addons.providers.provider import Format, Provider
from addons.record.recorder import Address, OpenRecord
from addons.tenants.compiled_snapshot import Caller
from rules.exchange import Exchange
from rules.restore.original import Original
from rules.restore.restorer import Restorer
from rules.rulebook import Rulebook
from rules.scan import Clean

STATE = "earthflow"
ANSWER = "earthflow_answer"  # in flow.metadata: what judges the answer as it streams (answers/guarded.py)
# and: takes what is held of an answer, and says whether it is a stream after all, and has an
# ANSWER from then on; taken away once that shows
SNIFF = "earthflow_sniff"
# What the audit says in place of a path that was not judged, and of an unusual method.
NOT_JUDGED, OTHER_METHOD = "(not judged)", "(other)"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


@dataclass(frozen=True, slots=True)
class AnswerPolicy:
    """How the answer to a judged call is judged, and what is put back into it. `clean` remembers lines of heads."""

    book: Rulebook
    context: Exchange
    key: bytes
    originals: tuple[Original, ...] = ()
    clean: Clean | None = None

    def restorer(self) -> Restorer | None:
        """What puts originals back into one answer; None where there are none."""
        if not self.originals:
            return None
        return Restorer(self.originals, self.book, self.context, self.key)


@dataclass(slots=True)
class CallState:
    """Who calls which provider in which format, and what was decided so far.

    `record` is None until the call is decided. `whole`: the answer is held to be judged
    in one piece. `model` is what records say of it (`reading.shown`).
    """

    caller: Caller
    provider: Provider | None = None
    format: Format | None = None
    record: OpenRecord | None = None
    answer_policy: AnswerPolicy | None = None
    whole: bool = False
    model: str = ""


def state_of(flow: Flow) -> CallState | None:
    """The state of a call; None where its caller is not known."""
    state: CallState | None = flow.metadata.get(STATE)
    return state


def address_of(flow: Flow, *, path: str = NOT_JUDGED) -> Address:
    """Where a call goes to and comes from, as the audit names it.

    Only what no client can write a secret into, but for the host: the template of a known path
    of an AI host. `path` is what stands there for an unknown one.
    """
    request, peer, state = flow.request, flow.client_conn.peername, state_of(flow)
    client = peer[0] if peer else ""
    method = request.method if request.method in METHODS else OTHER_METHOD
    if request.method == "CONNECT":
        return Address(request.host, "CONNECT", "", client)
    if state is None or state.provider is None:
        return Address(request.host, method, NOT_JUDGED, client)
    known = state.provider.template(path_of(flow))
    return Address(request.host, method, known or path, client)
