"""`/v1/audit`: exchanges, newest first, and counts of them."""

import asyncio
import base64
import binascii
import re
import time
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from typing import get_args

import msgspec
from aiohttp import web

from contract.decision import Action, Outcome, Reason
from contract.kept import opened
from control import auth
from control.api.bodies import SHOWN
from control.api.paging import BAD_CURSOR, limit_of
from control.api.records import Exchange, Said, shown
from control.errors import POSTGRES_AWAY, ApiError, answer
from control.state import STATE
from control.store import admin_audit
from control.store import search as store
from control.store.admin_audit import UNDER_WAY
from control.store.database import LONGEST_READ_MS, Pool
from control.store.search import Place, Row, Sought
from rules.complaint import likely

# Rows of a page that a person looks at; who takes more at a time takes them away, which is noted.
MOST_LOOKED_AT, HOUR, MOST_EXPORTS = 100, 3600.0, 10_000
# Seconds: PostgreSQL itself ends a statement before; it does not where it hangs, or its network is cut.
LONGEST_READ = LONGEST_READ_MS / 1000 + 10
MOST_READERS = 8  # searches of one tenant at a time; three of all tenants
LONGEST = 300  # characters of a value to search for
LONGEST_REASON, REASON = 200, re.compile(rf"{SHOWN}*")
FILTERS = (
    "tenant",
    "status",
    "reason",
    "rule",
    "provider",
    "host",
    "model",
    "outcome",
    "text",
    "from",
    "to",
)
# What an exchange must not have.
EXCLUDED = tuple(
    f"not.{name}" for name in FILTERS if name not in ("text", "from", "to")
)
WORDS = {
    "status": get_args(Action),
    "reason": get_args(Reason),
    "outcome": get_args(Outcome),
}


class Page(msgspec.Struct):
    """Exchanges, newest first.

    `next` is the cursor of the following page, if there may be one.
    """

    audit: list[Exchange]
    next: str | None


class RuleCount(msgspec.Struct):
    """How often a rule fired, on calls and on answers."""

    rule: str
    count: int


class Quantiles(msgspec.Struct):
    """Quantiles of times, in milliseconds."""

    p50: float
    p95: float
    p99: float


class Stats(msgspec.Struct, kw_only=True, rename={"since": "from", "until": "to"}):
    """Counts of exchanges.

    Rates are shares of `total`; error_rate is that of failed providers.
    """

    since: datetime | None
    until: datetime | None
    total: int
    block_rate: float
    error_rate: float
    by_status: dict[str, int]
    by_reason: dict[str, int]
    by_outcome: dict[str, int]
    by_provider: dict[str, int]
    by_model: dict[str, int]
    top_triggered_rules: list[RuleCount]
    input_tokens: int
    output_tokens: int
    duration_ms: Quantiles | None
    first_byte_ms: Quantiles | None


async def search(request: web.Request) -> web.Response:
    """The newest exchanges that match; `next` is the `cursor` of the following page.

    A tenant sees its own.
    """
    sought = await sought_of(request)
    limit = limit_of(request)
    after = _after(request)
    await _note_export(request, sought, limit)
    async with reading(request, sought.tenants) as pool:
        rows = await store.search(pool, sought, limit=limit, after=after)
    following = _cursor(store.place_of(rows[-1])) if len(rows) == limit else None
    return answer(Page([shown(row) for row in rows], following))


async def show(request: web.Request) -> web.Response:
    """One exchange, with its prompt where AUDIT_HASH_PROMPTS is false and the caller may open it (audit.prompts): that is an entry of
    the audit, with the `reason` that is given. With `prompt=no` it stays closed.
    """
    who = await auth.caller(request)
    row, wrapped, prompt = await found_of(request)
    closed = _prompt_wanted(request) == "no"
    may = who.may("audit.prompts") and not closed
    opened = kept_prompt(request, prompt, wrapped) if may else None
    if opened is not None:
        id, tenant = row.decision.id, row.decision.tenant
        reason = request.query.get("reason", "")
        told = {"reason": reason} if reason else None
        await _note(request, "prompts.open", id, tenant, told)
    told_row = shown(row, msgspec.UNSET if closed else opened)
    told_row.prompt_kept = bool(prompt and wrapped)
    return answer(told_row)


def _prompt_wanted(request: web.Request) -> str:
    """`prompt` of the query, whose `reason` is such as may stand in the audit. Raises ApiError."""
    wanted, reason = request.query.get("prompt", ""), request.query.get("reason", "")
    if wanted not in ("", "no"):
        message = "`prompt` is `no`, or is left out."
        raise ApiError(400, "bad_prompt", message)
    if len(reason) > LONGEST_REASON or not REASON.fullmatch(reason):
        message = f"`reason` is a line of {LONGEST_REASON} characters at most."
        raise ApiError(400, "bad_reason", message)
    return wanted


async def found_of(request: web.Request) -> tuple[Row, str, str]:
    """The exchange in the path, its tenant's wrapped key for prompts, and its kept prompt.

    Raises ApiError 404 where it is not one of the caller's tenants.
    """
    who, id = await auth.caller(request), auth.named(request)
    try:
        found = await store.one(request.app[STATE].pool, id)
    except ValueError:
        found = None
    if found is None or not who.sees(found[0].decision.tenant):
        raise ApiError(
            404,
            "not_found",
            "There is no such exchange.",
            "GET /v1/audit finds them; old ones are dropped.",
        )
    return found


async def _note(
    request: web.Request,
    action: str,
    object: str,
    tenant: str | None,
    after: Mapping[str, object] | None = None,
) -> None:
    """An entry of what was read, before it is shown."""
    act = UNDER_WAY.get()
    assert act is not None
    act.action, act.object, act.tenant = action, object, tenant
    await admin_audit.note(request.app[STATE].pool, act, after=after)


async def _note_export(request: web.Request, sought: Sought, limit: int) -> None:
    """Note that many exchanges are taken at a time: once an hour for the same filters (of an admin; else for any), not for each page."""
    if limit <= MOST_LOOKED_AT:
        return
    told = {
        name: value
        for name, value in request.query.items()
        if name in (*FILTERS, *EXCLUDED)
    }
    act, noted = UNDER_WAY.get(), request.app[STATE].exports
    assert act is not None
    wanted = sorted(told.items()) if act.role == "admin" else ()
    whose = (act.actor, act.address, *wanted)
    if time.monotonic() - noted.get(whose, -HOUR) < HOUR:
        return
    for tenant in sought.tenants or (None,):
        await _note(request, "audit.export", tenant or "all tenants", tenant, told)
    noted[whose] = time.monotonic()
    while len(noted) > MOST_EXPORTS:
        noted.pop(next(iter(noted)))


def kept_prompt(request: web.Request, kept: str, wrapped: str) -> list[Said] | None:
    """The texts of the call that were kept; None where there are none."""
    if not kept or not wrapped:
        return None
    call = opened(request.app[STATE].vault.open(wrapped), kept)
    if call is None:
        return None
    # Names and numbers around the prompt are kept for judging alone.
    texts = (one for one in call.texts if one.role != "other")
    return [Said(one.role, one.text, one.cut) for one in texts]


async def stats(request: web.Request) -> web.Response:
    """Counts and rates of the exchanges that match, and the rules that fired most.

    A tenant sees its own.
    """
    sought = await sought_of(request)
    async with reading(request, sought.tenants) as pool:
        found = await store.stats(pool, sought)
    total = sum(found["actions"].values())
    failed = found["outcomes"].get("upstream_error", 0)
    blocked = found["actions"].get("BLOCK", 0)
    return answer(
        Stats(
            since=sought.since,
            until=sought.until,
            total=total,
            block_rate=blocked / total if total else 0.0,
            error_rate=failed / total if total else 0.0,
            by_status=found["actions"],
            by_reason=found["reasons"],
            by_outcome=found["outcomes"],
            by_provider=found["providers"],
            by_model=found["models"],
            top_triggered_rules=[
                RuleCount(rule, count) for rule, count in found["rules"].items()
            ],
            input_tokens=found["input_tokens"] or 0,
            output_tokens=found["output_tokens"] or 0,
            duration_ms=_quantiles(found["duration"]),
            first_byte_ms=_quantiles(found["first_byte"]),
        )
    )


@asynccontextmanager
async def reading(
    request: web.Request, tenants: Sequence[str] | None
) -> AsyncIterator[Pool]:
    """A connection for reading.

    The same tenants may have MOST_READERS of them at a time, each for LONGEST_READ. Raises ApiError.
    """
    state, whose = request.app[STATE], " ".join(tenants or ())
    if state.readers[whose] >= MOST_READERS:
        message = "Too many searches and counts of this tenant are under way."
        raise ApiError(
            429,
            "busy",
            message,
            "Wait for their answers.",
            headers={"Retry-After": "1"},
        )
    state.readers[whose] += 1
    try:
        async with asyncio.timeout(LONGEST_READ):
            yield state.reading
    except TimeoutError:
        raise POSTGRES_AWAY from None
    finally:
        state.readers[whose] -= 1


def _quantiles(values: Sequence[float] | None) -> Quantiles | None:
    return Quantiles(*values) if values is not None else None


async def sought_of(request: web.Request) -> Sought:
    """What the query asks for, within what its sender may see. Raises ApiError."""
    who = await auth.caller(request)
    told = {
        name: _value(request, name)
        for name in FILTERS
        if name in request.query and name not in ("from", "to")
    }
    excluding = tuple(
        (name.removeprefix("not."), _value(request, name))
        for name in EXCLUDED
        if name in request.query
    )
    since, until = times_of(request)
    tenants = auth.tenants_of(who, told.pop("tenant", None))
    return Sought(
        **told, tenants=tenants, since=since, until=until, excluding=excluding
    )


def _value(request: web.Request, given: str) -> str:
    value, name = request.query[given], given.removeprefix("not.")
    if name == "tenant" and not auth.ID.fullmatch(value):
        raise ApiError(404, "not_found", "There is no such tenant.")
    if name in WORDS and value not in WORDS[name]:
        raise ApiError(
            400,
            f"bad_{name}",
            f"That {name} does not exist.",
            likely(value, WORDS[name]),
        )
    if not 0 < len(value) <= LONGEST or "\0" in value:
        raise ApiError(
            400,
            f"bad_{name}",
            f"{name} is empty, too long, or holds what no record holds.",
        )
    return value


def times_of(request: web.Request) -> tuple[datetime | None, datetime | None]:
    """`from` and `to` of the query. Raises ApiError."""
    since, until = (_time(request.query.get(name), name) for name in ("from", "to"))
    if since is not None and until is not None and since > until:
        raise ApiError(
            400, "bad_range", "`from` is after `to`.", "Give the earlier time as from."
        )
    return since, until


def _time(text: str | None, name: str) -> datetime | None:
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
        if not 1970 <= at.year < 3000:
            raise ValueError
        return at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    except ValueError:
        raise ApiError(
            400,
            f"bad_{name}",
            f"{name} is no time.",
            "Write it like 2026-02-01T00:00:00Z.",
        ) from None


def _cursor(place: Place) -> str:
    return base64.urlsafe_b64encode(f"{place.day} {place.id}".encode()).decode()


def _after(request: web.Request) -> Place | None:
    text = request.query.get("cursor")
    if text is None:
        return None
    try:
        day, id = base64.urlsafe_b64decode(text.encode()).decode().split(" ")
        return Place(date.fromisoformat(day), str(uuid.UUID(id)))
    except (ValueError, binascii.Error):
        raise BAD_CURSOR from None
