"""Run the tests written in rules. A rule that ships with Earthflow must bring both kinds: what it matches, what it leaves alone."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from rules.evaluate import evaluate, redactions
from rules.exchange import Exchange, Part
from rules.load import Rulebook, assemble, build
from rules.model import Rule, Test
from rules.redact import splice


@dataclass(frozen=True, slots=True)
class Result:
    """One test of one rule; `why` is empty where it passed."""

    rule: str
    test: Test
    why: str = ""


def run(preset: str, sources: Mapping[str, str]) -> list[Result]:
    """Every test of every rule of a preset, each run against the whole rulebook. Raises BadRules."""
    rules, _ = assemble(preset, sources)
    book = build(preset, sources)
    return [Result(rule.id, test, _why(book, rule, test)) for rule in rules if rule.mode != "off" for test in rule.tests]


def unproven(preset: str, sources: Mapping[str, str]) -> list[str]:
    """Ids of rules that lack a `match` or an `ok` test."""
    rules, _ = assemble(preset, sources)
    return [rule.id for rule in rules if {test.must_match for test in rule.tests} != {True, False}]


def _why(book: Rulebook, rule: Rule, test: Test) -> str:
    exchange = _exchange(rule, test)
    mine = [one for one in evaluate(book, exchange).fired if one.judge.id == rule.id]
    if bool(mine) != test.must_match:
        return "did not fire" if test.must_match else "fired"
    if test.redacted is not None:
        body = json.dumps(test.text, ensure_ascii=False).encode()
        became = json.loads(splice(body, redactions(mine, exchange)))
        if became != test.redacted:
            return f"became {became!r}, not {test.redacted!r}"
    return ""


def _exchange(rule: Rule, test: Test) -> Exchange:
    """A call made of the test's text and context; by default a user's text, to a rule that asks for nothing else."""
    context = dict(test.context)
    text = context.pop("text", test.text)
    part = Part(text or "", "user", "text", 0)
    if "role" in context or "part" in context:
        part = replace(part, role=context.pop("role", "user"), kind=context.pop("part", "text"))  # type: ignore[arg-type]
    values: dict[str, Any] = dict(_typed(context))
    return Exchange(parts=(part,) if text is not None else (), **values)


def _typed(context: dict[str, str]) -> Iterator[tuple[str, Any]]:
    known = {field.name for field in fields(Exchange)}
    for name, value in context.items():
        if name == "unreadable":
            yield name, tuple(value.split())
        elif name == "size":
            yield name, int(value)
        elif name == "stream":
            yield name, value == "true"
        elif name in known:
            yield name, value
