"""A day of made traffic, so that a dashboard has something to show: no call of it was ever made.

Its tenants say so in their names, and its records came in by the audit's import.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from math import pi, sin
from random import Random
from typing import Any

from cli.client import Control
from contract.decision import new_id

TENANTS = {
    "sample-acme": "Acme (made traffic)",
    "sample-globex": "Globex (made traffic)",
}
HOURS, BUSIEST = 24, 70  # exchanges of the busiest hour
LINES_AT_ONCE = 400
ACTIONS = ("ALLOW", "FLAG", "REDACT", "BLOCK")
PROVIDERS = (
    ("openai", "api.openai.com", "/v1/chat/completions", ("gpt-5.2", "gpt-5.2-mini")),
    ("anthropic", "api.anthropic.com", "/v1/messages", ("claude-opus-5", "claude-sonnet-5")),
    ("google", "generativelanguage.googleapis.com", "/v1beta/models/gemini-3-pro:generateContent", ("gemini-3-pro",)),
)  # fmt: skip
# Rules with their actions, how often they fire, and from which hour on: one is new.
FIRES = (
    ("credentials.aws-access-key", "REDACT", 0.03, 0), ("personal.email", "REDACT", 0.08, 0),
    ("credentials.github-token", "REDACT", 0.02, 0), ("confidential.classified-mention", "FLAG", 0.05, 0),
    ("injection.cancel.en", "FLAG", 0.04, 0), ("confidential.tlp-red", "BLOCK", 0.03, 0), ("tools.root-wipe", "BLOCK", 0.02, 19),
)  # fmt: skip


def lines(until: datetime, seed: int = 1) -> Iterator[dict[str, Any]]:
    """Exchanges of the day before a moment, oldest first, as `earthflow audit import` takes them."""
    rng = Random(seed)  # noqa: S311  # nothing secret
    began = until - timedelta(hours=HOURS)
    for hour in range(HOURS):
        share = 0.25 + 0.75 * max(0.0, sin((hour + 2) / HOURS * 2 * pi - pi / 2))
        for second in sorted(rng.uniform(0, 3599) for _ in range(int(BUSIEST * share))):
            yield _line(rng, began + timedelta(hours=hour, seconds=second), hour)


def _line(rng: Random, at: datetime, hour: int) -> dict[str, Any]:
    provider, host, path, models = rng.choice(PROVIDERS)
    fired = [
        {"rule": rule, "action": action, "severity": "high", "count": 1, "findings": [_found(rng, rule, action)]}
        for rule, action, often, since in FIRES
        if hour >= since and rng.random() < often
    ]  # fmt: skip
    action = max((str(one["action"]) for one in fired), key=ACTIONS.index, default="ALLOW")  # fmt: skip
    return {
        "version": 2, "id": new_id(at.timestamp()), "time": at.isoformat(), "tenant": rng.choice(tuple(TENANTS)), "key": "made",
        "status": action, "coverage": rng.choices(("full", "partial"), (0.97, 0.03))[0], "rules": fired,
        "provider": provider, "host": host, "method": "POST", "path": path, "model": rng.choice(models),
        "stream": rng.random() < 0.6, "size": rng.randint(800, 60_000), "client": f"10.1.{rng.randint(0, 3)}.{rng.randint(2, 250)}",
        "completion": _completion(rng, at, action, failed=rng.random() < (0.05 if hour == 15 else 0.004)),
    }  # fmt: skip


def _completion(rng: Random, at: datetime, action: str, *, failed: bool) -> dict[str, Any]:  # fmt: skip
    outcome, status = ("upstream_error", 502) if failed else ("ok", 200)
    outcome, status = ("refused", 400) if action == "BLOCK" else (outcome, status)
    tokens = (rng.randint(200, 9000), rng.randint(20, 1500)) if outcome == "ok" else (None, None)  # fmt: skip
    return {
        "time": at.isoformat(), "outcome": outcome, "status": status, "input_tokens": tokens[0], "output_tokens": tokens[1],
        "first_byte_ms": rng.randint(180, 900), "duration_ms": rng.randint(400, 9000), "added_ms": round(rng.lognormvariate(0.6, 0.7), 2),
        "action": "ALLOW", "coverage": "full",
    }  # fmt: skip


def _found(rng: Random, rule: str, action: str) -> dict[str, Any]:
    letters = "".join(rng.choice("bcdfghjklmnpqrst") for _ in range(8))
    kind = rule.partition(".")[2].upper().replace("-", "_")
    found = {"part": rng.randint(0, 9), "role": "user", "kind": "text", "offset": rng.randint(0, 900), "length": 20}  # fmt: skip
    return found | ({"placeholder": f"[{kind}_{letters}]"} if action == "REDACT" else {})  # fmt: skip


def give(control: Control, until: datetime | None = None) -> int:
    """Give a control a day of it, and the tenants that it is of; how many exchanges."""
    for id, name in TENANTS.items():
        control.post("/v1/tenants", {"id": id, "name": name})
    made = [json.dumps(one) for one in lines(until or datetime.now(UTC))]
    for first in range(0, len(made), LINES_AT_ONCE):
        body = "\n".join(made[first : first + LINES_AT_ONCE])
        control.post_lines("/v1/audit/import", body.encode())
    return len(made)
