"""Runs the tests that are written in rules.

A shipped rule must have both kinds: what it matches, and what it leaves alone.
"""

import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any

from rules.case import redactions
from rules.condition import said_of
from rules.content import patterns_of
from rules.evaluate import evaluate
from rules.exchange import CHARACTERS_PER_TOKEN, Exchange, Part
from rules.load import Library
from rules.model import Rule, Test
from rules.redact import StandIns, merged, splice
from rules.rulebook import Rulebook

ENOUGH = 3  # tests of either kind that a shipped rule must have


@dataclass(frozen=True, slots=True)
class Result:
    """The result of one test; `why` is empty where it passed."""

    rule: Rule
    test: Test
    why: str = ""


def run(
    library: Library,
    preset: str,
    tenant: str = "",
    only: str = "*",
    files: Collection[str] | None = None,
) -> Iterator[Result]:
    """Run every test of the rules whose ids match `only` (those that stand in `files`), against the whole rulebook.

    Raises BadRules.
    """
    book = library.rulebook(preset, tenant)
    for rule in library.written.assemble(preset, tenant).rules.values():
        if rule.mode != "off" and fnmatchcase(rule.id, only):
            for test in rule.tests:
                if files is None or test.at.file in files:
                    yield Result(rule, test, _why(book, rule, test))


def unproven(rules: Iterable[Rule]) -> list[str]:
    """Ids of rules that have too few tests of either kind."""
    kinds = {rule.id: Counter(test.must_match for test in rule.tests) for rule in rules}
    return [
        name for name, count in kinds.items() if min(count[True], count[False]) < ENOUGH
    ]


def proven(library: Library, presets: Iterable[str]) -> Library:
    """The library, or one that leaves to RE2 what hyperscan misses in the rules' own
    tests.
    """
    missed: set[str] = set()
    for preset in presets:
        whole = library.rulebook(preset)
        rules = library.written.assemble(preset).rules
        for book, rule in (
            (one, rule)
            for one in (whole, whole.answers)
            if one is not None
            for rule in one.rules
        ):
            patterns = (
                sorted(patterns_of(rule.content)) if rule.content is not None else []
            )
            texts = [
                test.text
                for test in rules[rule.id].tests
                if test.must_match and test.text
            ]
            missed.update(
                trigger
                for text in texts
                for trigger in book.scanner.missed(text, patterns)
            )
    return library.sparing(frozenset(missed)) if missed else library


def values_found(book: Rulebook, rule: Rule, test: Test) -> frozenset[str]:
    """The values that a rule finds in a test; none where it does not fire, or a value is not known."""
    fired = evaluate(book, exchange_of(test, rule)).fired
    values = [one.value for mine in fired if mine.rule.id == rule.id for one in mine.findings]  # fmt: skip
    return frozenset(value for value in values if value is not None)


def _why(book: Rulebook, rule: Rule, test: Test) -> str:
    exchange = exchange_of(test, rule)
    mine = [one for one in evaluate(book, exchange).fired if one.rule.id == rule.id]
    if bool(mine) != test.must_match:
        return "did not fire" if test.must_match else "fired"
    if test.redacted is not None:
        body = json.dumps(exchange.parts[0].text, ensure_ascii=False).encode()
        became = json.loads(
            splice(body, merged(redactions(mine, exchange, StandIns(b""))))
        )
        if not fnmatchcase(became, _literally(test.redacted)):
            return "became something else than `redacted` says"
    return ""


def _literally(pattern: str) -> str:
    """A glob in which only `*` has a meaning."""
    return "".join(
        f"[{character}]" if character in "[?" else character for character in pattern
    )


def exchange_of(test: Test, rule: Rule) -> Exchange:
    """A call made of a test's text and context; an answer where the rule concerns
    answers alone.

    By default it is a user's, or a model's, text, on the last day of a rule that
    expires.
    """
    context = dict(test.context)
    text = context.pop("text", test.text)
    about_part = {
        name: context.pop(name) for name in ("role", "part", "tool") if name in context
    }
    if text is None and (about_part or "tokens" in context):
        text = ""
    if text is not None and "tokens" in context:
        text = text.ljust(int(context.pop("tokens")) * CHARACTERS_PER_TOKEN)
    values: dict[str, Any] = (
        {"direction": "response"}
        if rule.direction == "response"
        or said_of(rule.when, "direction") == {"response"}
        else {}
    )
    values |= dict(_typed(context))
    part = Part(
        text or "",
        "assistant" if values.get("direction") == "response" else "user",
        "text",
        0,
    )
    changed: dict[str, Any] = {
        {"part": "kind"}.get(name, name): value for name, value in about_part.items()
    }
    part = part._replace(**changed)
    if rule.expires is not None and "time" not in values:
        values["time"] = datetime(
            rule.expires.year, rule.expires.month, rule.expires.day, tzinfo=UTC
        )
    return Exchange(parts=(part,) if text is not None else (), **values)


def _typed(context: Mapping[str, str]) -> Iterator[tuple[str, Any]]:
    known = {field.name for field in fields(Exchange)}
    for name, value in context.items():
        if name == "unreadable":
            yield name, tuple(value.split())
        elif name == "size":
            yield name, int(value)
        elif name == "stream":
            yield name, value == "true"
        elif name == "time":
            time = datetime.fromisoformat(value)
            yield name, time if time.tzinfo else time.replace(tzinfo=UTC)
        elif name in known:
            yield name, value
