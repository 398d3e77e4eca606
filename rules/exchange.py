"""What a rule may look at: an exchange, its parts, and the reasons why something could not be looked at."""

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Literal, NamedTuple

Role = Literal["system", "user", "assistant", "tool", "other"]
Kind = Literal["text", "tool_call", "tool_result", "tool_definition", "field", "key"]
Coverage = Literal["full", "partial", "none"]
Direction = Literal["request", "response"]

# Why something could not be looked at, as rules name it in `when: {unreadable: …}`.
REASONS = (
    "too_large",  # over the body cap
    "unknown_encoding",  # a Content-Encoding that we do not speak
    "bad_encoding",  # a known one that does not decode, or decodes to too much
    "not_utf8",
    "bad_json",
    "duplicate_key",  # two readers may see two different calls
    "too_deep",  # nested or long beyond what is read
    "unknown_path",  # an AI host, but a call that we do not know
    "opaque",  # a body of unknown shape on a known call
    "image",
    "audio",
    "document",
    "tunnelled",  # not an AI host: never opened
    "hidden",  # a text holds more encoded runs than are decoded
    "endless",  # in a stream: a text that might still have become a match, but was longer than is held back
)


NOWHERE = -1
CHARACTERS_PER_TOKEN = 4  # a rough measure, for rules that speak of tokens before a provider has counted them


@dataclass(frozen=True, slots=True)
class Unreadable:
    """We could not look, and why: one of REASONS."""

    reason: str


class Part(NamedTuple):
    """One text of a call. `literal` is its place among the body's JSON literals, by which redact.splice finds it again.

    NOWHERE: it stands outside of the body, in the query. There, and in keys, nothing can be put in its place: a rule that would
    redact it blocks. `tool` is the name of the tool that a call or a result is of, where the body says it.
    """

    text: str
    role: Role
    kind: Kind
    literal: int
    tool: str = ""


@dataclass(frozen=True)
class Exchange:
    """One call, or its answer, as rules see it. `size` is the body's in bytes; `parts` hold every text of it, in their order.

    An answer bears the call's model, user and path. `user` is whom the client says it speaks for, `time` when the call came (UTC);
    rules that ask for a time do not hold without.
    """

    provider: str = ""
    host: str = ""
    method: str = ""
    path: str = ""
    model: str = ""
    tenant: str = ""
    user: str = ""
    stream: bool = False
    size: int = 0
    parts: tuple[Part, ...] = ()
    unreadable: tuple[str, ...] = ()
    direction: Direction = "request"
    time: datetime | None = None

    @cached_property
    def coverage(self) -> Coverage:
        """How much of the call was readable."""
        if not self.unreadable:
            return "full"
        return "partial" if any(part.literal != NOWHERE for part in self.parts) else "none"

    @cached_property
    def tokens(self) -> int:
        """About how many tokens the call's texts are."""
        return sum(len(part.text) for part in self.parts) // CHARACTERS_PER_TOKEN

    @cached_property
    def old(self) -> int:
        """How many of the first parts are history: what stands before an assistant's turn that somebody has answered since.

        History was judged when it was new; a conversation must not stay blocked for it.
        """
        newest = next(
            (n for n in range(len(self.parts) - 1, -1, -1) if self.parts[n].role in ("user", "tool")), -1
        )
        return next((n + 1 for n in range(newest - 1, -1, -1) if self.parts[n].role == "assistant"), 0)
