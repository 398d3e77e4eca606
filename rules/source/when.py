"""Reads `when`: conditions on the context of a call, and the values that each field may have."""

import re
from typing import get_args
from zoneinfo import ZoneInfo

import yaml

from rules.complaint import likely
from rules.exchange import REASONS, Coverage, Direction, Kind, Role
from rules.model import Clause, Field, Group
from rules.source.document import Document

SIZE = re.compile(r"(<|<=|>|>=)\s*(\d{1,12})\s*(B|KiB|MiB)?")
TOKENS = re.compile(r"(<|<=|>|>=)\s*(\d{1,12})")
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
WINDOW = re.compile(
    rf"(?:({'|'.join(DAYS)})(?:-({'|'.join(DAYS)}))?\s+)?([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]|24):([0-5]\d)(?:\s+([A-Za-z0-9_/+-]+))?"
)

WORDS: dict[str, tuple[str, ...]] = {
    "direction": (*get_args(Direction), "any"),
    "role": get_args(Role),
    "part": get_args(Kind),
    "coverage": get_args(Coverage),
    "unreadable": REASONS,
    "stream": ("true", "false"),
}
GLOBS = ("provider", "model", "host", "path", "method", "tenant", "user", "tool")
CONTEXT = (*WORDS, *GLOBS, "size", "tokens", "time")


class WhenReader:
    """Reads `when`; complaints go to the document."""

    def __init__(self, document: Document):
        self._document = document

    def when(self, node: yaml.Node) -> Clause:
        """A mapping of fields, all of which must hold. `any`, `all` and `not` nest."""
        if not isinstance(node, yaml.MappingNode):
            self._document.fault(
                node, "`when` must be a mapping of fields to what they may hold"
            )
            return Group("all", ())
        clauses: list[Clause] = []
        if not node.value:
            self._document.fault(
                node,
                "an empty `when` holds for every call",
                "name a field, or leave `when` out",
            )
        seen: set[str] = set()
        for key_node, value_node in node.value:
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else "?"
            if key in seen:
                self._document.fault(
                    key_node,
                    f"key `{key}` stands twice in `when`",
                    "give it a list of values, or use `all`",
                )
            seen.add(key)
            if key in ("any", "all"):
                members = tuple(
                    self.when(item)
                    for item in self._document.items(value_node, f"`{key}`")
                )
                if not members:
                    self._document.fault(value_node, f"an empty `{key}` says nothing")
                clauses.append(Group("any" if key == "any" else "all", members))
            elif key == "not":
                clauses.append(Group("not", (self.when(value_node),)))
            elif key in CONTEXT:
                clauses.append(self._field(key, key_node, value_node))
            else:
                self._document.fault(
                    key_node,
                    f"unknown field `{key}` in `when`",
                    likely(key, (*CONTEXT, "any", "all", "not")),
                )
        return Group("all", tuple(clauses))

    def _field(self, name: str, key_node: yaml.Node, value_node: yaml.Node) -> Field:
        values = self._document.words(value_node)
        if name == "size" and (len(values) != 1 or not SIZE.fullmatch(values[0])):
            self._document.fault(
                value_node, "`size` takes one comparison", 'such as "> 64KiB"'
            )
        if name == "tokens" and (len(values) != 1 or not TOKENS.fullmatch(values[0])):
            self._document.fault(
                value_node, "`tokens` takes one comparison", 'such as "> 100000"'
            )
        if name == "time":
            for value in values:
                self._window(value_node, value)
        for value in values:
            if name in WORDS and value not in WORDS[name]:
                self._document.fault(
                    value_node,
                    f"`{value}` is not a valid {name}",
                    likely(value, WORDS[name]),
                )
        return Field(name, values, self._document.mark(key_node))

    def _window(self, node: yaml.Node, value: str) -> None:
        parsed = WINDOW.fullmatch(value)
        if parsed is None or (parsed[5] == "24" and parsed[6] != "00"):
            self._document.fault(
                node,
                f"`{value}` is not a time window",
                'such as "Mon-Fri 08:00-18:00 Europe/Paris"; without a zone it is UTC',
            )
            return
        try:
            ZoneInfo(parsed[7] or "UTC")
        except (KeyError, ValueError, OSError):
            self._document.fault(
                node,
                f"there is no time zone `{parsed[7]}`",
                "such as Europe/Paris, Africa/Algiers or UTC",
            )
