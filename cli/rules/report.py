"""Verdicts, complaints and test results as `earthflow rules` prints them: lines for
people, values for `-o json`.
"""

from collections import Counter
from typing import Any

from rich.text import Text

from cli.output import console
from rules.complaint import Complaint
from rules.exchange import Exchange
from rules.overlaps import overlaps
from rules.rulebook import Rulebook
from rules.testing import Result
from rules.verdict import Fired, Verdict

STYLES = {
    "block": "bold white on red",
    "redact": "black on yellow",
    "flag": "black on cyan",
    "allow": "green",
    None: "underline",
}


def highlighted(text: str, number: int, verdict: Verdict) -> Text | None:
    """The text with its findings marked; None where there are none."""
    found = [
        (one, place)
        for one in verdict.fired
        for finding in one.findings
        for place in finding.places
        if place[0] == number
    ]
    if not found:
        return None
    marked = Text(text)
    for one, (_, start, end) in found:
        marked.stylize(STYLES[one.rule.action], start, end)
    return (
        marked
        if console.is_terminal
        else Text(_bracketed(text, [(start, end) for _, (_, start, end) in found]))
    )


def _bracketed(text: str, places: list[tuple[int, int]]) -> str:
    """The text with its findings in brackets, where there are no colours."""
    edges: Counter[int] = Counter()
    for start, end in set(places):
        edges[start] += 1
        edges[end] -= 1
    shown, done, depth = [], 0, 0
    for place in sorted(edges):
        before, depth = depth, depth + edges[place]
        shown += [
            text[done:place],
            "⟦" if depth and not before else "⟧" if before and not depth else "",
        ]
        done = place
    return "".join((*shown, text[done:]))


def line_of(one: Fired) -> str:
    """A rule that fired, and its findings, in one line."""
    rule = one.rule
    mode = " (monitor: would)" if rule.monitor else ""
    points = "".join(f", {points} points of {name}" for name, points in rule.score)
    values = [
        finding.view.text[finding.start : finding.end] for finding in one.findings
    ]
    shown = (
        ": "
        + ", ".join(
            repr(value if len(value) <= 60 else f"{value[:57]}…")
            for value in dict.fromkeys(values)
        )
        if values
        else ""
    )
    return f"{rule.action or 'score'}{mode} {rule.id} [{rule.severity}{points}] {rule.message}{shown}"


def verdict_as_json(
    book: Rulebook, exchange: Exchange, verdict: Verdict
) -> dict[str, Any]:
    """The verdict, the rules that fired and where; never the text that was found."""
    return {
        "action": verdict.action,
        "would": verdict.would,
        "would_strict": verdict.would_strict,
        "by": verdict.by.id if verdict.by else None,
        "rulebook": book.version,
        "coverage": exchange.coverage,
        "unreadable": list(verdict.unreadable),
        "rules": [
            {
                "id": one.rule.id,
                "action": one.rule.action or "score",
                "severity": one.rule.severity,
                "monitor": one.rule.monitor,
                "message": one.rule.message,
                "findings": [
                    {"part": part, "start": start, "end": end}
                    for f in one.findings
                    for part, start, end in f.places
                ],
            }
            for one in verdict.fired
        ],
        "overlaps": [
            {"winner": one.winner.id, "loser": one.loser.id}
            for one in overlaps(verdict.fired)
        ],
        "edits": [
            {
                "literal": edit.literal,
                "start": edit.start,
                "end": edit.end,
                "text": edit.text,
            }
            for edit in verdict.edits
        ],
    }


def complaint_as_json(complaint: Complaint) -> dict[str, Any]:
    """A complaint with its position."""
    at = complaint.at
    return {
        "file": at.file,
        "line": at.line,
        "column": at.column,
        "level": complaint.level,
        "message": complaint.message,
        "help": complaint.help,
    }


def result_as_json(result: Result) -> dict[str, Any]:
    """A failed test: its position, and why."""
    return {
        "rule": result.rule.id,
        "file": result.test.at.file,
        "line": result.test.at.line,
        "why": result.why,
    }


def counted(number: int, noun: str) -> str:
    """`1 rule`, `2 rules`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
