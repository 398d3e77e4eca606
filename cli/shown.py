"""Verdicts, complaints and results of tests, as `earthflow rules` shows them: lines for people, values for `-o json`."""

from collections import Counter
from typing import Any

from rich.text import Text

from cli.output import console
from rules.complaint import Complaint
from rules.evaluate import Fired, Verdict
from rules.exchange import Exchange
from rules.rulebook import Rulebook
from rules.testing import Result

STYLES = {
    "block": "bold white on red",
    "redact": "black on yellow",
    "flag": "black on cyan",
    "allow": "green",
    None: "underline",
}


def highlighted(text: str, number: int, verdict: Verdict) -> Text | None:
    """The text with what was found in it marked; None where nothing was."""
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
        marked.stylize(STYLES[one.judge.action], start, end)
    return (
        marked
        if console.is_terminal
        else Text(_bracketed(text, [(start, end) for _, (_, start, end) in found]))
    )


def _bracketed(text: str, places: list[tuple[int, int]]) -> str:
    """The text with what was found between brackets, for where there are no colours."""
    edges: Counter[int] = Counter()
    for start, end in set(places):
        edges[start] += 1
        edges[end] -= 1
    shown, done, depth = [], 0, 0
    for place in sorted(edges):
        before, depth = depth, depth + edges[place]
        shown += [text[done:place], "⟦" if depth and not before else "⟧" if before and not depth else ""]
        done = place
    return "".join((*shown, text[done:]))


def line_of(one: Fired) -> str:
    """A rule that fired, and on what, in one line."""
    judge = one.judge
    mode = " (monitor: would)" if judge.monitor else ""
    points = "".join(f", {points} points of {name}" for name, points in judge.score)
    values = [finding.view.text[finding.start : finding.end] for finding in one.findings]
    shown = (
        ": "
        + ", ".join(repr(value if len(value) <= 60 else f"{value[:57]}…") for value in dict.fromkeys(values))
        if values
        else ""
    )
    return f"{judge.action or 'score'}{mode} {judge.id} [{judge.severity}{points}] {judge.message}{shown}"


def verdict_as_json(book: Rulebook, exchange: Exchange, verdict: Verdict) -> dict[str, Any]:
    """What was decided, by what, and where it was found; nothing of what was found."""
    return {
        "action": verdict.action,
        "would": verdict.would,
        "by": verdict.by.id if verdict.by else None,
        "rulebook": book.version,
        "coverage": exchange.coverage,
        "unreadable": list(verdict.unreadable),
        "rules": [
            {
                "id": one.judge.id,
                "action": one.judge.action or "score",
                "severity": one.judge.severity,
                "monitor": one.judge.monitor,
                "message": one.judge.message,
                "findings": [
                    {"part": part, "start": start, "end": end}
                    for f in one.findings
                    for part, start, end in f.places
                ],
            }
            for one in verdict.fired
        ],
        "edits": [
            {"literal": edit.literal, "start": edit.start, "end": edit.end, "text": edit.text}
            for edit in verdict.edits
        ],
    }


def complaint_as_json(complaint: Complaint) -> dict[str, Any]:
    """A complaint with its place."""
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
    """A test that failed, its place and why."""
    return {
        "rule": result.rule.id,
        "file": result.test.at.file,
        "line": result.test.at.line,
        "why": result.why,
    }


def counted(number: int, noun: str) -> str:
    """`1 rule`, `2 rules`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
