"""A file of tenants, as `earthflow apply` takes it: YAML, or JSON such as GET /v1/tenants gives.

What a tenant may have is checked by control, which knows; here only that the file can be read, that nothing stands twice,
and that no name is one that nobody knows.
"""

import json
import re
from typing import Any

import yaml

# Bytes: some 100,000 tenants; and of YAML, which takes ten seconds for as many.
MOST_BYTES, MOST_YAML = 32 * 1024 * 1024, 2 * 1024 * 1024
MOST_DEPTH = 10
FIELDS = frozenset(
    (
        "id",
        "name",
        "rules_preset",
        "unknown_hosts",
        "max_requests_per_minute",
        "max_tokens_per_day",
        "retention_days",
        "labels",
        "keys",
        "webhooks",
        "webhook",
    )
)
# What an export has besides: keys are ids there, whose secrets nobody has.
EXPORTED = frozenset(("created_at", "deleted_at"))
RULES = {"version", "presets", "files"}  # of GET /v1/rules


class BadFile(ValueError):
    """The file cannot be applied; the sentence says where, and why."""


class ExportOfRules(BadFile):
    """The file is one of GET /v1/rules; `files` are the rule files in it."""

    def __init__(self, files: dict[str, str]):
        super().__init__("this is an export of rules, which are files")
        self.files = files


class _Loader(yaml.CSafeLoader):
    """Refuses a name that stands twice."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                line = node.start_mark.line + 1
                raise BadFile(f"line {line}: a name is one word")
            if key.value in seen:
                line = key.start_mark.line + 1
                raise BadFile(f"line {line}: {str(key.value)[:50]} stands twice")
            seen.add(key.value)
        return super().construct_mapping(node, deep)


# Times, yes and no, and all numbers but plain ones stay words: a name may be `on`, a label 2026-01-01 or 010.
_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _letters in (
    ("null", r"null|~|", ["n", "~", ""]),
    ("int", r"-?(0|[1-9][0-9]*)", list("-0123456789")),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(rf"(?:{_pattern})\Z"), _letters
    )


def read_tenants(content: bytes) -> list[dict[str, Any]]:
    """What is wanted of each tenant. Raises BadFile."""
    if len(content) > MOST_BYTES:
        raise BadFile(f"it is larger than {MOST_BYTES:,} bytes; split it")
    if content.lstrip()[:1] == b"{" and (read := _json(content)) is not None:
        return _tenants(read)
    if len(content) > MOST_YAML:
        raise BadFile(f"it has more than {MOST_YAML:,} bytes of YAML; JSON may have {MOST_BYTES:,}")  # fmt: skip
    try:
        text = content.decode()
        _check(text)
        read = yaml.load(text, Loader=_Loader)  # noqa: S506  (a safe one)
    except UnicodeDecodeError:
        raise BadFile("it is not UTF-8") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f"line {mark.line + 1}: " if mark else ""
        raise BadFile(f"{line}{error.problem or error.context}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        if isinstance(error, BadFile):
            raise
        raise BadFile("it is no YAML") from None
    return _tenants(read)


def _json(content: bytes) -> object:
    """The content as JSON, which is read much faster; None where it is none, and may be YAML. Raises BadFile."""
    try:
        return json.loads(content, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        if isinstance(error, BadFile):
            raise
        return None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise BadFile(f"{twice[:50]} stands twice")
    return found


def _check(text: str) -> None:
    """Raises BadFile for aliases, by which a small file can grow, and for what is nested deeper than any tenant."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        at = f"line {event.start_mark.line + 1}: " if event.start_mark else ""
        if isinstance(event, yaml.AliasEvent):
            raise BadFile(f"{at}write it out; aliases are not read")
        if getattr(event, "tag", None) is not None:
            raise BadFile(f"{at}write it without a tag such as !!binary")
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > MOST_DEPTH:
            raise BadFile(f"{at}it is nested too deep")


def _tenants(read: object) -> list[dict[str, Any]]:
    if isinstance(read, dict) and read.keys() >= RULES:
        files = read["files"]
        raise ExportOfRules(files if isinstance(files, dict) else {})
    if not isinstance(read, dict) or not isinstance(read.get("tenants"), list):
        raise BadFile("it has no list of `tenants`")
    for name in read.keys() - {"tenants", "earthflow", "next"}:
        raise BadFile(f"it has `{str(name)[:50]}`, which nobody knows")
    seen: set[str] = set()
    wanted = []
    for number, one in enumerate(read["tenants"], 1):
        if not isinstance(one, dict) or "id" not in one:
            raise BadFile(f"tenant {number} has no id")
        if not isinstance(one["id"], str):
            raise BadFile(f"tenant {number} has an id that is no text; put it in quotes")  # fmt: skip
        id = one["id"]
        if id in seen:
            raise BadFile(f"the id {id[:63]} stands twice")
        seen.add(id)
        for name in one.keys() - FIELDS - EXPORTED:
            raise BadFile(f"tenant {id[:63]} has `{str(name)[:50]}`, which nobody knows")  # fmt: skip
        if one.get("deleted_at") is None:
            wanted.append(_wanted(one))
    return wanted


def _text(value: object) -> object:
    """A plain number as text; true and false are JSON's, and stay."""
    plain = isinstance(value, int) and not isinstance(value, bool)
    return str(value) if plain else value


def _wanted(one: dict[str, Any]) -> dict[str, Any]:
    exported = bool(one.keys() & EXPORTED)
    left_out = EXPORTED | ({"keys"} if exported else set())
    told = {name: value for name, value in one.items() if name not in left_out}
    labels = told.get("labels")
    if isinstance(labels, dict):  # a number without quotes is meant as text there
        told["labels"] = {str(name): _text(value) for name, value in labels.items()}
    return told
