"""One pass through the body of a JSON call: every string becomes a part with its place."""

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, NamedTuple, Protocol

from addons.providers.places import (
    PLAIN_ROLES,
    ROLES,
    Classify,
    Placed,
    arguments_at,
    role_of,
    tool_name,
)
from addons.providers.provider import Document
from rules.exchange import NOWHERE, Part, Role, Unreadable
from rules.leaves import MAX_NODES, Leaf, Walk
from rules.restore.paths import arguments_of, source_of

# Messages at the end of a conversation that its next turn may have in another form: clients
# move marks such as `cache_control` to what is last.
LOOSE = 2
# Parts, and nodes of the document, of a call whose next turn is read from it: to walk through more takes
# longer than others should wait.
MOST_PARTS, MOST_NODES = 4_000, 20_000


class Layout(Protocol):
    """What a reading needs of its format; `JsonFormat` says what each is."""

    @property
    def vocabulary(self) -> frozenset[str]: ...
    @property
    def classify(self) -> Classify: ...
    @property
    def plain(self) -> str | None: ...
    @property
    def named_results(self) -> bool: ...
    @property
    def signed(self) -> Callable[[Leaf], str] | None: ...
    @property
    def results(self) -> tuple[str, ...]: ...
    @property
    def files(self) -> Callable[[Mapping[str, Any]], dict[int, str]] | None: ...


class Mark(NamedTuple):
    """How far a reading is: parts, literals, and nodes of the document; and messages of its list."""

    parts: int
    literal: int
    nodes: int
    messages: int


class Reading:
    """One pass through one body."""

    def __init__(self, format: Layout, document: dict[str, Any], *, has_signs: bool):
        self.walk = Walk(format.vocabulary)
        self.unreadable: dict[str, None] = {}
        self.documents: dict[int, Document] = {}
        self.document, self.has_signs = document, has_signs
        # Behind the messages that the next turn repeats, and behind all of them.
        self.repeated = self.said = Mark(0, 0, 0, 0)
        self._format = format
        self._signed = format.signed if has_signs else None
        self._parts: list[Part] = []
        self._results: dict[int, int] = {}  # a part's number -> its result's identity

    def run(self) -> None:
        """Add every part, and every reason. Raises Unread."""
        for key, value in self.document.items():
            if key == self._format.plain:
                self.walk.passed(1)
                self._take_messages(key, value, 0)
            else:
                self._take(self.walk.leaves({key: value}))

    def next(self, messages: list[Any], body: bytes) -> "Reading | None":
        """The reading of a call that repeats what was read up to the mark `repeated`, has these
        `messages` behind it, of which `body` are the bytes, and ends as this call does.

        None where the whole call must be read. Raises Unread.
        """
        key, before, said = self._format.plain, self.repeated, self.said
        assert key is not None
        all_messages = self.document[key][: before.messages] + messages
        document = {**self.document, key: all_messages}
        reading = Reading(self._format, document, has_signs=self.has_signs)
        walk = reading.walk = Walk(self._format.vocabulary, before.literal, before.nodes)  # fmt: skip
        reading._parts = self._parts[: before.parts]
        reading._take_messages(key, all_messages, before.messages)
        walk.end(body)
        moved = walk.literal - said.literal
        reading._parts += [
            part
            if part.literal == NOWHERE
            else part._replace(literal=part.literal + moved)
            for part in self._parts[said.parts :]
        ]
        walk.literal = self.walk.literal + moved
        walk.nodes += self.walk.nodes - said.nodes
        return reading if walk.nodes <= MAX_NODES else None

    @property
    def nodes(self) -> int:
        """Values and keys of the document."""
        return self.walk.nodes

    @property
    def is_plain(self) -> bool:
        """Whether all of it is text, in a list of messages, and not too much of it."""
        text = not (self.unreadable or self.documents or self._results)
        values = max(self.nodes, self.walk.literal)  # a list of numbers is one node
        little = len(self._parts) <= MOST_PARTS and values <= MOST_NODES
        return text and little and self.said.messages > LOOSE

    @property
    def lasting(self) -> int:
        """How many messages the next turn repeats."""
        return self.repeated.messages

    @property
    def loose(self) -> int:
        """How many at its end it may have in another form."""
        return self.said.messages - self.repeated.messages

    def _take_messages(self, key: str, messages: list[Any], first: int) -> None:
        """Read messages from number `first` on."""
        around, count = (self.document, messages), len(messages)
        for end in (max(first, count - LOOSE), count):
            self.repeated, number = self.said, first
            while (number := self._take_plain(messages, number, end)) < end:
                self._take(self.walk.leaves(messages[number], (key, number), around))
                number += 1
            first = end
            self.said = Mark(len(self._parts), self.walk.literal, self.walk.nodes, end)

    def told_parts(self) -> tuple[Part, ...]:
        """The parts. A tool's result gets the tool's name, where the call stands in the
        conversation.
        """
        results = [
            part for part in self._parts if part.kind == "tool_result" and part.tool
        ]
        if not results or self._format.named_results:
            return tuple(self._parts)
        names = {id: name for id, name, _ in _tool_calls(self.document)}
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
            of_results = self._format.files(self.document)
            found = {number: of_results.get(self._results.get(number, 0), "") for number in wanted}  # fmt: skip
        elif self._format.named_results:
            found = {}
        else:
            ids = {self._parts[number].tool for number in wanted} - {""}
            files = dict(known)
            for id, name, call in _tool_calls(self.document) if ids else ():
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
                placed = self._format.classify(self.document, leaf)
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

    def _take_plain(self, messages: list[Any], first: int, end: int) -> int:
        """Read messages that are a role and a text, from number `first` on, before `end`;
        the number of the next that is not.
        """
        literal, quotes, count = self.walk.literal, 0, 0
        for message in map(messages.__getitem__, range(first, end)):
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
