"""What stands in an answer beside its body: header fields, the reason phrase, the reason of a WebSocket's end.

A field in which a rule finds what it would take out or block is left out; the answer itself is judged by its body.
"""

from collections.abc import Iterable
from dataclasses import replace
from http.client import responses

from addons.calls.flow import Response
from addons.calls.state import AnswerPolicy
from rules.evaluate import evaluate
from rules.exchange import NOWHERE, Part

# Fields whose values are a number, a date or one of few words.
PLAIN = frozenset(
    """
    content-type content-length content-encoding transfer-encoding connection keep-alive date expires last-modified age server via vary
    upgrade sec-websocket-accept sec-websocket-protocol sec-websocket-extensions cache-control
    """.split()  # noqa: SIM905
)


def clean_head(response: Response, policy: AnswerPolicy) -> None:
    """Leave out what the rules would not let pass."""
    response.reason = responses.get(response.status_code, "")
    fields = [
        (name.decode("latin-1").lower(), value.decode("latin-1"))
        for name, value in response.headers.fields
    ]
    told = [(name, value) for name, value in fields if name not in PLAIN]
    if passes(policy, (f"{name}: {value}" for name, value in told)):
        return
    for name, value in told:
        if not passes(policy, [f"{name}: {value}"]):
            response.headers.pop(name, None)


def passes(policy: AnswerPolicy, texts: Iterable[str]) -> bool:
    """Whether no rule takes anything out of these texts, or blocks for them."""
    parts = tuple(Part(text, "other", "field", NOWHERE) for text in texts)
    verdict = evaluate(
        policy.book, replace(policy.context, parts=parts), key=policy.key
    )
    return verdict.action in ("ALLOW", "FLAG")
