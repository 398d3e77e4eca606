"""Exceptions that are made from a decision: the smallest that takes a rule's finding away there, with tests that prove it.

They stand in a layer of their own for each tenant, a rule file that Earthflow writes, and each names its decision. A value is
never in it, but its hash under the tenant's key; the tests hold made-up values, from the rule's own tests.
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Literal, NamedTuple

from rules.complaint import Mark
from rules.content import hash_of
from rules.found import WITHHELD
from rules.model import Rule, Test
from rules.rulebook import Rulebook
from rules.testing import values_found

# This value where it stood, or anywhere; or all that the rule finds by this tool, on this path, or in this role.
By = Literal["value", "anywhere", "tool", "path", "role"]
INSTEAD = (
    "Choose another kind of exception, or turn the rule down by an override in a layer."
)
TEMPLATE = re.compile(r"\{[^}]*\}")  # in a path, what the audit does not keep
GLOB = re.compile(r"[*?\[]")
NOWHERE = Mark("", 1, 1)
# Tests of a rule that are tried, until one shows the exception.
MOST_TRIED = 20


class Cannot(Exception):
    """There is no such exception; the sentence says why, and what else would do."""


class Place(NamedTuple):
    """Where a finding stood: in a text of this role and kind, of a tool where it was one; in a call to this path."""

    role: str
    kind: str
    tool: str = ""
    path: str = ""


def for_values(
    book: Rulebook, rule: Rule, real: Collection[str], key: bytes, place: Place | None
) -> dict[str, Any]:
    """An exception of these values: in texts of the same role and kind, and of the same tool; without a place wherever they stand.

    Raises Cannot, also where the rule's own tests are about one of them: the rule is for that.
    """
    context = {} if place is None else _said(role=place.role, part=place.kind, tool=place.tool)  # fmt: skip
    if context.get("tool") == WITHHELD:
        raise Cannot("The name of this tool is in no record, since a rule finds something in it; try --for anywhere.")  # fmt: skip
    when = {name: _literally(value) for name, value in context.items()}
    samples = list(_samples(book, rule))
    folded = {value.casefold() for value in real}
    for test, values in samples:
        if _holds(test, when) and folded & {one.casefold() for one in values}:
            raise Cannot(f"The tests of `{rule.id}` are about exactly this: it is what the rule is for. {INSTEAD}")  # fmt: skip
    moved = ((test, _moved(test, context)) for test, _ in samples)
    there = [(test, one, found) for test, one in moved if (found := values_found(book, rule, one))]  # fmt: skip
    for test, there_too, values in there:
        others = next((one for _, one, found in there if not found & values), None)
        if others is None:
            continue
        hashes = {hash_of(one, key) for one in real} | {hash_of(one, b"") for one in values}  # fmt: skip
        tests = [{"ok": _written(there_too)}, {"match": _written(others)}]
        tests += [] if _holds(test, when) else [{"match": _written(test)}]
        made = {"hashes": sorted(hashes), "tests": tests}
        return {**made, "when": when} if when else made
    raise Cannot(f"The tests of `{rule.id}` have no two values that could prove it. {INSTEAD}")  # fmt: skip


def for_place(book: Rulebook, rule: Rule, by: By, place: Place) -> dict[str, Any]:
    """An exception of all that the rule finds by the same tool, on the same path, or in texts of the same role. Raises Cannot."""
    when, context = _when(by, place)
    for test, _ in _samples(book, rule):
        moved = _moved(test, context)
        if not _holds(test, when) and values_found(book, rule, moved):
            tests = [{"ok": _written(moved)}, {"match": _written(test)}]
            return {"when": when, "tests": tests}
    told = ", ".join(f"{name} {value}" for name, value in when.items())
    raise Cannot(
        f"No test of `{rule.id}` shows what would still be found outside of {told}: it would let all pass that the rule is for. {INSTEAD}"
    )


def added(text: str, rule: str, exception: Mapping[str, Any]) -> str:
    """The layer with one more exception of a rule."""
    overrides = _overrides(text)
    overrides.setdefault(rule, {"except": []})["except"].append(dict(exception))
    return _file(overrides)


def removed(text: str, source: str) -> tuple[str, int]:
    """The layer without the exceptions that were made from a decision, and how many those are."""
    kept: dict[str, Any] = {}
    count = 0
    for rule, override in _overrides(text).items():
        stay = [one for one in override["except"] if one["from"] != source]
        count += len(override["except"]) - len(stay)
        if stay:
            kept[rule] = {"except": stay}
    return _file(kept), count


def _when(by: By, place: Place) -> tuple[dict[str, str], dict[str, str]]:
    """The condition of an exception, and the context of a call that it holds for. Raises Cannot."""
    if by == "tool":
        if not place.tool:
            raise Cannot("This finding stands in no call and no result of a tool; try --for value.")  # fmt: skip
        if place.tool == WITHHELD:
            raise Cannot("The name of this tool is in no record, since a rule finds something in it; try --for value.")  # fmt: skip
        context = {"tool": place.tool, "part": place.kind, "role": place.role}
        return {"tool": _literally(place.tool), "part": place.kind}, context
    if by == "role":
        return {"role": place.role}, {"role": place.role, "part": place.kind}
    if not place.path:
        raise Cannot("The path of this call is not known to Earthflow; choose another kind of exception.")  # fmt: skip
    glob = TEMPLATE.sub("*", _literally(place.path))
    return {"path": glob}, {"path": TEMPLATE.sub("x", place.path)}


def _samples(book: Rulebook, rule: Rule) -> Iterator[tuple[Test, frozenset[str]]]:
    """Tests that the rule must match, with the values that it finds there."""
    tried = [one for one in rule.tests if one.must_match][:MOST_TRIED]
    for test in tried:
        if values := values_found(book, rule, test):
            yield test, values


def _holds(test: Test, when: Mapping[str, str]) -> bool:
    """Whether a test stands where an exception is for, so that it cannot show what is left."""
    context = {"role": "user", "part": "text", **_context(test)}
    return all(fnmatchcase(context.get(name, ""), glob) for name, glob in when.items())


def _moved(test: Test, context: Mapping[str, str]) -> Test:
    """The same text in another place."""
    if not context:
        return test
    return Test(True, NOWHERE, None, tuple({**_context(test), **context}.items()))


def _literally(name: str) -> str:
    """A glob for this name alone: clients choose names of tools."""
    return GLOB.sub(r"[\g<0>]", name)


def _said(**fields: str) -> dict[str, str]:
    return {name: value for name, value in fields.items() if value}


def _context(test: Test) -> dict[str, str]:
    said = dict(test.context)
    return said if test.text is None else {"text": test.text, **said}


def _written(test: Test) -> str | dict[str, str]:
    return test.text if test.text is not None else dict(test.context)


def _overrides(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text)["overrides"] if text else {}
    return found


def _file(overrides: Mapping[str, Any]) -> str:
    """A rule file. It is JSON, which YAML reads."""
    if not overrides:
        return ""
    told = {"earthflow": 1, "name": "exceptions", "overrides": overrides}
    return json.dumps(told, indent=1, ensure_ascii=False) + "\n"


def strongest(actions: Sequence[str]) -> str:
    """What follows where rules with these actions are left; what a score came to is a rule of its own."""
    order = ("SCORE", "ALLOW", "FLAG", "REDACT", "BLOCK")
    return max(("ALLOW", *actions), key=order.index)
