"""Turns audit logs of version 1 into version 2 (docs/audit-log.md), line by line, in
flat memory. Unreadable lines are kept aside by number.

The same input gives the same output, ids included, so that a second run changes
nothing.
"""

import hashlib
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, get_args

import msgspec

from contract.decision import Action

MAX_LINE = 1024 * 1024  # bytes of a line
CHUNK = 1024 * 1024
MOST_RULES = 1000
MAX_NUMBER = 2**53
ACTIONS = get_args(Action)
SAID = {
    "ALLOWED": "ALLOW",
    "PASSED": "ALLOW",
    "BLOCKED": "BLOCK",
    "DENIED": "BLOCK",
    "REDACTED": "REDACT",
    "FLAGGED": "FLAG",
}
NAME = "abcdefghijklmnopqrstuvwxyz0123456789_-"


class Unreadable(ValueError):
    """A line that is no record of version 1, and why."""


@dataclass
class Counts:
    """Counts of lines; `read` is the sum of the others."""

    read: int = 0
    written: int = 0
    rejected: int = 0
    blank: int = 0
    prompts_left_out: int = 0


def migrate(
    source: Path,
    written: BinaryIO | None,
    rejects: BinaryIO | None,
    progress: Callable[[int], None],
    said: Callable[[int, str], None],
) -> Counts:
    """Read all of `source`.

    Without `written` nothing is kept. `progress` takes bytes, `said` each rejected
    line's number and reason.
    """
    counts, before, times = Counts(), b"", 0
    with source.open("rb") as file:
        unsaid = 0
        for number, line, size in lines(file):
            counts.read += 1
            unsaid += size
            if unsaid > CHUNK:
                progress(unsaid)
                unsaid = 0
            if line is not None and not line.strip():
                counts.blank += 1
                continue
            try:
                if line is None:
                    raise Unreadable(f"it is longer than {MAX_LINE} bytes")
                before, times = line, times + 1 if line == before else 0
                row, has_prompt = upgraded(line, times)
            except Unreadable as error:
                counts.rejected += 1
                said(number, str(error))
                if rejects is not None:
                    text = line.decode("utf-8", "replace") if line is not None else None
                    rejects.write(
                        msgspec.json.encode(
                            {"line": number, "why": str(error), "text": text}
                        )
                        + b"\n"
                    )
                continue
            counts.written += 1
            counts.prompts_left_out += has_prompt
            if written is not None:
                written.write(msgspec.json.encode(row) + b"\n")
    return counts


def lines(file: BinaryIO) -> Iterator[tuple[int, bytes | None, int]]:
    """The number of each line from 1, its bytes without the end (None: too many), and
    its bytes of the file.
    """
    number, held, size, too_long = 0, b"", 0, False
    while chunk := file.read(CHUNK):
        start = 0
        while (end := chunk.find(b"\n", start)) >= 0:
            number += 1
            held += chunk[start:end] if not too_long else b""
            size += end + 1 - start
            yield number, None if too_long or len(held) > MAX_LINE else held, size
            held, size, too_long, start = b"", 0, False, end + 1
        size += len(chunk) - start
        held = b"" if too_long else held + chunk[start:]
        if len(held) > MAX_LINE:
            held, too_long = b"", True
    if size:
        yield number + 1, None if too_long else held, size


def upgraded(line: bytes, times: int = 0) -> tuple[dict[str, Any], bool]:
    """A line of version 1 as one of version 2; whether a prompt was left out.

    Raises Unreadable.

    `before` counts equal lines before it.
    """
    try:
        old = msgspec.json.decode(line.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        raise Unreadable("it is no JSON") from None
    if not isinstance(old, dict):
        raise Unreadable("it is not a JSON object")
    if old.get("version", 1) != 1:
        raise Unreadable("it has another version")
    time = _time(_first(old, "timestamp", "time", "ts", "created_at"))
    tenant = _text(old, "tenant_id", "tenant").lower()
    if not tenant or len(tenant) > 63 or set(tenant) - set(NAME) or tenant[0] in "_-":
        raise Unreadable("its tenant_id cannot be a tenant's")
    row = {
        "version": 2,
        "id": _id(time, line.strip() + (b" %d" % times if times else b"")),
        "time": time.isoformat().replace("+00:00", "Z"),
        "tenant": tenant,
        "key": _text(old, "key_id"),
        "status": _action(_text(old, "decision", "action", "status", "verdict")),
        "reason": "policy",
        "coverage": "full",
        "rules": _rules(old),
        "provider": _text(old, "provider"),
        "host": _text(old, "host", "target_host"),
        "method": _text(old, "method"),
        "path": _text(old, "path", "endpoint").partition("?")[0],
        "model": _text(old, "model"),
        "stream": old.get("stream") is True,
        "size": _number(old, "request_bytes", "size") or 0,
        "prompt_hash": _text(old, "prompt_hash", "prompt_sha256"),
        "client": _text(old, "client_ip", "client"),
        "completion": _completion(old, time),
    }
    return row, any(old.get(name) for name in ("prompt", "messages", "content"))


def _completion(old: Mapping[str, Any], time: datetime) -> dict[str, Any] | None:
    status = _number(old, "status_code", "http_status")
    duration = _number(old, "latency_ms", "duration_ms")
    if status is None and duration is None:
        return None
    refused = _action(_text(old, "decision", "action", "status", "verdict")) == "BLOCK"
    outcome = (
        "refused"
        if refused
        else "upstream_error"
        if status is not None and status >= 500
        else "ok"
    )
    return {
        "time": time.isoformat().replace("+00:00", "Z"),
        "outcome": outcome,
        "status": status if status is not None and 100 <= status <= 599 else None,
        "input_tokens": _number(old, "input_tokens", "prompt_tokens"),
        "output_tokens": _number(old, "output_tokens", "completion_tokens"),
        "duration_ms": duration or 0,
    }


def _first(old: Mapping[str, Any], *names: str) -> Any:
    return next((old[name] for name in names if old.get(name) is not None), None)


def _text(old: Mapping[str, Any], *names: str) -> str:
    value = _first(old, *names)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Unreadable(f"its {names[0]} is no text")
    return _writable(value)


def _writable(text: str) -> str:
    return text[:300].replace("\0", "?").encode("utf-8", "replace").decode()


def _number(old: Mapping[str, Any], *names: str) -> int | None:
    value = _first(old, *names)
    if value is None:
        return None
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not 0 <= value < MAX_NUMBER
    ):
        raise Unreadable(f"its {names[0]} is not a possible number")
    return int(value)


def _action(written: str) -> str:
    word = written.upper()
    word = SAID.get(word, word)
    if word not in ACTIONS:
        raise Unreadable("its decision is not ALLOW, FLAG, REDACT or BLOCK")
    return word


def _rules(old: Mapping[str, Any]) -> list[dict[str, Any]]:
    found = _first(old, "rules", "triggered_rules", "rule_ids", "rule_id", "rule")
    names = found if isinstance(found, list) else [found] if found else []
    if not all(isinstance(name, str) for name in names):
        raise Unreadable("its rules are not names")
    if len(names) > MOST_RULES:
        raise Unreadable(f"it names more than {MOST_RULES} rules")
    action = _action(_text(old, "decision", "action", "status", "verdict"))
    return [
        {"rule": _writable(name), "action": action, "severity": "medium"}
        for name in names
    ]


def _time(value: Any) -> datetime:
    try:
        if isinstance(value, str):
            time = datetime.fromisoformat(value)
            time = time if time.tzinfo is not None else time.replace(tzinfo=UTC)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            time = datetime.fromtimestamp(
                value / 1000 if value > 10**11 else value, UTC
            )
        else:
            raise Unreadable("it has no timestamp")
        time = time.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        raise Unreadable("its timestamp is not a time") from None
    if not 1971 <= time.year < 3000:
        raise Unreadable("its timestamp is out of range")
    return time


def _id(time: datetime, line: bytes) -> str:
    """A UUIDv7 of the record's time and of the line itself."""
    random = int.from_bytes(hashlib.sha256(line).digest()[:10])
    value = int(time.timestamp() * 1000) << 80 | random
    value = value & ~(0xF << 76) | 0x7 << 76
    return str(uuid.UUID(int=value & ~(0x3 << 62) | 0x2 << 62))
