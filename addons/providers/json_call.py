"""Reads a JSON call by its format: every string of the body becomes a part with its
place, or a reason why it is unreadable.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from addons.providers.error_formats import Family
from addons.providers.places import (
    PLAIN_ROLES,
    ROLES,
    Classify,
    Placed,
    arguments_at,
    role_of,
    tool_name,
)
from addons.providers.provider import Call, Document
from rules.exchange import NOWHERE, Part, Role, Unreadable
from rules.leaves import Leaf, Number, Unread, Walk, parse
from rules.restore.paths import arguments_of, source_of

NAMES = (str, Number, int)  # the name of a model or a user; some are numbers


# What a body must have for any of its texts to have a signature.
SIGNS = (b"ignature", b"redacted_thinking", b"redactedContent", b"encrypted_content")


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
        has_signs = self.signed is not None and any(sign in body for sign in SIGNS)
        reading = _Reading(self, document, has_signs=has_signs)
        try:
            reading.run()
            reading.walk.end(body)
        except Unread as error:
            return Unreadable(error.why)
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
        )


class _Reading:
    """One pass through one body."""

    def __init__(
        self, format: JsonFormat, document: dict[str, Any], *, has_signs: bool
    ):
        self.walk = Walk(format.vocabulary)
        self.unreadable: dict[str, None] = {}
        self.documents: dict[int, Document] = {}
        self._format, self._document = format, document
        self._signed = format.signed if has_signs else None
        self._parts: list[Part] = []
        self._results: dict[int, int] = {}  # a part's number -> its result's identity

    def run(self) -> None:
        """Add every part, and every reason. Raises Unread."""
        for key, value in self._document.items():
            if key != self._format.plain:
                self._take(self.walk.leaves({key: value}))
                continue
            around, number = (self._document, value), 0
            self.walk.passed(1)
            while (number := self._take_plain(value, number)) < len(value):
                self._take(self.walk.leaves(value[number], (key, number), around))
                number += 1

    def told_parts(self) -> tuple[Part, ...]:
        """The parts. A tool's result gets the tool's name, where the call stands in the
        conversation.
        """
        results = [
            part for part in self._parts if part.kind == "tool_result" and part.tool
        ]
        if not results or self._format.named_results:
            return tuple(self._parts)
        names = {id: name for id, name, _ in _tool_calls(self._document)}
        return tuple(
            part._replace(tool=names.get(part.tool, ""))
            if part.kind == "tool_result"
            else part
            for part in self._parts
        )

    def sources(
        self, known: Mapping[str, str], wanted: Collection[int]
    ) -> dict[int, str]:
        """The files whose content tools' results show; as in `Call`."""
        if self._format.files is not None:
            of_results = self._format.files(self._document)
            found = {number: of_results.get(self._results.get(number, 0), "") for number in wanted}  # fmt: skip
        elif self._format.named_results:
            found = {}
        else:
            ids = {self._parts[number].tool for number in wanted} - {""}
            files = dict(known)
            for id, name, call in _tool_calls(self._document) if ids else ():
                if id in ids:
                    given = _given(call)
                    asked = arguments_of(given) if isinstance(given, str) else given
                    path = source_of(name, asked)
                    # An id that stands twice names no file.
                    files[id] = path if files.get(id, path) == path else ""
            found = {
                number: files.get(self._parts[number].tool, "") for number in wanted
            }
        return {number: path for number, path in found.items() if path}

    def _take(self, leaves: Iterator[Leaf]) -> None:
        for leaf in leaves:
            if leaf.is_key:
                self._parts.append(
                    Part(
                        leaf.text,
                        "other",
                        "key",
                        leaf.literal,
                        signature=self._signed(leaf) if self._signed else "",
                    )
                )
            elif (
                leaf.path[-1] != "role" or leaf.text not in ROLES
            ):  # a role with no other meaning
                placed = self._format.classify(self._document, leaf)
                if isinstance(placed, Unreadable):
                    self.unreadable[placed.reason] = None
                    if placed.reason == "document":
                        self.documents[len(self._parts)] = leaf.text
                        part = Part("", _speaker(leaf), "document", NOWHERE)
                        self._parts.append(part)
                else:
                    if placed[1] == "tool_result" and self._format.results:
                        self._results[len(self._parts)] = self._result_of(leaf)
                    self._parts.append(
                        Part(
                            leaf.text,
                            placed[0],
                            placed[1],
                            leaf.literal,
                            _tool(leaf, placed),
                            _argument(leaf) if placed[1] == "tool_call" else "",
                            self._signed(leaf) if self._signed else "",
                        )
                    )

    def _result_of(self, leaf: Leaf) -> int:
        """The identity of the result that a leaf stands in."""
        depth = next(
            n for n, key in enumerate(leaf.path) if key in self._format.results
        )
        return id(leaf.around[depth + 1]) if len(leaf.around) > depth + 1 else 0

    def _take_plain(self, messages: list[Any], first: int) -> int:
        """Read messages that are a role and a text, from number `first` on; the number
        of the next that is not.
        """
        literal, quotes, count = self.walk.literal, 0, 0
        for message in map(messages.__getitem__, range(first, len(messages))):
            if type(message) is not dict or len(message) != 2:
                break
            (name, role), (other, content) = message.items()
            place = 3
            if name == "content":
                name, role, other, content, place = other, content, name, role, 1
            if (
                name != "role"
                or other != "content"
                or type(content) is not str
                or type(role) is not str
                or role not in PLAIN_ROLES
            ):
                break
            self._parts.append(
                Part(content, PLAIN_ROLES[role], "text", literal + place)
            )
            literal += 4
            quotes += content.count('"')
            count += 1
        self.walk.passed(4 * count, quotes)
        return first + count


def _speaker(leaf: Leaf) -> Role:
    """The role of the message in which a leaf stands."""
    roles = (role_of(container) for container in leaf.around)
    return next((role for role in roles if role != "other"), "user")


def _tool(leaf: Leaf, placed: Placed) -> str:
    """The tool of a call, or what tells it for a result."""
    named = placed[2] if len(placed) > 2 else ""
    # Inside of arguments that are an object, what is called `name` may be anything.
    depth = arguments_at(leaf.path, leaf.around) if placed[1] == "tool_call" else None
    if depth is None or depth == len(leaf.path) - 1:
        return named
    return tool_name(leaf.around[: depth + 1])


def _argument(leaf: Leaf) -> str:
    """The key under which an argument of a tool's call stands."""
    return next((key for key in reversed(leaf.path) if type(key) is str), "")


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


def _tool_calls(document: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """The tool calls in a conversation: id, name, and what has their arguments."""
    lists = [document.get(key) for key in ("messages", "input", "items")]
    items = [
        item
        for found in lists
        if isinstance(found, list)
        for item in found
        if isinstance(item, dict)
    ]
    inner = [item.get(key) for item in items for key in ("tool_calls", "content")]
    blocks = [
        block
        for found in inner
        if isinstance(found, list)
        for block in found
        if isinstance(block, dict)
    ]
    for block in (*items, *blocks):
        call = block["toolUse"] if isinstance(block.get("toolUse"), dict) else block
        name = tool_name((call, call.get("function")))
        for key in ("id", "call_id", "toolUseId"):
            if isinstance(call.get(key), str) and name:
                yield call[key], name, call


def _given(call: Mapping[str, Any]) -> Any:
    """The arguments of a call; None where it has none."""
    function = call.get("function")
    inner = function if isinstance(function, Mapping) else call
    given = (inner.get(key) for key in ("arguments", "input", "action"))
    return next((one for one in given if one is not None), None)
