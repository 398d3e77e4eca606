"""A YAML file whose every value is read by a handler; complaints name line and column.

Nodes are read, not Python values, so that nothing is guessed (`on`, `no` and `1_0` stay words)
and every complaint has its place. Bounded: 1 MB, 20 levels, no anchors or aliases.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

import yaml

from rules.complaint import BadRules, Complaint, Mark, likely

# Bytes of a file: the largest pack has 150 KB. Levels: a rule of nested clauses reaches
# ten.
MAX_BYTES, MAX_DEPTH = 1_000_000, 20
MAX_VALUES = 500  # values of one list
# The name of a list, a score or a detector
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")

Handler = Callable[[yaml.Node], Any]


class Document:
    """One file. Its readers add to `complaints` and continue, so that an author sees them all."""

    def __init__(self, name: str, text: str):
        self.name, self.text = name, text
        self.lines = text.splitlines()
        self.complaints: list[Complaint] = []
        self.lists: dict[str, tuple[str, ...]] = {}

    # -- complaints ---------------------------------------------------------------------------------------------------

    def mark(self, node: yaml.Node | yaml.Event) -> Mark:
        """Where a node stands."""
        start, end = node.start_mark, node.end_mark
        assert start is not None and end is not None
        length = end.column - start.column if end.line == start.line else 1
        return Mark(self.name, start.line + 1, start.column + 1, length)

    def complain(self, at: Mark, message: str, help: str = "") -> None:
        """Add a complaint, with the line it is about. `help` is the next step."""
        source = self.lines[at.line - 1] if at.line <= len(self.lines) else ""
        self.complaints.append(Complaint(at, message, help, source[:200]))

    def fault(self, node: yaml.Node, message: str, help: str = "") -> None:
        """Add a complaint about a node."""
        self.complain(self.mark(node), message, help)

    # -- the tree -----------------------------------------------------------------------------------------------------

    def compose(self) -> yaml.Node:
        """The tree of nodes. Size and depth are checked before it is built."""
        if len(self.text) > MAX_BYTES:
            message = f"the file is larger than {MAX_BYTES:,} bytes"
            raise self._broken(message, "split it into several files")
        try:
            self._check_events()
            root = yaml.compose(self.text, Loader=yaml.CSafeLoader)
        except yaml.MarkedYAMLError as error:
            at = Mark(self.name, 1, 1)
            if (mark := error.problem_mark or error.context_mark) is not None:
                at = Mark(self.name, mark.line + 1, mark.column + 1)
            self.complain(at, f"not YAML: {error.problem or error.context}")
            raise BadRules(self.complaints) from None
        except yaml.reader.ReaderError as error:
            before = self.text[: int(error.position)]
            column = len(before) - before.rfind("\n")
            at = Mark(self.name, before.count("\n") + 1, column)
            message = (
                f"not YAML: the character #x{error.character:04x} must not stand here"
            )
            raise BadRules([Complaint(at, message)]) from None
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise self._broken(f"not YAML: {error}") from None
        if root is None:
            raise self._broken(
                "the file is empty", "a rule file begins with `earthflow: 1`"
            )
        return root

    def _broken(self, message: str, help: str = "") -> BadRules:
        """A fault of the file as a whole."""
        return BadRules([Complaint(Mark(self.name, 1, 1), message, help)])

    def _check_events(self) -> None:
        """Raises BadRules for anchors, aliases and deep nesting, before a tree is built."""
        depth = 0
        for event in yaml.parse(self.text, Loader=yaml.CSafeLoader):
            at = self.mark(event)
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
                self.complain(
                    at,
                    "anchors and aliases are not supported",
                    "write the value out where it is used",
                )
                raise BadRules(self.complaints)
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_DEPTH:
                self.complain(at, f"nested deeper than {MAX_DEPTH} levels")
                raise BadRules(self.complaints)

    def read_lists(self, root: yaml.Node) -> None:
        """Read `lists`, before the rules that may name them."""
        if not isinstance(root, yaml.MappingNode):
            return
        for key, value in root.value:
            if isinstance(key, yaml.ScalarNode) and key.value == "lists":
                if not isinstance(value, yaml.MappingNode):
                    self.fault(value, "`lists` maps names to lists of values")
                    continue
                for name, members in value.value:
                    if not NAME.fullmatch(str(name.value)):
                        self.fault(
                            name,
                            f"`{name.value}` is not a name for a list",
                            "lower-case letters, digits, `_` and `-`",
                        )
                    elif name.value in self.lists:
                        self.fault(
                            name,
                            f"list `{name.value}` stands twice",
                            "keep one of them",
                        )
                    self.lists[str(name.value)] = self.words(members)

    def mapping(
        self,
        node: yaml.Node,
        handlers: dict[str, Handler],
        *,
        what: str,
        required: tuple[str, ...] = (),
    ) -> dict[str, Any]:
        """The values of a mapping, each read by the handler of its key.

        Unknown keys, keys that stand twice, and missing ones are complaints.
        """
        if not isinstance(node, yaml.MappingNode):
            self.fault(node, f"{what} must be a mapping of keys to values")
            return {}
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else "?"
            if key not in handlers:
                self.fault(
                    key_node, f"unknown key `{key}` in {what}", likely(key, handlers)
                )
            elif key in values:
                self.fault(
                    key_node, f"key `{key}` stands twice in {what}", "keep one of them"
                )
            else:
                values[key] = handlers[key](value_node)
        for key in required:
            if key not in values:
                self.fault(node, f"{what} needs the key `{key}`")
        return values

    # -- values -------------------------------------------------------------------------------------------------------

    def word(self, node: yaml.Node) -> str:
        """One value, as written."""
        if not isinstance(node, yaml.ScalarNode) or not node.value:
            self.fault(node, "expected one value here")
            return ""
        return str(node.value)

    def words(self, node: yaml.Node) -> tuple[str, ...]:
        """One value, or a list of them. `$name` stands for the values of a list."""
        nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
        found: list[str] = []
        for item in nodes:
            word = self.word(item)
            if word.startswith("$") and NAME.fullmatch(word[1:]):
                if word[1:] not in self.lists:
                    self.fault(
                        item,
                        f"there is no list `{word[1:]}`",
                        likely(word[1:], self.lists)
                        if self.lists
                        else "name it in `lists`",
                    )
                found.extend(self.lists.get(word[1:], ()))
            else:
                found.append(word)
            if len(found) > MAX_VALUES:
                self.fault(
                    node,
                    f"more than {MAX_VALUES} values",
                    "split them over several rules",
                )
                return ()
        if not found:
            self.fault(node, "an empty list says nothing here")
        return tuple(found)

    def items(self, node: yaml.Node, what: str) -> Iterator[yaml.Node]:
        """The members of a list."""
        if isinstance(node, yaml.SequenceNode):
            yield from node.value
        else:
            self.fault(node, f"{what} must be a list")

    def choice(self, known: tuple[str, ...], what: str) -> Handler:
        """A handler for one of some known words."""

        def read_choice(node: yaml.Node) -> str:
            value = self.word(node)
            if value and value not in known:
                self.fault(
                    node, f"`{value}` is not a valid {what}", likely(value, known)
                )
            return value

        return read_choice

    def number(self, what: str, low: float, high: float, hint: str = "") -> Handler:
        whole = isinstance(low, int)

        def read_number(node: yaml.Node) -> float | int:
            value = self.word(node)
            if (
                not re.fullmatch(
                    r"\d{1,12}" if whole else r"\d{1,3}(?:\.\d{1,3})?", value
                )
                or not low <= float(value) <= high
            ):
                self.fault(
                    node,
                    f"`{value}` is not a valid {what}",
                    hint or f"a {'whole ' if whole else ''}number from {low} to {high}",
                )
                return low
            return int(value) if whole else float(value)

        return read_number
