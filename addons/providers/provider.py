"""What every provider can do: read a call, count an answer's tokens, refuse in its own words."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from rules.exchange import Part, Unreadable

UNSENT = ("GET", "HEAD", "OPTIONS", "DELETE")  # methods that bring no prompt


@dataclass(frozen=True, slots=True)
class Call:
    """A call as its provider reads it. `unreadable` names what inside it could not be looked at, such as an image.

    `user` is whom the client says it calls for.
    """

    model: str
    stream: bool
    parts: tuple[Part, ...]
    unreadable: tuple[str, ...] = ()
    user: str = ""


@dataclass(slots=True)
class Usage:
    """Tokens as the provider counted them; None where it said nothing."""

    input_tokens: int | None = None
    output_tokens: int | None = None

    def take(self, counts: object, input_name: str, output_name: str) -> None:
        """Keep the newest counts of a `usage` object; anything that is not a plausible count is passed over."""
        if isinstance(counts, Mapping):
            self.input_tokens = _count(counts.get(input_name), self.input_tokens)
            self.output_tokens = _count(counts.get(output_name), self.output_tokens)


def _count(value: object, before: int | None) -> int | None:
    plausible = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53
    return value if plausible else before  # type: ignore[return-value]


class Provider(Protocol):
    """One family of calls. Stateless; every method is total: any bytes or values in, never an exception out."""

    name: str
    hosts: frozenset[str]

    def knows(self, method: str, path: str) -> bool:
        """Whether the call bears a prompt in a form that `read_call` reads; `path` is canonical and in lower case."""

    def read_call(self, body: bytes) -> Call | Unreadable:
        """The call in a decoded body."""

    def read_usage(self, message: Mapping[str, Any], usage: Usage) -> None:
        """Take token counts from a whole answer or from one event of a stream."""

    def refusal(self, message: str, decision: str) -> bytes:
        """The JSON body of a refusal, in the shape that the provider's own SDKs show to their users."""
