"""What a verdict tells of its findings, and of the preset strict: places, never texts."""

import pytest

from rules.evaluate import evaluate
from rules.exchange import NOWHERE, Exchange, Kind, Part, Role
from rules.found import MAX_FOUND, WITHHELD
from rules.sources import shipped
from rules.verdict import Verdict
from tests.support.shared import library

KEY = "AKIAQYLPMN5HHHFPZAM2"
PASSWORD = "DB_PASSWORD=Zx81mk3lsQ9w"
KEY_FILE = (
    "-----BEGIN PRIVATE KEY-----\n" + "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcw\n" * 4
)


def part(
    text: str, role: Role = "user", kind: Kind = "text", tool: str = "", n: int = 0
) -> Part:
    return Part(text, role, kind, n, tool)


def judged(*parts: Part, preset: str = "default") -> Verdict:
    book = library(shipped()).rulebook(preset)
    numbered = tuple(
        p if p.literal == NOWHERE else p._replace(literal=n)
        for n, p in enumerate(parts)
    )
    return evaluate(book, Exchange(parts=numbered), key=b"k")


def test_a_finding_is_told_by_its_place_and_its_placeholder() -> None:
    verdict = judged(part("hello"), part(f"use {KEY} now", "tool", "tool_result", "Read"))  # fmt: skip
    (found,) = verdict.found
    assert found == (
        "credentials.aws-access-key", 1, "tool", "tool_result", "Read", 4, len(KEY), verdict.edits[0].text, ""
    )  # fmt: skip
    assert KEY not in repr(verdict.found)


def test_a_value_found_elsewhere_is_told_as_such() -> None:
    verdict = judged(
        part(f"{PASSWORD}\n"), part("why Zx81mk3lsQ9w?", "tool", "tool_result")
    )
    assert {(one.part, one.why) for one in verdict.found} == {(0, ""), (1, "elsewhere")}
    *_, first, last = verdict.found
    assert first.placeholder == last.placeholder != ""


@pytest.mark.parametrize(
    ("parts", "why"),
    [
        ((part(KEY, n=NOWHERE, kind="head"),), "head"),
        ((part("QUtJQVFZTFBNTjVISEhGUFpBTTI="),), "decoded"),
        ((part("TLP:RED the plan"), part("no", "assistant"), part("ok")), "history"),
        ((part(KEY, "assistant")._replace(signature="s"), part("ok")), "signed"),
    ],
)
def test_what_else_decided_is_told(parts: tuple[Part, ...], why: str) -> None:
    assert {one.why for one in judged(*parts).found} == {why}


def test_a_monitored_rule_is_told_as_such() -> None:
    (found,) = judged(part(KEY), preset="monitor").found
    assert (found.why, found.placeholder) == ("monitor", "")


def test_a_tool_whose_name_has_a_finding_is_withheld() -> None:
    verdict = judged(part(KEY, "assistant", "field"), part(KEY, "tool", "tool_result", tool=KEY))  # fmt: skip
    assert {one.tool for one in verdict.found} == {"", WITHHELD}


def test_no_more_findings_are_told_than_a_record_has_room_for() -> None:
    verdict = judged(*(part(f"{KEY} {n}") for n in range(MAX_FOUND + 1)))
    assert len(verdict.found) == MAX_FOUND
    assert sum(len(one.findings) for one in verdict.fired) == MAX_FOUND + 1


@pytest.mark.parametrize(
    ("text", "action", "strict"),
    [
        ("hello", "ALLOW", None),
        (KEY, "REDACT", None),
        (KEY_FILE, "REDACT", "BLOCK"),
        ("this is internal use only, they say", "FLAG", "BLOCK"),
        ("write to nadia.k@brightwell.com", "FLAG", "REDACT"),
    ],
)
def test_what_strict_would_have_done_is_told_where_it_differs(
    text: str, action: str, strict: str | None
) -> None:
    verdict = judged(part(text))
    assert (verdict.action, verdict.would_strict) == (action, strict)


def test_monitored_rules_would_have_been_enforced_by_strict() -> None:
    verdict = judged(part(KEY), preset="monitor")
    assert (verdict.action, verdict.would, verdict.would_strict) == (
        "ALLOW",
        "REDACT",
        "REDACT",
    )


def test_strict_itself_says_nothing_of_strict() -> None:
    assert judged(part(KEY_FILE), preset="strict").would_strict is None
