"""Reads a JSON call by its format: every string of the body becomes a part with its
place, or a reason why it is unreadable.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from addons.providers.error_formats import Family
from addons.providers.json_conversation import (
    LONGEST,
    SHORTEST,
    JsonConversation,
    has_signs,
)
from addons.providers.json_reading import Reading
from addons.providers.places import Classify
from addons.providers.provider import Call, Conversation
from rules.exchange import Unreadable
from rules.leaves import REJECTED, Leaf, Number, Unread, parse, quickly

NAMES = (str, Number, int)  # the name of a model or a user; some are numbers


def _asks_to_stream(document: Mapping[str, Any], path: str) -> bool:
    return document.get("stream") is True


@dataclass(frozen=True)
class JsonFormat:
    """One wire format.

    Keys of its `vocabulary` are no parts; any other key is one, and is judged.

    A call has at least one of the keys it `needs`. `plain` is the key of a list of
    messages that mostly have a role and a text. Under the keys `tokens`, numbers stand
    for words that cannot be read. `named_results`: a tool's result names its tool
    itself; it stands under one of the keys `results`, and `files` gives the file whose
    content it shows, by its identity. `signed` gives the signature that the provider bound
    a text to.
    """

    name: str
    vocabulary: frozenset[str] = field(repr=False)
    classify: Classify
    needs: tuple[str, ...]
    plain: str | None = None
    tokens: tuple[str, ...] = ()
    family: Family | None = None
    grows: bool = False
    streams_text: bool = True
    streams: Callable[[Mapping[str, Any], str], bool] = _asks_to_stream
    named_results: bool = False
    signed: Callable[[Leaf], str] | None = None
    results: tuple[str, ...] = ()
    files: Callable[[Mapping[str, Any]], dict[int, str]] | None = None

    def read_call(self, body: bytes, path: str, model: str) -> Call | Unreadable:
        """The call in a body. `model` is the one that the path names."""
        document = quickly(body) if len(body) <= LONGEST else REJECTED
        quick = document is not REJECTED
        if not quick:
            document = parse(body)
        if isinstance(document, Unreadable):
            return document
        if not isinstance(document, dict) or not any(
            document.get(key) is not None for key in self.needs
        ):
            return Unreadable("opaque")
        if (
            self.plain is not None
            and self.plain in document
            and not isinstance(document[self.plain], list)
        ):
            return Unreadable("opaque")
        signed = self.signed is not None and has_signs(body)
        reading = Reading(self, document, has_signs=signed)
        try:
            reading.run()
            reading.walk.end(body)
        except Unread as error:
            return Unreadable(error.why)
        kept = quick and len(body) >= SHORTEST and reading.is_plain
        conversation = JsonConversation(self, body, reading) if kept else None
        return self.call(reading, path, model, conversation)

    def call(
        self,
        reading: Reading,
        path: str,
        model: str,
        conversation: Conversation | None = None,
    ) -> Call:
        """The call of a reading. `model` is the one that the path names."""
        document = reading.document
        if any(_has_tokens(document.get(key)) for key in self.tokens):
            reading.unreadable["opaque"] = None
        named, user = (
            str(name) if type(name) in NAMES else ""
            for name in (document.get("model"), user_of(document))
        )
        return Call(
            named or model,
            self.streams(document, path),
            reading.told_parts(),
            tuple(reading.unreadable),
            user,
            reading.sources,
            reading.documents,
            conversation,
        )


def user_of(document: Mapping[str, Any]) -> object:
    """For whom the client calls:

    OpenAI's `user` or `safety_identifier`, Anthropic's `metadata.user_id`.
    """
    metadata = document.get("metadata")
    return (
        document.get("user")
        or document.get("safety_identifier")
        or (metadata.get("user_id") if isinstance(metadata, dict) else None)
    )


def _has_tokens(value: Any) -> bool:
    """Whether numbers stand in place of words: tokens, which only the provider can
    read.
    """
    inner = (
        [one for item in value for one in (item if isinstance(item, list) else (item,))]
        if isinstance(value, list)
        else ()
    )
    return any(type(one) is int for one in inner)
