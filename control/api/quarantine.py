"""`/v1/quarantine`: what arrived and is no record. Its content is not shown: it may be anybody's."""

import re
from datetime import datetime

import msgspec
from aiohttp import web

from control.api.bodies import body_of
from control.api.paging import limit_of
from control.arrivals import read_record
from control.errors import ApiError, answer
from control.state import STATE
from control.store import audit, quarantine
from control.store.admin_audit import changed, changing
from control.store.audit import Arrival, Partitions

ENTRY = re.compile(
    r"([0-9]{1,2}/)?[0-9]{1,20}-[0-9]{1,20}"
)  # of a stream of Redis, with its lane
MOST_AT_ONCE = 1000


class SetAsideView(msgspec.Struct):
    """An entry that is no record, and why. `signed`: its proxy made it, so it can be replayed."""

    entry: str
    arrived_at: datetime
    reason: str
    bytes: int
    signed: bool


class Quarantine(msgspec.Struct):
    """Entries, newest first. `next` is the cursor of the following page, if there may be one."""

    quarantine: list[SetAsideView]
    next: str | None


class Replay(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a replay: one entry, or all that can be."""

    entry: str | None = None


class Replayed(msgspec.Struct):
    """How many entries are records by now and are stored, and how many stay."""

    stored: int
    left: int


async def search(request: web.Request) -> web.Response:
    """What arrived and is no record, newest first."""
    limit, after = limit_of(request), request.query.get("cursor")
    if after is not None:
        _entry(after)
    found = await quarantine.page(request.app[STATE].pool, limit, after)
    following = found[-1].entry if len(found) == limit else None
    return answer(Quarantine([SetAsideView(*one) for one in found], following))


async def replay(request: web.Request) -> web.Response:
    """Store what is a record after all, such as one of a newer version before control was upgraded. Forged ones never are."""
    state = request.app[STATE]
    wanted = await body_of(request, Replay, '{"entry": "<id>"}, or {} for all', empty=True)  # fmt: skip
    if wanted.entry is not None:
        _entry(wanted.entry)
    days, stored = state.settings.retention_days, 0
    async with changing(state.pool) as connection:
        found = await quarantine.honest(connection, wanted.entry, MOST_AT_ONCE)
        read = [read_record(entry, payload, days, signed=True) for entry, payload in found]  # fmt: skip
        arrivals = [one for one in read if isinstance(one, Arrival)]
        if arrivals:
            await audit.store(connection, Partitions(), arrivals, [])
            await quarantine.forget(connection, [one.entry for one in arrivals])
            stored = len(arrivals)
        changed(wanted.entry or "", None, {}, {"stored": stored})
    return answer(Replayed(stored, len(found) - stored))


def _entry(text: str) -> None:
    if not ENTRY.fullmatch(text):
        raise ApiError(400, "bad_entry", "That is no id of an entry.", "GET /v1/quarantine lists them.")  # fmt: skip
