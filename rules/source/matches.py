"""Reads `match` and `except`: what a rule looks for, and what it leaves alone."""

import re
from dataclasses import fields
from typing import get_args

import yaml

from rules.commands.spec import CommandSpec
from rules.complaint import likely
from rules.likeness import MODELS
from rules.model import Confidence, Except, Match, Matches
from rules.patterns import BadPattern, compile_regex, keywords_as_regex
from rules.source.document import Document, Handler
from rules.source.proofs import TestReader
from rules.source.when import WhenReader
from rules.validators import names, validator

MAX_PATTERN = 2_048  # characters; compiled size is bounded by RE2 itself
MAX_KEYWORD = 200  # characters
HASH = re.compile("[0-9a-f]{64}")
SUBJECTS = ("regex", "keywords", "detector", "command", "reads_like")
CHECKS = ("near", "within", "entropy", "validate", "count")


class MatchReader:
    """Reads `match` and `except`; complaints go to the document."""

    def __init__(self, document: Document, when: WhenReader):
        self._document, self._when = document, when
        self._tests = TestReader(document)

    def matches(self, node: yaml.Node) -> Matches:
        """What a rule looks for. A list is an `any`."""
        if isinstance(node, yaml.SequenceNode):
            if not node.value:
                self._document.fault(node, "an empty list matches nothing")
            matches = Matches(
                "any",
                tuple(self._match(item) for item in node.value),
                self._document.mark(node),
            )
        else:
            found = self._match(node)
            matches = (
                found
                if isinstance(found, Matches)
                else Matches("any", (found,), self._document.mark(node))
            )
        self._check_nots(matches, inside="any")
        return matches

    def _check_nots(self, match: Match | Matches, inside: str) -> None:
        """A `not` must stand in `all`, beside something to find, and must hold no other
        `not`.
        """
        if isinstance(match, Match):
            return
        if match.how == "not" and inside != "all":
            what = (
                "a `not` inside of a `not`"
                if inside == "not"
                else "a `not` finds nothing by itself"
            )
            self._document.complain(
                match.at, what, "put it into `all`, beside what must stand there"
            )
        if match.how == "all" and all(
            isinstance(one, Matches) and one.how == "not" for one in match.members
        ):
            self._document.complain(
                match.at,
                "an `all` that only says what must not stand there finds nothing",
                "add what must stand there",
            )
        for one in match.members:
            self._check_nots(one, "not" if "not" in (match.how, inside) else match.how)

    def _match(self, node: yaml.Node) -> Match | Matches:
        if isinstance(node, yaml.MappingNode):
            how = next(
                (
                    key.value
                    for key, _ in node.value
                    if key.value in ("all", "any", "not")
                ),
                None,
            )
            if how is not None:
                return self._joined(how, node)
        handlers = {
            "regex": self.regex,
            "keywords": self._keywords,
            "detector": self._document.word,
            "command": self._command,
            "reads_like": self._document.choice(MODELS, "model"),
            "min_score": self._document.number("score", 0.0, 1.0),
            "min_confidence": self._document.choice(get_args(Confidence), "confidence"),
            **self.checks(),
        }
        values = self._document.mapping(
            node,
            {
                **handlers,
                "all": self._document.word,
                "any": self._document.word,
                "not": self._document.word,
            },
            what="`match`",
        )
        if sum(key in values for key in SUBJECTS) != 1:
            self._document.fault(
                node,
                "a match is one of `regex`, `keywords`, `detector`, `command` or `reads_like`",
                "several matches form a list; any of them is enough",
            )
        if "command" in values and len(values) > 1:
            self._document.fault(
                node, "a `command` stands alone in a match", "use `all` to join matches"
            )
        if "min_score" in values and "reads_like" not in values:
            self._document.fault(node, "`min_score` belongs to `reads_like`")
        if "reads_like" in values and set(values) & set(CHECKS):
            self._document.fault(
                node, "`reads_like` has a `min_score`, and no other check"
            )
        if "min_confidence" in values and "detector" not in values:
            self._document.fault(node, "`min_confidence` belongs to a `detector`")
        if "within" in values and "near" not in values and "detector" not in values:
            self._document.fault(node, "`within` belongs to `near`")
        return Match(self._document.mark(node), **values)

    def _command(self, node: yaml.Node) -> CommandSpec:
        values = self._document.mapping(
            node,
            {field.name: self._document.words for field in fields(CommandSpec)},
            what="`command`",
        )
        spec = CommandSpec(**values)
        if not (spec.program or spec.targets or spec.writes):
            self._document.fault(
                node,
                "a `command` says its `program`, its `targets`, or what it `writes`",
                "such as `command: {program: rm, targets: [/]}`",
            )
        return spec

    def _joined(self, how: str, node: yaml.MappingNode) -> Matches:
        if len(node.value) != 1:
            self._document.fault(
                node,
                f"`{how}` stands alone in a match",
                "put the other keys into its members",
            )
        value = node.value[0][1]
        if how == "not":
            return Matches("not", (self._match(value),), self._document.mark(node))
        members = tuple(
            self._match(item) for item in self._document.items(value, f"`{how}`")
        )
        if not members:
            self._document.fault(value, "an empty list matches nothing")
        return Matches(
            "all" if how == "all" else "any", members, self._document.mark(node)
        )

    def checks(self) -> dict[str, Handler]:
        """The keys that narrow down what a match finds."""
        return {
            "near": self._keywords,
            "within": self._document.number("distance", 0, 400),
            "entropy": self._document.number("entropy", 0.0, 8.0),
            "validate": self._validate,
            "count": self._document.number("count", 1, 100),
        }

    def _keywords(self, node: yaml.Node) -> tuple[str, ...]:
        words = self._document.words(node)
        try:
            if not all(word.strip() for word in words):
                self._document.fault(node, "a keyword is more than white space")
            elif any(len(word) > MAX_KEYWORD for word in words):
                self._document.fault(
                    node, f"a keyword is longer than {MAX_KEYWORD} characters"
                )
            elif words:
                compile_regex(keywords_as_regex(words))
        except BadPattern as error:
            self._document.fault(node, f"these keywords cannot be used: {error}")
        return words

    def _validate(self, node: yaml.Node) -> str:
        name = self._document.word(node)
        if name and validator(name) is None:
            self._document.fault(
                node,
                f"there is no validator `{name}`",
                likely(name, names())
                if "phone" not in name
                else "`phone`, or `phone.FR`",
            )
        return name

    def exceptions(self, node: yaml.Node) -> tuple[Except, ...]:
        """What a rule leaves alone; one exception, or a list."""
        nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
        handlers: dict[str, Handler] = {
            "values": self._document.words,
            "regex": self.regex,
            "keywords": self._keywords,
            "near": self._document.number("distance", 0, 400),
            "when": self._when.when,
            "hashes": self._hashes,
            "tests": self._tests.tests,
            "from": self._document.word,
        }
        found: list[Except] = []
        if not nodes:
            self._document.fault(
                node, "an empty `except` takes nothing away", "leave it out"
            )
        for item in nodes:
            said = self._document.mapping(item, handlers, what="`except`")
            if not {"values", "regex", "keywords", "hashes", "when"} & said.keys():
                self._document.fault(
                    item,
                    "an exception names `values`, a `regex` or `keywords` of the finding, or says `when`",
                )
            source = said.pop("from", "")
            found.append(Except(self._document.mark(item), **said, source=source))
        return tuple(found)

    def _hashes(self, node: yaml.Node) -> tuple[str, ...]:
        words = self._document.words(node)
        if not all(HASH.fullmatch(word) for word in words):
            hint = "`earthflow rules except` makes them"
            self._document.fault(node, "a keyed hash is 64 hexadecimal digits", hint)
        return words

    def regex(self, node: yaml.Node) -> str:
        """A pattern that compiles."""
        value = self._document.word(node)
        if len(value) > MAX_PATTERN:
            self._document.fault(
                node, f"the regex is longer than {MAX_PATTERN:,} characters"
            )
        elif value:
            try:
                compile_regex(value)
            except BadPattern as error:
                hint = (
                    "look-around and back-references are not supported; use `except`, `near` or a `not`"
                    if "(?" in str(error)
                    else ""
                )
                self._document.fault(node, str(error), hint)
        return value
