"""YAML text -> RuleFile, or complaints that say line and column.

Reads the node tree rather than Python values, so that nothing is guessed (`on`, `no` and `1_0` stay words) and every complaint
has its place. Bounded: 1 MB, 20 levels, no anchors or aliases.
"""

import re
from collections.abc import Callable, Iterator
from datetime import date, datetime
from typing import Any, get_args
from zoneinfo import ZoneInfo

import yaml

from rules.complaint import BadRules, Complaint, Mark, likely
from rules.exchange import REASONS, Coverage, Kind, Role
from rules.model import (
    Action,
    Clause,
    Confidence,
    Except,
    Field,
    Group,
    History,
    Match,
    Matches,
    Mode,
    Override,
    Redact,
    Rule,
    RuleFile,
    Severity,
    Test,
    Threshold,
)
from rules.patterns import BadPattern, compile_regex, keywords_as_regex
from rules.validators import names, validator

MAX_BYTES, MAX_DEPTH = 1_000_000, 20
MAX_PATTERN = 2_048  # characters; compiled size is bounded by RE2 itself
MAX_KEYWORDS, MAX_KEYWORD = 500, 200  # in one list; characters of one
MAX_COMPLAINTS = 100
RULE_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,79}")
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")  # of a list, a score, a detector
PLAIN = re.compile(r'[^"\\\x00-\x1f]{1,200}')  # safe inside a JSON string, and inside JSON inside a JSON string
SIZE = re.compile(r"(<|<=|>|>=)\s*(\d{1,12})\s*(B|KiB|MiB)?")
TOKENS = re.compile(r"(<|<=|>|>=)\s*(\d{1,12})")
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
WINDOW = re.compile(
    rf"(?:({'|'.join(DAYS)})(?:-({'|'.join(DAYS)}))?\s+)?([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]|24):([0-5]\d)(?:\s+([A-Za-z0-9_/+-]+))?"
)

WORDS: dict[str, tuple[str, ...]] = {
    "direction": ("request", "any"),
    "role": get_args(Role),
    "part": get_args(Kind),
    "coverage": get_args(Coverage),
    "unreadable": REASONS,
    "stream": ("true", "false"),
}
GLOBS = ("provider", "model", "host", "path", "method", "tenant", "user", "tool")
CONTEXT = (*WORDS, *GLOBS, "size", "tokens", "time")
CHECKS = ("near", "within", "entropy", "validate", "count")

Handler = Callable[[yaml.Node], Any]


def read(name: str, text: str) -> RuleFile:
    """The file as written. Raises BadRules with every complaint, not only the first."""
    return _Reader(name, text).file()


def read_detectors(name: str, text: str) -> dict[str, Match]:
    """The shapes that `detector` names. Raises BadRules."""
    return _Reader(name, text).detectors()


class _Reader:
    def __init__(self, name: str, text: str):
        self.name, self.text = name, text
        self.lines = text.splitlines()
        self.complaints: list[Complaint] = []
        self.lists: dict[str, tuple[str, ...]] = {}

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
            self.compose(), {"earthflow": self.schema, "detectors": lambda node: node}, what="the detectors", required=("detectors",)
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

    def read_lists(self, root: yaml.Node) -> None:
        """Lists first: rules above them may name them."""
        if not isinstance(root, yaml.MappingNode):
            return
        for key, value in root.value:
            if isinstance(key, yaml.ScalarNode) and key.value == "lists":
                if not isinstance(value, yaml.MappingNode):
                    self.fault(value, "`lists` maps names to lists of values")
                    continue
                for name, members in value.value:
                    if not NAME.fullmatch(str(name.value)):
                        self.fault(name, f"`{name.value}` is not a name for a list", "lower-case letters, digits, `_` and `-`")
                    elif name.value in self.lists:
                        self.fault(name, f"list `{name.value}` stands twice", "keep one of them")
                    self.lists[str(name.value)] = self.words(members)

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
        except yaml.reader.ReaderError as error:
            before = self.text[: int(error.position)]
            at = Mark(self.name, before.count("\n") + 1, len(before) - before.rfind("\n"))
            raise BadRules([Complaint(at, f"not YAML: the character #x{error.character:04x} must not stand here")]) from None
        except (yaml.YAMLError, ValueError, RecursionError) as error:
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
        """One value, or a list of them; `$name` stands for the values of a list."""
        nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
        found: list[str] = []
        for item in nodes:
            word = self.word(item)
            if word.startswith("$") and NAME.fullmatch(word[1:]):
                if word[1:] not in self.lists:
                    self.fault(item, f"there is no list `{word[1:]}`", likely(word[1:], self.lists) if self.lists else "name it in `lists`")
                found.extend(self.lists.get(word[1:], ()))
            else:
                found.append(word)
            if len(found) > MAX_KEYWORDS:
                self.fault(node, f"more than {MAX_KEYWORDS} values", "split them over several rules")
                return ()
        if not found:
            self.fault(node, "an empty list says nothing here")
        return tuple(found)

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

    def number(self, what: str, low: float, high: float, hint: str = "") -> Handler:
        whole = isinstance(low, int)

        def read_number(node: yaml.Node) -> float | int:
            value = self.word(node)
            if not re.fullmatch(r"\d{1,12}" if whole else r"\d{1,3}(?:\.\d{1,3})?", value) or not low <= float(value) <= high:
                self.fault(node, f"`{value}` is not a valid {what}", hint or f"a {'whole ' if whole else ''}number from {low} to {high}")
                return low
            return int(value) if whole else float(value)

        return read_number

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
            found.append((self.score_name(key), Threshold(said.get("flag"), said.get("block"), self.mark(key))))
        return tuple(found)

    def score_name(self, node: yaml.Node) -> str:
        name = self.word(node)
        if name and not NAME.fullmatch(name):
            self.fault(node, f"`{name}` is not a name for a score", "lower-case letters, digits, `_` and `-`")
        return name

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
            self.complain(at, f"rule `{name}` has neither `action` nor `score`", f"`action` is one of {', '.join(get_args(Action))}")
        if "when" not in values and "match" not in values:
            self.complain(at, f"rule `{name}` says neither `when` nor `match`", "it would fire on every call")
        if action == "redact" and "match" not in values:
            self.complain(at, f"rule `{name}` redacts but has no `match` that finds what to redact")
        if "redact" in values and action != "redact":
            self.complain(at, f"rule `{name}` says how to redact, but its action is another one", "write `action: redact`")
        if "except" in values and "match" not in values:
            self.complain(at, f"rule `{name}` has an `except` but no `match` to make exceptions from", "use `not` in `when`")
        if (action == "allow") != ("allows" in values):
            self.complain(at, f"rule `{name}`: `action: allow` and `allows: [rule ids]` belong together")
        if "except" in values:
            values["except_"] = values.pop("except")
        return Rule(at=at, **values)

    def rule_id(self, node: yaml.Node) -> str:
        value = self.word(node)
        if value and not RULE_ID.fullmatch(value):
            self.fault(node, f"`{value}` is not a rule id", "lower-case letters, digits, `.`, `_` and `-`, 80 at most")
        return value

    def redact(self, node: yaml.Node) -> Redact:
        values = self.mapping(node, {"with": self.placeholder, "restore": self.truth}, what="`redact`")
        redact = Redact(**{{"with": "placeholder"}.get(key, key): value for key, value in values.items()})
        if redact.restore and "{hash}" not in redact.placeholder:
            self.fault(node, "`restore` needs `{hash}` in the placeholder", "else two values could not be told apart")
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

    # -- matches ------------------------------------------------------------------------------------------------------

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
            self.complain(match.at, "an `all` that only says what must not stand there finds nothing", "add what must stand there")
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
        values = self.mapping(node, {**handlers, "all": self.word, "any": self.word, "not": self.word}, what="`match`")
        if sum(key in values for key in ("regex", "keywords", "detector")) != 1:
            self.fault(node, "a match is one of `regex`, `keywords` or `detector`", "several matches form a list; any of them is enough")
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
            self.fault(node, f"there is no validator `{name}`", likely(name, names()) if "phone" not in name else "`phone`, or `phone.FR`")
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
                    item, "an exception names `values`, a `regex` or `keywords` of the finding", "for a context, use `not` in `when`"
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
                hint = "look-around and back-references are not supported; use `except`, `near` or a `not`" if "(?" in str(error) else ""
                self.fault(node, str(error), hint)
        return value

    def overrides(self, node: yaml.Node) -> tuple[Override, ...]:
        if not isinstance(node, yaml.MappingNode):
            self.fault(node, "`overrides` maps rule ids or globs to what changes")
            return ()
        handlers: dict[str, Handler] = {
            "action": self.choice(get_args(Action), "action"),
            "mode": self.choice(get_args(Mode), "mode"),
            "severity": self.choice(get_args(Severity), "severity"),
            "priority": self.number("priority", 0, 1000, "a whole number from 0 to 1000; higher wins"),
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

    # -- conditions ---------------------------------------------------------------------------------------------------

    def when(self, node: yaml.Node) -> Clause:
        """A mapping of fields, all of which must hold; `any`, `all` and `not` nest."""
        if not isinstance(node, yaml.MappingNode):
            self.fault(node, "`when` must be a mapping of fields to what they may hold")
            return Group("all", ())
        clauses: list[Clause] = []
        if not node.value:
            self.fault(node, "an empty `when` holds for every call", "name a field, or leave `when` out")
        seen: set[str] = set()
        for key_node, value_node in node.value:
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else "?"
            if key in seen:
                self.fault(key_node, f"key `{key}` stands twice in `when`", "give it a list of values, or use `all`")
            seen.add(key)
            if key in ("any", "all"):
                members = tuple(self.when(item) for item in self.items(value_node, f"`{key}`"))
                if not members:
                    self.fault(value_node, f"an empty `{key}` says nothing")
                clauses.append(Group("any" if key == "any" else "all", members))
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
        if name == "tokens" and (len(values) != 1 or not TOKENS.fullmatch(values[0])):
            self.fault(value_node, "`tokens` takes one comparison", 'such as "> 100000"')
        if name == "time":
            for value in values:
                self.window(value_node, value)
        for value in values:
            if name in WORDS and value not in WORDS[name]:
                hint = likely(value, WORDS[name])
                if name == "direction":
                    hint = "this version judges requests only; answers pass unjudged and are recorded so"
                self.fault(value_node, f"`{value}` is not a valid {name}", hint)
        return Field(name, values, self.mark(key_node))

    def window(self, node: yaml.Node, value: str) -> None:
        parsed = WINDOW.fullmatch(value)
        if parsed is None or (parsed[5] == "24" and parsed[6] != "00"):
            self.fault(node, f"`{value}` is not a time window", 'such as "Mon-Fri 08:00-18:00 Europe/Paris"; without a zone it is UTC')
            return
        try:
            ZoneInfo(parsed[7] or "UTC")
        except (KeyError, ValueError, OSError):
            self.fault(node, f"there is no time zone `{parsed[7]}`", "such as Europe/Paris, Africa/Algiers or UTC")

    # -- tests --------------------------------------------------------------------------------------------------------

    def tests(self, node: yaml.Node) -> tuple[Test, ...]:
        return tuple(self.test(item) for item in self.items(node, "`tests`"))

    def test(self, node: yaml.Node) -> Test:
        values = self.mapping(node, {"match": self.sample, "ok": self.sample, "redacted": self.word}, what="a test")
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
        handlers |= {name: self.choice(words, name) for name, words in WORDS.items() if name in ("role", "part", "stream")}
        handlers |= {"size": self.number("size", 0, 10**12), "tokens": self.number("number of tokens", 0, 10**6)}
        handlers |= {"time": self.moment, "unreadable": self.reasons, "direction": self.choice(("request",), "direction")}
        return tuple((name, str(value)) for name, value in self.mapping(node, handlers, what="a test's context").items())

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
