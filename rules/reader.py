"""YAML text -> RuleFile, or complaints that say line and column: the keys of a file and of a rule."""

import re
from datetime import date, datetime
from typing import get_args

import yaml

from rules.clauses import CONTEXT, WORDS
from rules.complaint import BadRules, Mark, likely
from rules.contents import Contents
from rules.document import NAME, Handler
from rules.exchange import REASONS
from rules.model import (
    Action,
    History,
    Match,
    Mode,
    Override,
    Redact,
    Rule,
    RuleFile,
    Severity,
    Test,
    Threshold,
)

RULE_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,79}")
PLAIN = re.compile(
    r'[^"\\\x00-\x1f]{1,200}'
)  # safe inside a JSON string, and inside JSON inside a JSON string


def read(name: str, text: str) -> RuleFile:
    """The file as written. Raises BadRules with every complaint, not only the first."""
    return _Reader(name, text).file()


def read_detectors(name: str, text: str) -> dict[str, Match]:
    """The shapes that `detector` names. Raises BadRules."""
    return _Reader(name, text).detectors()


class _Reader(Contents):
    # -- the file -----------------------------------------------------------------------------------------------------

    def file(self) -> RuleFile:
        root = self.compose()
        self.read_lists(root)
        values = self.mapping(
            root,
            {
                "earthflow": self.schema,
                "name": self.word,
                "extends": self.extends,
                "lists": lambda node: None,
                "thresholds": self.thresholds,
                "history": self.choice(get_args(History), "history"),
                "rules": self.rules,
                "overrides": self.overrides,
            },
            what="a rule file",
            required=("earthflow",),
        )
        if self.complaints:
            raise BadRules(self.complaints)
        values = {key: value for key, value in values.items() if key not in ("earthflow", "lists")}
        return RuleFile(**{"name": self.name, **values})

    def detectors(self) -> dict[str, Match]:
        values = self.mapping(
            self.compose(),
            {"earthflow": self.schema, "detectors": lambda node: node},
            what="the detectors",
            required=("detectors",),
        )
        handlers = {"regex": self.regex, "message": self.word, **self.checks()}
        found: dict[str, Match] = {}
        for key, node in values["detectors"].value:
            said = self.mapping(node, handlers, what="a detector", required=("regex",))
            said.pop("message", None)
            found[key.value] = Match(self.mark(key), **said)
        if self.complaints:
            raise BadRules(self.complaints)
        return found

    def schema(self, node: yaml.Node) -> None:
        if self.word(node) != "1":
            self.fault(node, "this version reads schema 1 only", "write `earthflow: 1`")

    def extends(self, node: yaml.Node) -> tuple[tuple[str, Mark], ...]:
        return tuple((self.word(item), self.mark(item)) for item in self.items(node, "`extends`"))

    def thresholds(self, node: yaml.Node) -> tuple[tuple[str, Threshold], ...]:
        if not isinstance(node, yaml.MappingNode):
            self.fault(node, "`thresholds` maps names of scores to `{flag: N, block: N}`")
            return ()
        found: list[tuple[str, Threshold]] = []
        points = self.number("threshold", 1, 1000)
        for key, value in node.value:
            said = self.mapping(value, {"flag": points, "block": points}, what="a threshold")
            if not said:
                self.fault(value, "a threshold says `flag`, `block`, or both")
            if said.get("flag", 0) > said.get("block", 1000):
                self.fault(value, "`flag` is above `block`, so it would never be reached")
            if key.value in {name for name, _ in found}:
                self.fault(key, f"threshold `{key.value}` stands twice", "keep one of them")
            found.append(
                (self.score_name(key), Threshold(said.get("flag"), said.get("block"), self.mark(key)))
            )
        return tuple(found)

    def score_name(self, node: yaml.Node) -> str:
        name = self.word(node)
        if name and not NAME.fullmatch(name):
            self.fault(node, f"`{name}` is not a name for a score", "lower-case letters, digits, `_` and `-`")
        return name

    def overrides(self, node: yaml.Node) -> tuple[Override, ...]:
        if not isinstance(node, yaml.MappingNode):
            self.fault(node, "`overrides` maps rule ids or globs to what changes")
            return ()
        handlers: dict[str, Handler] = {
            "action": self.choice(get_args(Action), "action"),
            "mode": self.choice(get_args(Mode), "mode"),
            "severity": self.choice(get_args(Severity), "severity"),
            "priority": self.number("priority", 0, 1000, "a whole number from 0 to 1000; higher wins"),
            "direction": self.choice(WORDS["direction"], "direction"),
        }
        found: dict[str, Override] = {}
        for key, value in node.value:
            glob, changes = self.word(key), self.mapping(value, handlers, what="an override")
            if not changes and isinstance(value, yaml.MappingNode):
                self.fault(value, f"override `{glob}` changes nothing", f"say one of {', '.join(handlers)}")
            if glob in found:
                self.fault(key, f"override `{glob}` stands twice", "keep one of them")
            found[glob] = Override(glob, self.mark(key), tuple(changes.items()))
        return tuple(found.values())

    # -- rules --------------------------------------------------------------------------------------------------------

    def rules(self, node: yaml.Node) -> tuple[Rule, ...]:
        seen: dict[str, Mark] = {}
        rules = []
        for item in self.items(node, "`rules`"):
            rule = self.rule(item)
            if rule is None:
                continue
            if rule.id in seen:
                self.complain(
                    rule.at,
                    f"rule id `{rule.id}` is already used on line {seen[rule.id].line}",
                    "ids are unique",
                )
            seen[rule.id] = rule.at
            rules.append(rule)
        return tuple(rules)

    def rule(self, node: yaml.Node) -> Rule | None:
        before = len(self.complaints)
        values = self.mapping(
            node,
            {
                "id": self.rule_id,
                "message": self.word,
                "severity": self.choice(get_args(Severity), "severity"),
                "action": self.choice(get_args(Action), "action"),
                "mode": self.choice(get_args(Mode), "mode"),
                "priority": self.number("priority", 0, 1000, "a whole number from 0 to 1000; higher wins"),
                "when": self.when,
                "match": self.matches,
                "except": self.exceptions,
                "redact": self.redact,
                "score": self.score,
                "allows": self.words,
                "expires": self.day,
                "tests": self.tests,
                "tags": self.words,
                "links": self.words,
            },
            what="a rule",
            required=("id",),
        )
        if len(self.complaints) > before:
            return None
        at = self.mark(node)
        name, action = values["id"], values.get("action")
        if action is None and "score" not in values:
            self.complain(
                at,
                f"rule `{name}` has neither `action` nor `score`",
                f"`action` is one of {', '.join(get_args(Action))}",
            )
        if "when" not in values and "match" not in values:
            self.complain(at, f"rule `{name}` says neither `when` nor `match`", "it would fire on every call")
        if action == "redact" and "match" not in values:
            self.complain(at, f"rule `{name}` redacts but has no `match` that finds what to redact")
        if "redact" in values and action != "redact":
            self.complain(
                at,
                f"rule `{name}` says how to redact, but its action is another one",
                "write `action: redact`",
            )
        if "except" in values and "match" not in values:
            self.complain(
                at,
                f"rule `{name}` has an `except` but no `match` to make exceptions from",
                "use `not` in `when`",
            )
        if (action == "allow") != ("allows" in values):
            self.complain(at, f"rule `{name}`: `action: allow` and `allows: [rule ids]` belong together")
        if "except" in values:
            values["except_"] = values.pop("except")
        return Rule(at=at, **values)

    def rule_id(self, node: yaml.Node) -> str:
        value = self.word(node)
        if value and not RULE_ID.fullmatch(value):
            self.fault(
                node,
                f"`{value}` is not a rule id",
                "lower-case letters, digits, `.`, `_` and `-`, 80 at most",
            )
        return value

    def redact(self, node: yaml.Node) -> Redact:
        values = self.mapping(node, {"with": self.placeholder, "restore": self.truth}, what="`redact`")
        redact = Redact(**{{"with": "placeholder"}.get(key, key): value for key, value in values.items()})
        if redact.restore and "{hash}" not in redact.placeholder:
            self.fault(
                node, "`restore` needs `{hash}` in the placeholder", "else two values could not be told apart"
            )
        return redact

    def placeholder(self, node: yaml.Node) -> str:
        text = self.word(node)
        if not PLAIN.fullmatch(text) or re.search(r"[{}]", re.sub(r"\{(?:rule|type|hash)\}", "", text)):
            hint = "`{rule}` and `{type}` stand for the rule's id, `{hash}` for eight letters that are the same for the same value"
            self.fault(node, "a placeholder is plain text without quotes or backslashes", hint)
        return text

    def truth(self, node: yaml.Node) -> bool:
        return bool(self.choice(("true", "false"), "truth value")(node) == "true")

    def score(self, node: yaml.Node) -> tuple[tuple[str, int], ...]:
        if not isinstance(node, yaml.MappingNode) or not node.value:
            self.fault(node, "`score` maps names to points", "such as `score: {injection: 2}`")
            return ()
        points = self.number("score", 1, 10)
        return tuple((self.score_name(key), int(points(value))) for key, value in node.value)

    def day(self, node: yaml.Node) -> date | None:
        value = self.word(node)
        try:
            if re.fullmatch(r"\d{4}-\d{2}-\d{2}", value):
                return date.fromisoformat(value)
        except ValueError:
            pass
        self.fault(node, f"`{value}` is not a day", "write year-month-day, such as 2027-03-31")
        return None

    # -- tests --------------------------------------------------------------------------------------------------------

    def tests(self, node: yaml.Node) -> tuple[Test, ...]:
        return tuple(self.test(item) for item in self.items(node, "`tests`"))

    def test(self, node: yaml.Node) -> Test:
        values = self.mapping(
            node, {"match": self.sample, "ok": self.sample, "redacted": self.word}, what="a test"
        )
        if ("match" in values) == ("ok" in values):
            self.fault(node, "a test says either `match` (the rule must fire) or `ok` (it must not)")
        sample = values.get("match", values.get("ok", ""))
        text, context = (sample, ()) if isinstance(sample, str) else (None, sample)
        if "redacted" in values and text is None and "text" not in dict(context):
            self.fault(node, "`redacted` says what becomes of a text, but this test has none")
        return Test("match" in values, self.mark(node), text, context, values.get("redacted"))

    def sample(self, node: yaml.Node) -> str | tuple[tuple[str, str], ...]:
        if not isinstance(node, yaml.MappingNode):
            return self.word(node)
        known = [name for name in CONTEXT if name != "coverage"]  # which follows from `unreadable` and `text`
        handlers: dict[str, Handler] = dict.fromkeys((*known, "text"), self.word)
        handlers |= {
            name: self.choice(words, name)
            for name, words in WORDS.items()
            if name in ("role", "part", "stream")
        }
        handlers |= {
            "size": self.number("size", 0, 10**12),
            "tokens": self.number("number of tokens", 0, 10**6),
        }
        handlers |= {
            "time": self.moment,
            "unreadable": self.reasons,
            "direction": self.choice(WORDS["direction"][:-1], "direction"),
        }
        return tuple(
            (name, str(value))
            for name, value in self.mapping(node, handlers, what="a test's context").items()
        )

    def moment(self, node: yaml.Node) -> str:
        value = self.word(node)
        try:
            datetime.fromisoformat(value)
        except ValueError:
            self.fault(node, f"`{value}` is not a time", "such as 2026-11-23T09:30:00Z")
        return value

    def reasons(self, node: yaml.Node) -> str:
        value = self.word(node)
        for reason in value.split():
            if reason not in REASONS:
                self.fault(node, f"`{reason}` is not a valid unreadable", likely(reason, REASONS))
        return value
