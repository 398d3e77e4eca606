"""What a rule may look at: an exchange, its parts, and the reasons why something could not be looked at."""

from dataclasses import dataclass
from typing import Literal

Role = Literal["system", "user", "assistant", "tool", "other"]
Kind = Literal["text", "tool_call", "tool_result", "tool_definition", "field", "key"]
Coverage = Literal["full", "partial", "none"]

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
)


NOWHERE = -1


@dataclass(frozen=True, slots=True)
class Unreadable:
    """We could not look, and why: one of REASONS."""

    reason: str


@dataclass(frozen=True, slots=True)
class Part:
    """One text of a call. `literal` is its place among the body's JSON literals, by which redact.splice finds it again.

    NOWHERE: it stands outside of the body, in the query. There, and in keys, nothing can be put in its place: a rule that would
    redact it blocks.
    """

    text: str
    role: Role
    kind: Kind
    literal: int


@dataclass(frozen=True, slots=True)
class Exchange:
    """One call as rules see it. `size` is the body's in bytes; `parts` hold every text of its body and its query."""

    provider: str = ""
    host: str = ""
    method: str = ""
    path: str = ""
    model: str = ""
    tenant: str = ""
    stream: bool = False
    size: int = 0
    parts: tuple[Part, ...] = ()
    unreadable: tuple[str, ...] = ()
    direction: Literal["request"] = "request"

    @property
    def coverage(self) -> Coverage:
        """How much of the call was readable."""
        if not self.unreadable:
            return "full"
        return "partial" if any(part.literal != NOWHERE for part in self.parts) else "none"
