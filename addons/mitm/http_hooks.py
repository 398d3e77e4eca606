"""The hooks that mitmproxy does not have, and the marks by which hooks and the HTTP layer tell each other what happened."""

from dataclasses import dataclass

from mitmproxy import http
from mitmproxy.proxy import commands

# In flow.metadata: flow.response is the proxy's own reply, in place of the provider's;
REPLACED = "earthflow_replaced"
# and: it does not wait for the end of the call's body, which may never come.
AT_ONCE = "earthflow_at_once"
# and: the client ended the call, not the provider.
LEFT = "earthflow_left"


@dataclass
class AnswerTooLargeHook(commands.StartHook):
    """A whole answer exceeds MAX_ANSWER. The hook lets it stream, or replaces it."""

    name = "earthflow_answer_too_large"
    flow: http.HTTPFlow


@dataclass
class TooLargeHook(commands.StartHook):
    """A call's body exceeds EARTHFLOW_MAX_BODY. The hook sets flow.response."""

    name = "earthflow_too_large"
    flow: http.HTTPFlow


@dataclass
class TooSlowHook(commands.StartHook):
    """A call's body arrives too slowly. The hook sets flow.response."""

    name = "earthflow_too_slow"
    flow: http.HTTPFlow
