"""Reads `rules`: each rule with its keys, and which of them belong together."""

import re
from datetime import date
from typing import Any, get_args

import yaml

from rules.complaint import Mark
from rules.model import (
    KNOWN,
    PLACEHOLDER,
    Action,
    Head,
    Mode,
    Redact,
    Restore,
    Rule,
    Severity,
    tests_of,
)
from rules.source.document import NAME, Document
from rules.source.matches import MatchReader
from rules.source.proofs import TestReader
from rules.source.when import WhenReader

RULE_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,79}")
# Safe inside a JSON string, and inside JSON inside a JSON string.
PLAIN = re.compile(r'[^"\\\x00-\x1f]{1,200}')


class RuleReader:
    """Reads rules; complaints go to the document."""

    def __init__(self, document: Document, matches: MatchReader, when: WhenReader):
        self._document, self._matches, self._when = document, matches, when
        self._tests = TestReader(document)

    def rules(self, node: yaml.Node) -> tuple[Rule, ...]:
        """A list of rules; their ids are unique in the file."""
        seen: dict[str, Mark] = {}
        rules = []
        for item in self._document.items(node, "`rules`"):
            rule = self._rule(item)
            if rule is None:
                continue
            if rule.id in seen:
                self._document.complain(
                    rule.at,
                    f"rule id `{rule.id}` is already used on line {seen[rule.id].line}",
                    "ids are unique",
                )
            seen[rule.id] = rule.at
            rules.append(rule)
        return tuple(rules)

    def _rule(self, node: yaml.Node) -> Rule | None:
        before = len(self._document.complaints)
        values = self._document.mapping(
            node,
            {
                "id": self._rule_id,
                "message": self._document.word,
                "severity": self._document.choice(get_args(Severity), "severity"),
                "action": self._document.choice(get_args(Action), "action"),
                "mode": self._document.choice(get_args(Mode), "mode"),
                "priority": self._document.number(
                    "priority", 0, 1000, "a whole number from 0 to 1000; higher wins"
                ),
                "when": self._when.when,
                "match": self._matches.matches,
                "except": self._matches.exceptions,
                "redact": self._redact,
                "head": self._document.choice(get_args(Head), "head"),
                "score": self._score,
                "allows": self._document.words,
                "expires": self._day,
                "tests": self._tests.tests,
                "tags": self._document.words,
                "links": self._document.words,
            },
            what="a rule",
            required=("id",),
        )
        if len(self._document.complaints) > before:
            return None
        at = self._document.mark(node)
        redact, restore = values.pop("redact", (None, None))
        if redact is not None:
            values |= {"redact": redact, "restore": restore}
        self._check(values, at)
        if "except" in values:
            values["except_"] = exceptions = values.pop("except")
            values["tests"] = (*values.get("tests", ()), *tests_of(exceptions))
        return Rule(at=at, **values)

    def _check(self, values: dict[str, Any], at: Mark) -> None:
        """Complain of keys that do not belong together."""
        name, action = values["id"], values.get("action")
        if action is None and "score" not in values:
            self._document.complain(
                at,
                f"rule `{name}` has neither `action` nor `score`",
                f"`action` is one of {', '.join(get_args(Action))}",
            )
        if "when" not in values and "match" not in values:
            self._document.complain(
                at,
                f"rule `{name}` says neither `when` nor `match`",
                "it would fire on every call",
            )
        if action == "redact" and "match" not in values:
            self._document.complain(
                at,
                f"rule `{name}` redacts but has no `match` that finds what to redact",
            )
        if "redact" in values and action != "redact":
            self._document.complain(
                at,
                f"rule `{name}` says how to redact, but its action is another one",
                "write `action: redact`",
            )
        if "except" in values and "match" not in values:
            self._document.complain(
                at,
                f"rule `{name}` has an `except` but no `match` to make exceptions from",
                "use `not` in `when`",
            )
        if (action == "allow") != ("allows" in values):
            self._document.complain(
                at,
                f"rule `{name}`: `action: allow` and `allows: [rule ids]` belong together",
            )

    def _rule_id(self, node: yaml.Node) -> str:
        value = self._document.word(node)
        if value and not RULE_ID.fullmatch(value):
            self._document.fault(
                node,
                f"`{value}` is not a rule id",
                "lower-case letters, digits, `.`, `_` and `-`, 80 at most",
            )
        if value.startswith(KNOWN):
            self._document.fault(
                node,
                f"`{value}` would be the rule of a known value",
                "`earthflow secrets add` adds one; give a rule another id",
            )
        return value

    def _redact(self, node: yaml.Node) -> tuple[Redact, Restore | None]:
        values = self._document.mapping(
            node, {"with": self._placeholder, "restore": self._restore}, what="`redact`"
        )
        redact = Redact(values.get("with", PLACEHOLDER))
        restore: Restore | None = values.get("restore")
        if restore not in (None, "none") and "{hash}" not in redact.placeholder:
            self._document.fault(
                node,
                "`restore` needs `{hash}` in the placeholder",
                "else two values could not be told apart",
            )
        return redact, restore

    def _placeholder(self, node: yaml.Node) -> str:
        text = self._document.word(node)
        if not PLAIN.fullmatch(text) or re.search(
            r"[{}]", re.sub(r"\{(?:rule|type|hash)\}", "", text)
        ):
            hint = "`{rule}` and `{type}` stand for the rule's id, `{hash}` for eight letters that are the same for the same value"
            self._document.fault(
                node, "a placeholder is plain text without quotes or backslashes", hint
            )
        return text

    def _restore(self, node: yaml.Node) -> Restore:
        """`true` and `false` are what earlier rule files say."""
        before: dict[str, Restore] = {"true": "files", "false": "none"}
        words = (*get_args(Restore), *before)
        word: Any = self._document.choice(words, "restore")(node)
        restore: Restore = before.get(word, word)
        return restore

    def _score(self, node: yaml.Node) -> tuple[tuple[str, int], ...]:
        if not isinstance(node, yaml.MappingNode) or not node.value:
            self._document.fault(
                node, "`score` maps names to points", "such as `score: {injection: 2}`"
            )
            return ()
        points = self._document.number("score", 1, 10)
        return tuple(
            (score_name(self._document, key), int(points(value)))
            for key, value in node.value
        )

    def _day(self, node: yaml.Node) -> date | None:
        value = self._document.word(node)
        try:
            if re.fullmatch(r"\d{4}-\d{2}-\d{2}", value):
                return date.fromisoformat(value)
        except ValueError:
            pass
        self._document.fault(
            node, f"`{value}` is not a day", "write year-month-day, such as 2027-03-31"
        )
        return None


def score_name(document: Document, node: yaml.Node) -> str:
    """The name of a score."""
    name = document.word(node)
    if name and not NAME.fullmatch(name):
        document.fault(
            node,
            f"`{name}` is not a name for a score",
            "lower-case letters, digits, `_` and `-`",
        )
    return name
