"""Whether the outcome of a case is right."""

import json
from typing import Any

from addons.cases.case import STRENGTH, Case, JudgedCase


def result_of(case: Case, judged: JudgedCase) -> tuple[str, list[str]]:
    """`ok`, or how the outcome is wrong; and the values of `gone` that are left."""
    action = judged.verdict.action
    left = [value for value in case.gone if action != "BLOCK" and _holds(judged, value)]
    lost = [
        value[:30]
        for value in case.keep
        if action != "BLOCK" and not _holds(judged, value)
    ]
    if judged.defects:
        return f"DEFECT: {'; '.join(judged.defects)}", left
    if left:
        return f"MISS ({len(left)} of {len(case.gone)} left)" if len(
            case.gone
        ) > 1 else "MISS", left
    if STRENGTH[action] < STRENGTH[case.min]:
        return "MISS", left
    if STRENGTH[action] > STRENGTH[case.max]:
        changed = "FALSE POSITIVE" if action in ("REDACT", "BLOCK") else "NOISE"
        return "BAD ACTION" if case.expect == "find" else changed, left
    return f"BAD ACTION (lost: {', '.join(lost)})" if lost else "ok", left


def _holds(judged: JudgedCase, value: str) -> bool:
    """Whether a value is in what is sent: as it is, as JSON writes it, or in a text
    that a client reads.
    """
    written = json.dumps(value, ensure_ascii=False)[1:-1]
    return (
        any(value in text for text in (judged.leaves, *judged.texts))
        or written in judged.leaves
    )


def outcome(case: Case, judged: JudgedCase) -> dict[str, Any]:
    """A case's outcome as it is printed."""
    verdict, (result, left) = judged.verdict, result_of(case, judged)
    return {
        "id": case.id,
        "result": result,
        "action": verdict.action,
        "by": verdict.by.id if verdict.by else None,
        "rules": [
            {"id": one.rule.id, "action": one.rule.action or "score"}
            for one in verdict.fired
        ],
        "coverage": judged.coverage,
        "unreadable": list(verdict.unreadable),
        "leaves": None if verdict.action == "BLOCK" else judged.leaves,
        "left": left,
    }
