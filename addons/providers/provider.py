"""A provider: its hosts, the wire format of each path, and the error format in which a
call is refused.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from addons.providers.error_formats import Family
from rules.exchange import Part, Unreadable

UNSENT = ("GET", "HEAD", "OPTIONS", "DELETE")  # methods without a prompt


Document = str | bytes  # in base64, or as it is
Sources = Callable[[Mapping[str, str], Collection[int]], dict[int, str]]


def no_sources(known: Mapping[str, str], wanted: Collection[int]) -> dict[int, str]:
    """No part is known to show the content of a file."""
    return {}


@dataclass(frozen=True, slots=True)
class Call:
    """A call as its format reads it.

    `unreadable` are the reasons why parts of it, such as an image, could not be read.
    `user` is for whom the client says that it calls. `sources` gives the files whose
    content the `wanted` parts show, by number; some are known by the ids of their calls.
    `documents` are those that stand in parts of kind `document`, by number; their texts are
    not read yet. `conversation` reads the call that continues this one; None where a next
    one is read whole.
    """

    model: str
    stream: bool
    parts: tuple[Part, ...]
    unreadable: tuple[str, ...] = ()
    user: str = ""
    sources: Sources = no_sources
    documents: Mapping[int, Document] = field(default_factory=dict)
    conversation: "Conversation | None" = None


class Conversation(Protocol):
    """A call that was read, and what the next turn of its conversation repeats of it."""

    @property
    def format(self) -> "Format":
        """The format of all its calls."""

    @property
    def size(self) -> int:
        """Bytes of memory that it takes, roughly."""

    @property
    def cut(self) -> int:
        """Where the bytes end that the next turn begins with. Only for a call that continues it."""

    def more(self, body: bytes) -> bytes | None:
        """What a body has that this call has not, in its place; None where it does not continue the call."""

    def next(self, more: bytes, path: str, model: str) -> Call | None:
        """The same as to read that body whole; None where that must be done."""


class Format(Protocol):
    """How calls of one kind are written.

    Stateless and total: any bytes in, never an exception out.
    """

    @property
    def name(self) -> str:
        """Its name in providers.yaml."""

    @property
    def family(self) -> Family | None:
        """The error format of its calls; None: the provider's."""

    @property
    def streams_text(self) -> bool:
        """Whether a streamed answer is text, not audio."""

    @property
    def grows(self) -> bool:
        """Whether a streamed answer in plain JSON is an array that grows, not one
        document.
        """

    def read_call(self, body: bytes, path: str, model: str) -> Call | Unreadable:
        """The call in a decoded body. `model` is the one that the path names."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a call goes: its format, the model that its path names, or nothing, and the
    path without what a client chose in it, such as `/models/{model}:predict`.
    """

    format: Format
    model: str
    template: str = ""


@dataclass(frozen=True, slots=True)
class CredentialPlaces:
    """Where a provider takes a client's own credential: names in lower case. `tokens`: ids
    and globs of the rules that find its tokens, which belong there.
    """

    headers: frozenset[str] = frozenset()
    queries: frozenset[str] = frozenset()
    cookies: frozenset[str] = frozenset()
    tokens: tuple[str, ...] = ()


@dataclass(frozen=True)
class Paths:
    """The wire formats by canonical path."""

    exact: Mapping[str, Format] = field(default_factory=dict)
    patterns: Sequence[tuple["re.Pattern[str]", str, Format]] = ()  # with the template

    def find(self, path: str) -> Endpoint | None:
        """The format of a path, or None."""
        if path in self.exact:
            return Endpoint(self.exact[path], "", path)
        for pattern, template, format in self.patterns:
            if (found := pattern.fullmatch(path)) is not None:
                return Endpoint(format, found.groupdict().get("model") or "", template)
        return None


@dataclass(frozen=True)
class Provider:
    """The hosts of one provider.

    `family` is the error format for calls of unknown paths. `sockets` are the paths of
    WebSockets; `unread` matches those of WebSockets that pass without being read.
    """

    name: str
    family: Family
    paths: Paths = Paths()
    sockets: Paths = Paths()
    credentials: CredentialPlaces = CredentialPlaces()
    unread: "re.Pattern[str] | None" = None

    def passes_unread(self, path: str) -> bool:
        """Whether a WebSocket may be opened under a canonical path, though nobody can read it."""
        return self.unread is not None and self.unread.fullmatch(path) is not None

    def endpoint(self, method: str, path: str) -> Endpoint | None:
        """The endpoint of a call, by its canonical path; None where it has no prompt
        that can be read.
        """
        return None if method in UNSENT else self.paths.find(path)

    def template(self, path: str) -> str:
        """A canonical path without what a client chose in it; empty where it is unknown."""
        endpoint = self.paths.find(path) or self.sockets.find(path)
        return endpoint.template if endpoint is not None else ""

    def family_of(self, path: str) -> Family:
        """The error format of a call, by its canonical path."""
        endpoint = self.paths.find(path)
        return (endpoint.format.family if endpoint else None) or self.family


@dataclass(slots=True)
class Usage:
    """Tokens as the provider counted them; None where it did not."""

    input_tokens: int | None = None
    output_tokens: int | None = None

    def read(self, message: object) -> None:
        """Take the counts of a whole answer, or of an event of a stream.

        Implausible ones are ignored.
        """
        for holder in _holders(message):
            for name, before, after in COUNTS:
                if name and name not in holder:
                    continue
                counts = holder[name] if name else holder
                if type(counts) is dict:
                    self.input_tokens = _count(counts.get(before), self.input_tokens)
                    self.output_tokens = _count(counts.get(after), self.output_tokens)

    def add(self, other: "Usage") -> None:
        """Add the counts of another answer."""
        for name in ("input_tokens", "output_tokens"):
            if (more := getattr(other, name)) is not None:
                setattr(self, name, (getattr(self, name) or 0) + more)


WRAPPERS = ("message", "response", "delta", "meta", "usage", "metadata")
# The key of an object with counts, and the names of the counts in it.
COUNTS = (
    # OpenAI's chat, and all who copy it
    (
        "usage",
        "prompt_tokens",
        "completion_tokens",
    ),
    ("usage", "input_tokens", "output_tokens"),  # OpenAI's responses, Anthropic
    ("usage", "inputTokens", "outputTokens"),  # Bedrock's converse
    ("usageMetadata", "promptTokenCount", "candidatesTokenCount"),  # Gemini
    ("tokens", "input_tokens", "output_tokens"),  # Cohere, inside its usage
    ("", "prompt_eval_count", "eval_count"),  # Ollama
)


def _holders(message: object) -> list[dict[str, Any]]:
    """The objects of a message that may hold counts: itself, and what wraps them in a
    stream's events.
    """
    if type(message) is list:
        return [holder for one in message[-1:] for holder in _holders(one)]
    if type(message) is not dict:
        return []
    inner = [message[name] for name in WRAPPERS if name in message]
    delta = message.get("delta")
    if type(delta) is dict:
        inner.append(delta.get("usage"))
    return [holder for holder in (*inner, message) if type(holder) is dict]


def _count(value: object, before: int | None) -> int | None:
    if type(value) is int and 0 <= value < 2**53:
        return value
    return before
