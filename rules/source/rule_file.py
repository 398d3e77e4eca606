"""Reads a rule file: YAML text in, a `RuleFile` out, or complaints that name line and column.

One reader for each level, all on the same document:

    RuleFileReader      the keys of the file: extends, lists, thresholds, history, overrides
      RuleReader        `rules`: the keys of a rule
        WhenReader      `when`
        MatchReader     `match` and `except`
        TestReader      `tests`
      Document          the YAML tree; collects the complaints
"""

from typing import get_args

import yaml

from rules.complaint import BadRules, Mark
from rules.model import (
    Action,
    Head,
    History,
    Match,
    Mode,
    Override,
    Restore,
    RuleFile,
    Severity,
    Threshold,
)
from rules.source.document import Document, Handler
from rules.source.matches import MatchReader
from rules.source.rule import RuleReader, score_name
from rules.source.when import WORDS, WhenReader


def read(name: str, text: str) -> RuleFile:
    """The file as written. Raises BadRules with every complaint, not only the first."""
    return RuleFileReader(Document(name, text)).file()


def read_detectors(name: str, text: str) -> dict[str, Match]:
    """The patterns that `detector` names. Raises BadRules."""
    return RuleFileReader(Document(name, text)).detectors()


class RuleFileReader:
    """Reads one file."""

    def __init__(self, document: Document):
        self._document = document
        when = WhenReader(document)
        self._matches = MatchReader(document, when)
        self._rules = RuleReader(document, self._matches, when)

    def file(self) -> RuleFile:
        """The whole file. Raises BadRules with every complaint."""
        root = self._document.compose()
        self._document.read_lists(root)
        values = self._document.mapping(
            root,
            {
                "earthflow": self._schema,
                "name": self._document.word,
                "extends": self._extends,
                "lists": lambda node: None,
                "thresholds": self._thresholds,
                "history": self._document.choice(get_args(History), "history"),
                "restore": self._document.choice(get_args(Restore), "restore"),
                "rules": self._rules.rules,
                "overrides": self._overrides,
            },
            what="a rule file",
            required=("earthflow",),
        )
        if self._document.complaints:
            raise BadRules(self._document.complaints)
        values = {
            key: value
            for key, value in values.items()
            if key not in ("earthflow", "lists")
        }
        return RuleFile(**{"name": self._document.name, **values})

    def detectors(self) -> dict[str, Match]:
        """The file of shipped detectors. Raises BadRules."""
        read = self._document.mapping(
            self._document.compose(),
            {"earthflow": self._schema, "detectors": lambda node: node},
            what="the detectors",
            required=("detectors",),
        )
        handlers = {
            "regex": self._matches.regex,
            "message": self._document.word,
            **self._matches.checks(),
        }
        found: dict[str, Match] = {}
        for key, node in read["detectors"].value:
            values = self._document.mapping(
                node, handlers, what="a detector", required=("regex",)
            )
            values.pop("message", None)
            found[key.value] = Match(self._document.mark(key), **values)
        if self._document.complaints:
            raise BadRules(self._document.complaints)
        return found

    def _schema(self, node: yaml.Node) -> None:
        if self._document.word(node) != "1":
            self._document.fault(
                node, "this version reads schema 1 only", "write `earthflow: 1`"
            )

    def _extends(self, node: yaml.Node) -> tuple[tuple[str, Mark], ...]:
        return tuple(
            (self._document.word(item), self._document.mark(item))
            for item in self._document.items(node, "`extends`")
        )

    def _thresholds(self, node: yaml.Node) -> tuple[tuple[str, Threshold], ...]:
        if not isinstance(node, yaml.MappingNode):
            self._document.fault(
                node, "`thresholds` maps names of scores to `{flag: N, block: N}`"
            )
            return ()
        found: list[tuple[str, Threshold]] = []
        points = self._document.number("threshold", 1, 1000)
        for key, value in node.value:
            values = self._document.mapping(
                value, {"flag": points, "block": points}, what="a threshold"
            )
            if not values:
                self._document.fault(value, "a threshold says `flag`, `block`, or both")
            if values.get("flag", 0) > values.get("block", 1000):
                self._document.fault(
                    value, "`flag` is above `block`, so it would never be reached"
                )
            if key.value in {name for name, _ in found}:
                self._document.fault(
                    key, f"threshold `{key.value}` stands twice", "keep one of them"
                )
            found.append(
                (
                    score_name(self._document, key),
                    Threshold(
                        values.get("flag"),
                        values.get("block"),
                        self._document.mark(key),
                    ),
                )
            )
        return tuple(found)

    def _overrides(self, node: yaml.Node) -> tuple[Override, ...]:
        if not isinstance(node, yaml.MappingNode):
            self._document.fault(
                node, "`overrides` maps rule ids or globs to what changes"
            )
            return ()
        handlers: dict[str, Handler] = {
            "action": self._document.choice(get_args(Action), "action"),
            "mode": self._document.choice(get_args(Mode), "mode"),
            "severity": self._document.choice(get_args(Severity), "severity"),
            "priority": self._document.number(
                "priority", 0, 1000, "a whole number from 0 to 1000; higher wins"
            ),
            "direction": self._document.choice(WORDS["direction"], "direction"),
            "head": self._document.choice(get_args(Head), "head"),
            "restore": self._document.choice(get_args(Restore), "restore"),
            "except": self._matches.exceptions,
        }
        found: dict[str, Override] = {}
        for key, value in node.value:
            glob = self._document.word(key)
            changes = self._document.mapping(value, handlers, what="an override")
            if not changes and isinstance(value, yaml.MappingNode):
                self._document.fault(
                    value,
                    f"override `{glob}` changes nothing",
                    f"say one of {', '.join(handlers)}",
                )
            if glob in found:
                self._document.fault(
                    key, f"override `{glob}` stands twice", "keep one of them"
                )
            if "except" in changes:
                changes["except_"] = changes.pop("except")
            found[glob] = Override(
                glob, self._document.mark(key), tuple(changes.items())
            )
        return tuple(found.values())
