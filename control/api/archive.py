"""`/v1/audit/import`: records of another database, or of an older version."""

import re
from datetime import UTC, datetime, timedelta

import msgspec
from aiohttp import web

from contract.decision import encode, time_of
from control.api.records import records_of
from control.errors import ApiError, answer
from control.state import STATE
from control.store import audit
from control.store.admin_audit import changed, changing
from control.store.audit import Arrival, Partitions

TENANT = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


class RefusedLine(msgspec.Struct):
    """A line that is no record, by its number from 1, and why."""

    line: int
    why: str


class Imported(msgspec.Struct):
    """What became of the lines; `read` is the sum of the other counts."""

    read: int
    stored: int
    known: int
    refused: list[RefusedLine]


async def take_in(request: web.Request) -> web.Response:
    """Store lines of version 2, as exports have them.

    Records that exist stay; unreadable lines are listed by number.
    """
    state, now = request.app[STATE], datetime.now(UTC)
    oldest = now - timedelta(days=state.settings.retention_days)
    arrivals: list[Arrival] = []
    refused: list[RefusedLine] = []
    lines = (await request.read()).split(b"\n")
    lines = lines[:-1] if lines[-1] == b"" else lines
    for number, line in enumerate(lines, 1):
        try:
            arrivals += _arrivals(number, line, oldest, now)
        except (ValueError, RecursionError) as error:
            refused.append(RefusedLine(number, str(error)[:200]))
    if not lines:
        raise ApiError(
            400, "nothing", "There are no lines in the body.", "Send lines of JSON."
        )
    async with changing(state.pool) as connection:
        stored = (
            await audit.store(connection, Partitions(), arrivals, [], live=False)
            if arrivals
            else 0
        )
        told = {"read": len(lines), "stored": stored, "refused": len(refused)}
        changed("", None, {}, told)
    return answer(
        Imported(len(lines), stored, len(lines) - len(refused) - stored, refused)
    )


def _arrivals(
    number: int, line: bytes, oldest: datetime, now: datetime
) -> list[Arrival]:
    """The records of a line. Raises ValueError where it has none that can be stored."""
    found = []
    for record in records_of(line):
        if not oldest <= time_of(record.id) <= now or not TENANT.fullmatch(
            record.tenant
        ):
            raise ValueError("its time or its tenant is outside of what is kept")
        found.append(Arrival(f"import:{number}", encode(record), record))
    return found
