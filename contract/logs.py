"""Logs: one event a line on standard error, for people, or as JSON.

Never a caller's text, key or path.
"""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Literal

Form = Literal["text", "json"]
OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def set_up(level: str, form: Form) -> None:
    """Log Earthflow's events from `level` up, others' from WARNING up: mitmproxy's
    quote hosts and headers.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        _Json()
        if form == "json"
        else _Text("%(asctime)s %(levelname)s %(name)s %(message)s")
    )
    logging.basicConfig(level="WARNING", handlers=[handler], force=True)
    logging.getLogger("earthflow").setLevel(level)
    logging.getLogger("mitmproxy").setLevel("WARNING")


def _told(record: logging.LogRecord) -> dict[str, object]:
    """The fields of an event, from `extra`."""
    return {name: value for name, value in vars(record).items() if name not in OWN}


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        beside = " ".join(f"{name}={value}" for name, value in _told(record).items())
        return f"{super().format(record)} {beside}".rstrip()


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        told: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC)
            .isoformat(timespec="milliseconds")
            .replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **_told(record),
        }
        if record.exc_info:
            told["exception"] = self.formatException(record.exc_info)
        return json.dumps(told, ensure_ascii=False, default=str)
