"""Figures of exchanges over time, by rule, and beside filters: `/v1/audit/activity`, `/v1/audit/rules`, `/v1/audit/choices`.

They are read from counts that are kept while records are stored, so that they cost the same however many exchanges there are.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import msgspec
from aiohttp import web

from control import auth
from control.api.audit import reading, sought_of, times_of
from control.errors import ApiError, answer
from control.store import activity as store
from control.store.activity import LENGTH, MINUTES_KEPT, Counted, Span
from control.store.search import Sought

FILTERS = ("tenant", "from", "to")
EPOCH = datetime.fromtimestamp(0, UTC)
MOST_POINTS = 400  # of one answer
LONGEST_ADDED = 1000.0  # ms up to which times are distinguished; what took longer counts as `more` (migration 0023)
STEPS = {
    f"{number}{unit}": timedelta(minutes=number * minutes)
    for unit, minutes in (("m", 1), ("h", 60), ("d", 1440))
    for number in (1, 2, 3, 5, 6, 10, 12, 15, 30)
}


class Point(msgspec.Struct, kw_only=True):
    """What was decided in one step from `at` on, and what became of it. `added_ms`: what Earthflow itself took, as p50 and p99."""

    at: datetime
    by_status: dict[str, int]
    by_outcome: dict[str, int]
    input_tokens: int
    output_tokens: int
    added_ms: tuple[float, float] | None


class Activity(msgspec.Struct, kw_only=True, rename={"since": "from", "until": "to"}):
    """Figures in steps of `step_seconds`, and of all steps together; steps without any exchange are there, too."""

    since: datetime
    until: datetime
    step_seconds: int
    points: list[Point]
    whole: Point


class RuleHits(msgspec.Struct):
    """How often a rule fired in the range, and in as long a time `before` it; the first and last hour in which it did."""

    rule: str
    count: int
    before: int
    first_at: datetime
    last_at: datetime


class RulesHit(msgspec.Struct, rename={"since": "from", "until": "to"}):
    """The rules that fired, the most frequent first, by whole hours."""

    since: datetime
    until: datetime
    rules: list[RuleHits]


class Choice(msgspec.Struct):
    """A value of a filter, and how many exchanges have it."""

    value: str
    count: int


class Choices(msgspec.Struct):
    """By filter, the most frequent values. `exact`: of all exchanges in the range; else only the newest `of` that match were counted,
    and there are more, or, without `of`, exchanges from before an upgrade are still being counted.
    """

    choices: dict[str, list[Choice]]
    exact: bool
    of: int | None = None


async def over_time(request: web.Request) -> web.Response:
    """What was decided, what became of it, tokens and added time, in whole steps (`step`, such as 1m or 1d); by default the last day."""
    tenants = auth.tenants_of(await auth.caller(request), request.query.get("tenant"))
    step = _step(request)
    since, until = _range(request)
    span: Span = "hour" if step % LENGTH["hour"] == timedelta(0) else "minute"
    since, until = _floor(since, step), -(-(until - EPOCH) // step) * step + EPOCH
    if span == "minute" and since < datetime.now(UTC) - MINUTES_KEPT:
        message = "Minutes are kept for two days."
        raise ApiError(400, "bad_step", message, "Ask for a step of hours, such as 1h.")
    count = -(-(until - since) // step)
    if count > MOST_POINTS:
        message = f"These are {count} steps; an answer has {MOST_POINTS} at most."
        raise ApiError(400, "bad_step", message, "Ask for a longer step, or a shorter range.")  # fmt: skip
    async with reading(request, tenants) as pool:
        found = await store.over_time(pool, tenants, span, step, since, until)
    by_step: dict[datetime, list[Counted]] = {}
    for one in found:
        by_step.setdefault(one.at, []).append(one)
    times = [since + step * number for number in range(count)]
    return answer(
        Activity(
            since=since,
            until=until,
            step_seconds=int(step.total_seconds()),
            points=[_point(at, by_step.get(at, ())) for at in times],
            whole=_point(since, found),
        )
    )


async def rules(request: web.Request) -> web.Response:
    """How often each rule fired, and as long before; by default in the last day."""
    tenants = auth.tenants_of(await auth.caller(request), request.query.get("tenant"))
    since, until = _range(request)
    since = _floor(since, LENGTH["hour"])
    async with reading(request, tenants) as pool:
        found = await store.rules(pool, tenants, since, until)
    return answer(RulesHit(since, until, [RuleHits(*one) for one in found]))


async def choices(request: web.Request) -> web.Response:
    """How many exchanges have each value of each filter: exactly where only a tenant and a range are given, else among the newest."""
    sought = await sought_of(request)
    alone = Sought(tenants=sought.tenants, since=sought.since, until=sought.until)
    async with reading(request, sought.tenants) as pool:
        if sought == alone:
            found = await store.choices(
                pool, sought.tenants, sought.since, sought.until
            )
            return answer(Choices(_by_filter(found), await store.is_counted(pool)))
        found, more = await store.choices_among(pool, sought)
    return answer(Choices(_by_filter(found), not more, store.BOUND if more else None))


def _by_filter(found: Iterable[tuple[str, str, int]]) -> dict[str, list[Choice]]:
    named: dict[str, list[Choice]] = {name: [] for name in store.CHOICES}
    for dimension, value, count in found:
        named[dimension].append(Choice(value, count))
    return named


def _step(request: web.Request) -> timedelta:
    wanted = request.query.get("step", "1h")
    if wanted not in STEPS:
        raise ApiError(400, "bad_step", "That is no step.", f"One of {', '.join(STEPS)}.")  # fmt: skip
    return STEPS[wanted]


def _range(request: web.Request) -> tuple[datetime, datetime]:
    since, until = times_of(request)
    until = until or datetime.now(UTC)
    return since or until - timedelta(days=1), until


def _floor(time: datetime, step: timedelta) -> datetime:
    """The beginning of the step that a time is in; steps begin at whole multiples since 1970, in UTC."""
    return EPOCH + (time - EPOCH) // step * step


def _point(at: datetime, found: Sequence[Counted]) -> Point:
    by: dict[str, dict[str, int]] = {}
    for one in found:
        values = by.setdefault(one.dimension, {})
        values[one.value] = values.get(one.value, 0) + one.number
    added = by.get("added")
    return Point(
        at=at,
        by_status=by.get("status", {}),
        by_outcome=by.get("outcome", {}),
        input_tokens=by.get("input_tokens", {}).get("", 0),
        output_tokens=by.get("output_tokens", {}).get("", 0),
        added_ms=(_quantile(added, 0.5), _quantile(added, 0.99)) if added else None,
    )


def _quantile(counts: Mapping[str, int], share: float) -> float:
    """A quantile of times that are counted by their upper bounds: the bound of the one in which it lies, as much of the way as its
    rank says. Of those beyond the last bound, that bound.
    """
    if counts.get("more", 0) > (1 - share) * sum(counts.values()):
        return LONGEST_ADDED
    bounds = sorted((float(one), count) for one, count in counts.items() if one != "more")  # fmt: skip
    rank, below, before = share * sum(counts.values()), 0, 0.0
    for bound, count in bounds:
        if below + count >= rank:
            return round(before + (bound - before) * (rank - below) / count, 2)
        below, before = below + count, bound
    return before
