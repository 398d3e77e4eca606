"""`match` and `except`: what a rule looks for, and what it leaves alone."""

from typing import get_args

import yaml

from rules.clauses import Clauses
from rules.complaint import likely
from rules.document import Handler
from rules.model import Confidence, Except, Match, Matches
from rules.patterns import BadPattern, compile_regex, keywords_as_regex
from rules.validators import names, validator

MAX_PATTERN = 2_048  # characters; compiled size is bounded by RE2 itself
MAX_KEYWORD = 200  # characters
CHECKS = ("near", "within", "entropy", "validate", "count")


class Contents(Clauses):
    """Reads `match` and `except`."""

    def matches(self, node: yaml.Node) -> Matches:
        if isinstance(node, yaml.SequenceNode):
            if not node.value:
                self.fault(node, "an empty list matches nothing")
            matches = Matches("any", tuple(self.match(item) for item in node.value), self.mark(node))
        else:
            found = self.match(node)
            matches = found if isinstance(found, Matches) else Matches("any", (found,), self.mark(node))
        self.check_nots(matches, inside="any")
        return matches

    def check_nots(self, match: Match | Matches, inside: str) -> None:
        """`not` stands in `all`, beside something that is found, and holds no other `not`."""
        if isinstance(match, Match):
            return
        if match.how == "not" and inside != "all":
            what = "a `not` inside of a `not`" if inside == "not" else "a `not` finds nothing by itself"
            self.complain(match.at, what, "put it into `all`, beside what must stand there")
        if match.how == "all" and all(isinstance(one, Matches) and one.how == "not" for one in match.members):
            self.complain(
                match.at,
                "an `all` that only says what must not stand there finds nothing",
                "add what must stand there",
            )
        for one in match.members:
            self.check_nots(one, "not" if "not" in (match.how, inside) else match.how)

    def match(self, node: yaml.Node) -> Match | Matches:
        if isinstance(node, yaml.MappingNode):
            how = next((key.value for key, _ in node.value if key.value in ("all", "any", "not")), None)
            if how is not None:
                return self.joined(how, node)
        handlers = {
            "regex": self.regex,
            "keywords": self.keywords,
            "detector": self.word,
            "min_confidence": self.choice(get_args(Confidence), "confidence"),
            **self.checks(),
        }
        values = self.mapping(
            node, {**handlers, "all": self.word, "any": self.word, "not": self.word}, what="`match`"
        )
        if sum(key in values for key in ("regex", "keywords", "detector")) != 1:
            self.fault(
                node,
                "a match is one of `regex`, `keywords` or `detector`",
                "several matches form a list; any of them is enough",
            )
        if "min_confidence" in values and "detector" not in values:
            self.fault(node, "`min_confidence` belongs to a `detector`")
        if "within" in values and "near" not in values and "detector" not in values:
            self.fault(node, "`within` belongs to `near`")
        return Match(self.mark(node), **values)

    def joined(self, how: str, node: yaml.MappingNode) -> Matches:
        if len(node.value) != 1:
            self.fault(node, f"`{how}` stands alone in a match", "put the other keys into its members")
        value = node.value[0][1]
        if how == "not":
            return Matches("not", (self.match(value),), self.mark(node))
        members = tuple(self.match(item) for item in self.items(value, f"`{how}`"))
        if not members:
            self.fault(value, "an empty list matches nothing")
        return Matches("all" if how == "all" else "any", members, self.mark(node))

    def checks(self) -> dict[str, Handler]:
        return {
            "near": self.keywords,
            "within": self.number("distance", 0, 400),
            "entropy": self.number("entropy", 0.0, 8.0),
            "validate": self.validate,
            "count": self.number("count", 1, 100),
        }

    def keywords(self, node: yaml.Node) -> tuple[str, ...]:
        words = self.words(node)
        try:
            if not all(word.strip() for word in words):
                self.fault(node, "a keyword is more than white space")
            elif any(len(word) > MAX_KEYWORD for word in words):
                self.fault(node, f"a keyword is longer than {MAX_KEYWORD} characters")
            elif words:
                compile_regex(keywords_as_regex(words))
        except BadPattern as error:
            self.fault(node, f"these keywords cannot be used: {error}")
        return words

    def validate(self, node: yaml.Node) -> str:
        name = self.word(node)
        if name and validator(name) is None:
            self.fault(
                node,
                f"there is no validator `{name}`",
                likely(name, names()) if "phone" not in name else "`phone`, or `phone.FR`",
            )
        return name

    def exceptions(self, node: yaml.Node) -> tuple[Except, ...]:
        nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
        handlers: dict[str, Handler] = {
            "values": self.words,
            "regex": self.regex,
            "keywords": self.keywords,
            "near": self.number("distance", 0, 400),
            "when": self.when,
        }
        found: list[Except] = []
        if not nodes:
            self.fault(node, "an empty `except` takes nothing away", "leave it out")
        for item in nodes:
            said = self.mapping(item, handlers, what="`except`")
            if not {"values", "regex", "keywords"} & said.keys():
                self.fault(
                    item,
                    "an exception names `values`, a `regex` or `keywords` of the finding",
                    "for a context, use `not` in `when`",
                )
            found.append(Except(self.mark(item), **said))
        return tuple(found)

    def regex(self, node: yaml.Node) -> str:
        value = self.word(node)
        if len(value) > MAX_PATTERN:
            self.fault(node, f"the regex is longer than {MAX_PATTERN:,} characters")
        elif value:
            try:
                compile_regex(value)
            except BadPattern as error:
                hint = (
                    "look-around and back-references are not supported; use `except`, `near` or a `not`"
                    if "(?" in str(error)
                    else ""
                )
                self.fault(node, str(error), hint)
        return value
