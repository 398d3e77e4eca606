"""YAML text -> RuleFile, or complaints that say line and column.

Reads the node tree rather than Python values, so that nothing is guessed (`on`, `no` and `1_0` stay words) and every complaint
has its place. Bounded: 1 MB, 20 levels, no anchors or aliases.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any, get_args

import yaml

from rules.complaint import BadRules, Complaint, Mark, likely
from rules.exchange import REASONS, Coverage, Kind, Role
from rules.model import PLACEHOLDER, Action, Clause, Field, Group, Match, Mode, Override, Rule, RuleFile, Severity, Test

MAX_BYTES, MAX_DEPTH = 1_000_000, 20
MAX_PATTERN = 2_048  # characters; compiled size is bounded by RE2 itself
RULE_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,79}")
PLAIN = re.compile(r'[^"\\\x00-\x1f]{1,200}')  # safe inside a JSON string, and inside JSON inside a JSON string
SIZE = re.compile(r"(<|<=|>|>=)\s*(\d{1,12})\s*(B|KiB|MiB)?")

WORDS: dict[str, tuple[str, ...]] = {
    "direction": ("request",),
    "role": get_args(Role),
    "part": get_args(Kind),
    "coverage": get_args(Coverage),
    "unreadable": REASONS,
    "stream": ("true", "false"),
}
GLOBS = ("provider", "model", "host", "path", "method", "tenant")
CONTEXT = (*WORDS, *GLOBS, "size")

Handler = Callable[[yaml.Node], Any]


def read(name: str, text: str) -> RuleFile:
    """The file as written. Raises BadRules with every complaint, not only the first."""
    return _Reader(name, text).file()


class _Reader:
    def __init__(self, name: str, text: str):
        self.name, self.text = name, text
        self.lines = text.splitlines()
        self.complaints: list[Complaint] = []

    # -- complaints ---------------------------------------------------------------------------------------------------

    def mark(self, node: yaml.Node | yaml.Event) -> Mark:
        start, end = node.start_mark, node.end_mark
        assert start is not None and end is not None
        length = end.column - start.column if end.line == start.line else 1
        return Mark(self.name, start.line + 1, start.column + 1, length)

    def complain(self, at: Mark, message: str, help: str = "") -> None:
        source = self.lines[at.line - 1] if at.line <= len(self.lines) else ""
        self.complaints.append(Complaint(at, message, help, source[:200]))

    def fault(self, node: yaml.Node, message: str, help: str = "") -> None:
        self.complain(self.mark(node), message, help)

    # -- the tree -----------------------------------------------------------------------------------------------------

    def file(self) -> RuleFile:
        root = self.compose()
        values = self.mapping(
            root,
            {
                "earthflow": self.schema,
                "name": self.word,
                "extends": self.extends,
                "rules": self.rules,
                "overrides": self.overrides,
            },
            what="a rule file",
            required=("earthflow",),
        )
        if self.complaints:
            raise BadRules(self.complaints)
        return RuleFile(values.get("name", self.name), values.get("extends", ()), values.get("rules", ()), values.get("overrides", ()))

    def compose(self) -> yaml.Node:
        """The node tree, once its size and depth are known to be small."""
        start = Mark(self.name, 1, 1)
        if len(self.text) > MAX_BYTES:
            raise BadRules([Complaint(start, f"the file is larger than {MAX_BYTES:,} bytes", "split it into several files")])
        depth = 0
        try:
            for event in yaml.parse(self.text, Loader=yaml.CSafeLoader):
                at = self.mark(event)
                if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
                    self.complain(at, "anchors and aliases are not supported", "write the value out where it is used")
                    raise BadRules(self.complaints)
                depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
                if depth > MAX_DEPTH:
                    self.complain(at, f"nested deeper than {MAX_DEPTH} levels")
                    raise BadRules(self.complaints)
            root = yaml.compose(self.text, Loader=yaml.CSafeLoader)
        except yaml.MarkedYAMLError as error:
            if (mark := error.problem_mark or error.context_mark) is not None:
                start = Mark(self.name, mark.line + 1, mark.column + 1)
            self.complain(start, f"not YAML: {error.problem or error.context}")
            raise BadRules(self.complaints) from None
        except (yaml.YAMLError, ValueError) as error:
            raise BadRules([Complaint(start, f"not YAML: {error}")]) from None
        if root is None:
            raise BadRules([Complaint(start, "the file is empty", "a rule file begins with `earthflow: 1`")])
        return root

    def mapping(self, node: yaml.Node, handlers: dict[str, Handler], *, what: str, required: tuple[str, ...] = ()) -> dict[str, Any]:
        """The mapping's values, each read by the handler of its key; unknown, double and missing keys are complaints."""
        if not isinstance(node, yaml.MappingNode):
            self.fault(node, f"{what} must be a mapping of keys to values")
            return {}
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else "?"
            if key not in handlers:
                self.fault(key_node, f"unknown key `{key}` in {what}", likely(key, handlers))
            elif key in values:
                self.fault(key_node, f"key `{key}` stands twice in {what}", "keep one of them")
            else:
                values[key] = handlers[key](value_node)
        for key in required:
            if key not in values:
                self.fault(node, f"{what} needs the key `{key}`")
        return values

    # -- values -------------------------------------------------------------------------------------------------------

    def word(self, node: yaml.Node) -> str:
        if not isinstance(node, yaml.ScalarNode) or not node.value:
            self.fault(node, "expected one value here")
            return ""
        return str(node.value)

    def words(self, node: yaml.Node) -> tuple[str, ...]:
        """One value, or a list of them."""
        nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
        return tuple(self.word(item) for item in nodes)

    def items(self, node: yaml.Node, what: str) -> Iterator[yaml.Node]:
        if isinstance(node, yaml.SequenceNode):
            yield from node.value
        else:
            self.fault(node, f"{what} must be a list")

    def choice(self, known: tuple[str, ...], what: str) -> Handler:
        def read_choice(node: yaml.Node) -> str:
            value = self.word(node)
            if value and value not in known:
                self.fault(node, f"`{value}` is not a valid {what}", likely(value, known))
            return value

        return read_choice

    def schema(self, node: yaml.Node) -> None:
        if self.word(node) != "1":
            self.fault(node, "this version reads schema 1 only", "write `earthflow: 1`")

    def priority(self, node: yaml.Node) -> int:
        value = self.word(node)
        if not re.fullmatch(r"\d{1,4}", value) or int(value) > 1000:
            self.fault(node, f"`{value}` is not a priority", "a whole number from 0 to 1000; higher wins")
            return 0
        return int(value)

    def extends(self, node: yaml.Node) -> tuple[tuple[str, Mark], ...]:
        return tuple((self.word(item), self.mark(item)) for item in self.items(node, "`extends`"))

    # -- rules --------------------------------------------------------------------------------------------------------

    def rules(self, node: yaml.Node) -> tuple[Rule, ...]:
        seen: dict[str, Mark] = {}
        rules = []
        for item in self.items(node, "`rules`"):
            rule = self.rule(item)
            if rule is None:
                continue
            if rule.id in seen:
                self.complain(rule.at, f"rule id `{rule.id}` is already used on line {seen[rule.id].line}", "ids are unique")
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
                "priority": self.priority,
                "when": self.when,
                "match": self.matches,
                "redact": self.redact,
                "allows": self.words,
                "tests": self.tests,
                "tags": self.words,
                "links": self.words,
            },
            what="a rule",
            required=("id", "action"),
        )
        if len(self.complaints) > before:
            return None
        at = self.mark(node)
        if "when" not in values and "match" not in values:
            self.complain(at, f"rule `{values['id']}` says neither `when` nor `match`", "it would fire on every call")
        if values["action"] == "redact" and "match" not in values:
            self.complain(at, f"rule `{values['id']}` redacts but has no `match` that finds what to redact")
        if (values["action"] == "allow") != ("allows" in values):
            self.complain(at, f"rule `{values['id']}`: `action: allow` and `allows: [rule ids]` belong together")
        if "redact" in values:
            values["placeholder"] = values.pop("redact")
        return Rule(at=at, **values)

    def rule_id(self, node: yaml.Node) -> str:
        value = self.word(node)
        if value and not RULE_ID.fullmatch(value):
            self.fault(node, f"`{value}` is not a rule id", "lower-case letters, digits, `.`, `_` and `-`, 80 at most")
        return value

    def redact(self, node: yaml.Node) -> str:
        values = self.mapping(node, {"with": self.word}, what="`redact`", required=("with",))
        text: str = values.get("with", PLACEHOLDER)
        if not PLAIN.fullmatch(text) or re.search(r"[{}]", text.replace("{rule}", "")):
            self.fault(node, "a placeholder is plain text without quotes or backslashes", "`{rule}` stands for the rule's id")
        return text

    def matches(self, node: yaml.Node) -> tuple[Match, ...]:
        nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
        return tuple(self.match(item) for item in nodes)

    def match(self, node: yaml.Node) -> Match:
        values = self.mapping(node, {"regex": self.regex, "keywords": self.words}, what="`match`")
        if len(values) != 1:
            self.fault(node, "a match is one of `regex` or `keywords`", "several matches form a list; any of them is enough")
        return Match(self.mark(node), **values)

    def regex(self, node: yaml.Node) -> str:
        value = self.word(node)
        if len(value) > MAX_PATTERN:
            self.fault(node, f"the regex is longer than {MAX_PATTERN:,} characters")
        return value

    def overrides(self, node: yaml.Node) -> tuple[Override, ...]:
        if not isinstance(node, yaml.MappingNode):
            self.fault(node, "`overrides` maps rule ids or globs to what changes")
            return ()
        handlers: dict[str, Handler] = {
            "action": self.choice(get_args(Action), "action"),
            "mode": self.choice(get_args(Mode), "mode"),
            "severity": self.choice(get_args(Severity), "severity"),
            "priority": self.priority,
        }
        return tuple(
            Override(self.word(key), self.mark(key), tuple(self.mapping(value, handlers, what="an override").items()))
            for key, value in node.value
        )

    # -- conditions ---------------------------------------------------------------------------------------------------

    def when(self, node: yaml.Node) -> Clause:
        """A mapping of fields, all of which must hold; `any`, `all` and `not` nest."""
        if not isinstance(node, yaml.MappingNode):
            self.fault(node, "`when` must be a mapping of fields to what they may hold")
            return Group("all", ())
        clauses: list[Clause] = []
        for key_node, value_node in node.value:
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else "?"
            if key in ("any", "all"):
                clauses.append(
                    Group("any" if key == "any" else "all", tuple(self.when(item) for item in self.items(value_node, f"`{key}`")))
                )
            elif key == "not":
                clauses.append(Group("not", (self.when(value_node),)))
            elif key in CONTEXT:
                clauses.append(self.field(key, key_node, value_node))
            else:
                self.fault(key_node, f"unknown field `{key}` in `when`", likely(key, (*CONTEXT, "any", "all", "not")))
        return Group("all", tuple(clauses))

    def field(self, name: str, key_node: yaml.Node, value_node: yaml.Node) -> Field:
        values = self.words(value_node)
        if name == "size" and (len(values) != 1 or not SIZE.fullmatch(values[0])):
            self.fault(value_node, "`size` takes one comparison", 'such as "> 64KiB"')
        for value in values:
            if name in WORDS and value not in WORDS[name]:
                hint = likely(value, WORDS[name])
                if name == "direction":
                    hint = "this version judges requests only; answers pass unjudged and are recorded so"
                self.fault(value_node, f"`{value}` is not a valid {name}", hint)
        return Field(name, values, self.mark(key_node))

    # -- tests --------------------------------------------------------------------------------------------------------

    def tests(self, node: yaml.Node) -> tuple[Test, ...]:
        return tuple(self.test(item) for item in self.items(node, "`tests`"))

    def test(self, node: yaml.Node) -> Test:
        values = self.mapping(node, {"match": self.sample, "ok": self.sample, "redacted": self.word}, what="a test")
        if ("match" in values) == ("ok" in values):
            self.fault(node, "a test says either `match` (the rule must fire) or `ok` (it must not)")
        sample = values.get("match", values.get("ok", ""))
        text, context = (sample, ()) if isinstance(sample, str) else (None, sample)
        return Test("match" in values, self.mark(node), text, context, values.get("redacted"))

    def sample(self, node: yaml.Node) -> str | tuple[tuple[str, str], ...]:
        if isinstance(node, yaml.MappingNode):
            handlers: dict[str, Handler] = dict.fromkeys((*CONTEXT, "text"), self.word)
            return tuple(self.mapping(node, handlers, what="a test's context").items())
        return self.word(node)
