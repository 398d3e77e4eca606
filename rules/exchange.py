"""What rules judge: an exchange, its parts, and the reasons why something could not be
read.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from functools import cached_property
from typing import Any, Literal, NamedTuple

Role = Literal["system", "user", "assistant", "tool", "other"]
Kind = Literal[
    "text",
    "tool_call",
    "tool_result",
    "tool_definition",
    "field",
    "key",
    "head",  # method, path, query and headers
    "credential",  # where the provider takes the client's own credential
    "document",  # the text of a PDF or of Office
]
HEAD: tuple[Kind, ...] = ("head", "credential")
TURNS: tuple[Role, ...] = ("user", "assistant", "tool")  # whose turns become history
Coverage = Literal["full", "partial", "none"]
Direction = Literal["request", "response"]

# Reasons, as rules name them in `when: {unreadable: …}`.
REASONS = (
    "too_large",  # larger than EARTHFLOW_MAX_BODY, or than is held
    "unknown_encoding",  # an unknown Content-Encoding, or another charset than UTF-8
    "bad_encoding",  # a known one that does not decode, or decodes to too much
    "not_utf8",
    "bad_json",
    "duplicate_key",  # a key stands twice: two readers may see two different calls
    "too_deep",  # nested deeper, or with more members, than is read
    "unknown_path",  # an AI host, and a path that is not known
    "opaque",  # a known path, and a body of another shape
    "image",
    "audio",
    "document",  # there may be more to see in one than was read
    "unread_document",  # nothing of one was read
    "tunnelled",  # not an AI host: its TLS was not opened
    "long_command",  # a tool's command is longer, or deeper, than is read
    "hidden",  # more text is encoded than is decoded
    # in a stream: a text was released that could still have become a match
    "endless",
    # something was found in a text that is bound to a provider's signature, so that an
    # edit would break the conversation; `signed_unseen`: in no answer that passed here
    "signed",
    "signed_unseen",
)


# Of these texts everything was read; they are only not edited.
UNEDITED = ("signed", "signed_unseen")
# The literal of a text that is outside of the body.
NOWHERE = -1
# characters of a token, roughly: rules may ask for tokens before a provider counted
# them
CHARACTERS_PER_TOKEN = 4


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Something could not be read; `reason` is one of REASONS."""

    reason: str


class Part(NamedTuple):
    """One text of an exchange.

    `literal` is its number among the body's JSON literals, by which `redact.splice`
    finds it. NOWHERE: it stands outside of the body. There, and in keys, nothing can be
    replaced: a rule that would redact it blocks (for heads see `evaluate`). `tool` is the
    name of the tool of a call or a result, `argument` the key of a call's argument.
    `signature` is what a provider bound the text to: such a text is not edited.
    """

    text: str
    role: Role
    kind: Kind
    literal: int
    tool: str = ""
    argument: str = ""
    signature: str = ""


@dataclass(frozen=True)
class Exchange:
    """A call, or its answer, as rules see it.

    `size` is the body's, in bytes. `parts` are all its texts, in their order. An answer
    has the call's model, user and path. `user` is for whom the client says that it
    calls. `tokens_of_provider` name the rules whose findings belong in the call's
    credential. `refused` are parts that stood in an earlier call, which was refused for
    them, and up to which character; `signed` those whose signature is known to be theirs.
    `time` is when the call was received (UTC); without it, no rule about time holds.
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
    tokens_of_provider: tuple[str, ...] = ()
    refused: Mapping[int, int] = field(default_factory=dict)
    signed: frozenset[int] = frozenset()
    time: datetime | None = None

    def but(self, **members: Any) -> "Exchange":
        """The same exchange, but for these members. `dataclasses.replace` takes three times as
        long, which shows where each call has several.
        """
        assert members.keys() <= MEMBERS, members
        other = object.__new__(Exchange)
        known = self.__dict__
        other.__dict__.update({name: known[name] for name in MEMBERS})
        other.__dict__.update(members)
        return other

    @cached_property
    def coverage(self) -> Coverage:
        """How much of the exchange was readable."""
        return coverage_of(self.parts, self.unreadable)

    @cached_property
    def tokens(self) -> int:
        """The tokens of all texts, estimated."""
        return sum(len(part.text) for part in self.parts) // CHARACTERS_PER_TOKEN

    @cached_property
    def old(self) -> int:
        """How many of the first parts are history: all before the last assistant turn
        that was answered.

        History was judged when it was new. A conversation must not stay blocked for it.
        """
        newest = next(
            (
                n
                for n in range(len(self.parts) - 1, -1, -1)
                if self.parts[n].role in ("user", "tool")
            ),
            -1,
        )
        return next(
            (
                n + 1
                for n in range(newest - 1, -1, -1)
                if self.parts[n].role == "assistant"
            ),
            0,
        )

    def is_answered(self, number: int) -> bool:
        """Whether a part belongs to a turn that was answered."""
        return number < self.old and self.parts[number].role in TURNS

    def is_old(self, number: int, end: int) -> bool:
        """Whether what ends at a character of a part was judged before."""
        if self.is_answered(number):
            return True
        part = self.parts[number]
        return (
            end <= self.refused.get(number, 0)
            and part.role in TURNS
            and part.kind != "tool_definition"
        )


MEMBERS = {field.name: None for field in fields(Exchange)}.keys()


def coverage_of(parts: Sequence[Part], unreadable: Sequence[str]) -> Coverage:
    """How much of an exchange with these parts was readable."""
    if not unreadable or all(reason in UNEDITED for reason in unreadable):
        return "full"
    return "partial" if any(part.literal != NOWHERE for part in parts) else "none"
