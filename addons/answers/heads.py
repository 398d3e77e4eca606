"""What stands in an answer beside its body: header fields, the reason phrase, the reason of a WebSocket's end.

A field in which a rule finds what it would take out or block is left out; the answer itself is judged by its body.
"""

from collections.abc import Iterable, Sequence
from http.client import responses

from addons.calls.flow import Response
from addons.calls.state import AnswerPolicy
from rules.evaluate import evaluate
from rules.exchange import NOWHERE, Part
from rules.scan import Apart, Clean
from rules.verdict import Verdict

# Fields of the body's form, which the proxy reads itself.
FORM = frozenset(
    ("content-length", "content-encoding", "transfer-encoding", "connection", "upgrade")
)
# Fields that a client must give back, or follow, as they are: without them its session or its upload ends.
# What stands there is the provider's own.
OF_SESSIONS = frozenset(
    """
    mcp-session-id location content-location x-goog-upload-url x-goog-upload-control-url retry-after
    sec-websocket-accept
    """.split()  # noqa: SIM905
)
MAX_FIELDS = (
    200  # of an answer; honest ones have some thirty, and each is a text of its own
)


def clean_head(response: Response, policy: AnswerPolicy) -> None:
    """Leave out what the rules would not let pass, and fields beyond MAX_FIELDS."""
    response.reason = responses.get(response.status_code, "")
    fields = response.headers.fields
    judged = [
        number
        for number, (name, _) in enumerate(fields)
        if (lower := name.decode("latin-1").lower()) not in FORM
        and lower not in OF_SESSIONS
    ]
    left_out = set(judged[MAX_FIELDS:])
    judged = judged[:MAX_FIELDS]
    texts = [b": ".join(fields[number]).decode("latin-1") for number in judged]
    if not _are_known(policy, texts):
        left_out |= {judged[one] for one in _unwanted(policy, texts)}
    if left_out:
        kind = response.headers.get("content-type", "")
        response.headers.fields = tuple(
            one for number, one in enumerate(fields) if number not in left_out
        )
        if kind and "content-type" not in response.headers:
            response.headers["content-type"] = kind.partition(";")[0].strip()


class _Lines:
    """The lines of heads among a tenant's clean texts, as short as they are."""

    def __init__(self, clean: Clean):
        self._clean = clean

    def __contains__(self, text: object) -> bool:
        return isinstance(text, str) and Apart("line", text) in self._clean

    def add(self, text: str | Apart) -> None:
        """Remember that nothing was found in a line."""
        if isinstance(text, str):
            self._clean.add(Apart("line", text))


def _are_known(policy: AnswerPolicy, texts: Sequence[str]) -> bool:
    """Whether no rule finds anything in these lines, as is known of earlier heads. Rules without
    content are asked again by whoever judges the answer, but those that speak of single texts.
    """
    book, clean = policy.book.answers, policy.clean
    if book is None or clean is None:
        return book is None
    of_parts = any(book.rules[number].by_part for number in book.contextual)
    lines = _Lines(clean)
    return not of_parts and all(text in lines for text in texts)


def _unwanted(policy: AnswerPolicy, texts: Sequence[str]) -> Iterable[int]:
    """Those of the lines that are left out."""
    verdict = _judged(policy, texts)
    if verdict.action in ("ALLOW", "FLAG"):
        return ()
    found = {
        place[0]
        for fired in verdict.fired
        if fired.rule.action in ("redact", "block")
        for finding in fired.findings
        for place in finding.places
    }
    return found or range(len(texts))


def passes(policy: AnswerPolicy, texts: Iterable[str]) -> bool:
    """Whether no rule takes anything out of these texts, or blocks for them."""
    return _judged(policy, texts).action in ("ALLOW", "FLAG")


def _judged(policy: AnswerPolicy, texts: Iterable[str]) -> Verdict:
    parts = tuple(Part(text, "other", "field", NOWHERE) for text in texts)
    clean = _Lines(policy.clean) if policy.clean is not None else None
    context = policy.context.but(parts=parts)
    return evaluate(policy.book, context, key=policy.key, clean=clean)
