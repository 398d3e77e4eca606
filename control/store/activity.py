"""Counts of exchanges by minute and hour, which triggers keep while records are stored (migration 0023)."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal, NamedTuple

from control.store.database import Connection, Pool
from control.store.search import Sought, joined, where

Span = Literal["minute", "hour"]
LENGTH: Mapping[Span, timedelta] = {
    "minute": timedelta(minutes=1),
    "hour": timedelta(hours=1),
}
DAY = timedelta(days=1)
# Held by whoever counts (migration 0023).
LOCK = 1633907817
MINUTES_KEPT = timedelta(hours=48)
# What filters choose from, and how many values of each are shown.
CHOICES = ("tenant", "status", "reason", "rule", "provider", "host", "model", "outcome")
MOST_VALUES = 20
BOUND = 1_000  # exchanges that are looked at to count what several filters leave
_TENANTS = "tenant = ANY (%(tenants)s)"


class Counted(NamedTuple):
    """How many exchanges, or tokens, had a value in a dimension in the span that begins at `at`."""

    at: datetime
    dimension: str
    value: str
    number: int


class RuleHits(NamedTuple):
    """How often a rule fired since a time, and as long before; the first and last hour in which it did, of what is kept."""

    rule: str
    number: int
    before: int
    first: datetime
    last: datetime


async def over_time(
    pool: Pool,
    tenants: Sequence[str] | None,
    span: Span,
    step: timedelta,
    since: datetime,
    until: datetime,
) -> list[Counted]:
    """Statuses, outcomes, tokens and added times in steps, each a multiple of the span; `tenants` None: of all together."""
    async with pool.connection() as connection:
        rows = await connection.execute(
            "SELECT date_bin(%(step)s, at, %(since)s) AS at, dimension, value, sum(count)::bigint AS number FROM activity "
            f"WHERE span = %(span)s AND {_TENANTS} AND at >= %(since)s AND at < %(until)s "
            "AND dimension = ANY ('{status,outcome,input_tokens,output_tokens,added}') GROUP BY 1, 2, 3".encode(),
            {"tenants": _named(tenants), "span": span, "step": step, "since": since, "until": until},
        )  # fmt: skip
        return [Counted(**row) for row in await rows.fetchall()]


async def rules(
    pool: Pool, tenants: Sequence[str] | None, since: datetime, until: datetime
) -> list[RuleHits]:
    """The rules that fired in a time, and in as long a time before it."""
    async with pool.connection() as connection:
        rows = await connection.execute(
            "SELECT value AS rule, coalesce(sum(count) FILTER (WHERE at >= %(since)s AND at < %(until)s), 0)::bigint AS number, "
            "coalesce(sum(count) FILTER (WHERE at >= %(earlier)s AND at < %(since)s), 0)::bigint AS before, "
            "min(at) AS first, max(at) AS last FROM activity "
            f"WHERE span = 'hour' AND dimension = 'rule' AND {_TENANTS} GROUP BY value ORDER BY 2 DESC, 1".encode(),
            {"tenants": _named(tenants), "since": since, "until": until, "earlier": since - (until - since)},
        )  # fmt: skip
        return [RuleHits(**row) for row in await rows.fetchall()]


async def choices(
    pool: Pool,
    tenants: Sequence[str] | None,
    since: datetime | None,
    until: datetime | None,
) -> list[tuple[str, str, int]]:
    """How many exchanges have each value, exactly: whole hours as they were counted, and the rest of the range row by row."""
    first, last = _whole_hours(since, until)
    values: dict[str, object] = {
        "tenants": _named(tenants),
        "first": first,
        "last": last,
    }
    bounds = "".join(
        f" AND {one}"
        for one, known in (("at >= %(first)s", first), ("at < %(last)s", last))
        if known is not None
    )
    parts = [
        "SELECT dimension, value, sum(count)::bigint AS count FROM activity WHERE span = 'hour' "
        f"AND {_TENANTS} AND dimension = ANY (%(dimensions)s){bounds} GROUP BY 1, 2"
    ]
    values["dimensions"] = list(CHOICES)
    parts.append(
        "SELECT 'tenant', tenant, sum(count)::bigint FROM activity WHERE span = 'hour' AND dimension = 'status' "
        f"AND {'tenant <> %(nobody)s' if tenants is None else _TENANTS}{bounds} GROUP BY 2"
    )
    values["nobody"] = ""
    edges = _edges(since, until, first, last)
    for number, edge in enumerate(edges):
        sought = Sought(tenants=tenants, since=edge[0], until=edge[1])
        part, named = _row_by_row(sought, f"edge{number}_", None)
        parts.append(part)
        values |= named
    query = (
        f"SELECT dimension, value, sum(count)::bigint AS count FROM ({' UNION ALL '.join(parts)}) AS k "
        "GROUP BY 1, 2 HAVING sum(count) > 0 ORDER BY 3 DESC, 2"
    )
    async with pool.connection() as connection:
        rows = await connection.execute(query.encode(), values)
        return _most([(row["dimension"], row["value"], row["count"]) for row in await rows.fetchall()])  # fmt: skip


async def choices_among(
    pool: Pool, sought: Sought
) -> tuple[list[tuple[str, str, int]], bool]:
    """The same among the newest BOUND exchanges that match; and whether there are more."""
    query, values = _row_by_row(sought, "", BOUND + 1)
    counted = f"SELECT dimension, value, sum(count)::bigint AS count FROM ({query}) AS k GROUP BY 1, 2 ORDER BY 3 DESC, 2"
    async with pool.connection() as connection:
        rows = await connection.execute(counted.encode(), values)
        found = [(row["dimension"], row["value"], row["count"]) for row in await rows.fetchall()]  # fmt: skip
    total = sum(count for dimension, _, count in found if dimension == "status")
    return _most(found), total > BOUND


async def count_a_day(pool: Pool) -> bool:
    """Count one day anew that has exchanges from before counts were kept, the newest first. Whether there was one to count."""
    async with pool.connection() as connection, connection.transaction():
        await connection.execute("SET LOCAL statement_timeout = 0")
        rows = await connection.execute(
            "SELECT day FROM uncounted_day ORDER BY day DESC LIMIT 1 FOR UPDATE SKIP LOCKED"
        )
        row = await rows.fetchone()
        if row is None:
            return False
        day = datetime.combine(row["day"], time.min, UTC)
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
        await connection.execute(
            "DELETE FROM activity WHERE at >= %s AND at < %s", (day, day + DAY)
        )
        await connection.execute("SELECT count_day(%s)", (row["day"],))
        await connection.execute("DELETE FROM uncounted_day WHERE day = %s", (row["day"],))  # fmt: skip
        return True


async def is_counted(pool: Pool) -> bool:
    """Whether all days are counted."""
    async with pool.connection() as connection:
        rows = await connection.execute("SELECT FROM uncounted_day LIMIT 1")
        return await rows.fetchone() is None


async def forget_of(connection: Connection, tenant: str, oldest: date) -> None:
    """Forget a tenant's counts of days before `oldest`, and what they are of those of all together."""
    await connection.execute(
        "WITH gone AS (DELETE FROM activity WHERE tenant = %s AND at < %s RETURNING span, dimension, at, value, count) "
        "UPDATE activity a SET count = a.count - g.count FROM gone g WHERE a.span = g.span AND a.tenant = '' "
        "AND a.dimension = g.dimension AND a.at = g.at AND a.value = g.value",
        (tenant, oldest),
    )
    await connection.execute("DELETE FROM activity WHERE tenant = '' AND at < %s AND count <= 0", (oldest,))  # fmt: skip


async def forget(connection: Connection, oldest: date) -> None:
    """Forget the counts of days before `oldest`, and minutes that nobody looks at."""
    await connection.execute("DELETE FROM activity WHERE at < %s", (oldest,))
    await connection.execute(
        "DELETE FROM activity WHERE span = 'minute' AND at < now() - %s",
        (MINUTES_KEPT,),
    )


def _named(tenants: Sequence[str] | None) -> list[str]:
    return [""] if tenants is None else list(tenants)


def _most(found: Iterable[tuple[str, str, int]]) -> list[tuple[str, str, int]]:
    """The most frequent values of each dimension."""
    kept: dict[str, list[tuple[str, str, int]]] = {}
    for one in found:
        kept.setdefault(one[0], []).append(one)
    return [one for values in kept.values() for one in values[:MOST_VALUES]]


def _whole_hours(
    since: datetime | None, until: datetime | None
) -> tuple[datetime | None, datetime | None]:
    """The whole hours of a range, from the first to behind the last."""
    first = since and _hour(since + LENGTH["hour"] - timedelta(microseconds=1))
    return first, until and _hour(until)


def _hour(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def _edges(
    since: datetime | None,
    until: datetime | None,
    first: datetime | None,
    last: datetime | None,
) -> list[tuple[datetime | None, datetime | None]]:
    """What of a range is no whole hour."""
    if first is not None and last is not None and first >= last:
        return [(since, until)]
    edges = [(since, first), (last, until)]
    return [one for one in edges if None not in one and one[0] != one[1]]


def _row_by_row(
    sought: Sought, prefix: str, limit: int | None
) -> tuple[str, dict[str, object]]:
    """A query of counts by dimension and value over rows, and its values, by names with this prefix."""
    conditions, values = where(sought, None)
    joins = joined(sought)
    for name in sorted(values, key=len, reverse=True):
        conditions = conditions.replace(f"%({name})s", f"%({prefix}{name})s")
        joins = joins.replace(f"%({name})s", f"%({prefix}{name})s")
    bound = f"ORDER BY d.day DESC, d.id DESC LIMIT {limit}" if limit else ""
    query = (
        "SELECT v.dimension, v.value, count(*) FROM ("
        "SELECT d.tenant, d.action, d.reason, d.provider, d.host, d.model, d.rules AS fired, c.rules AS later, c.outcome "
        f"FROM {joins} WHERE {conditions} {bound}) AS n CROSS JOIN LATERAL ("
        "SELECT k.dimension, k.value FROM counted_decision(n.action, n.reason, n.provider, n.host, n.model, n.fired) k "
        "UNION ALL SELECT 'tenant', n.tenant "
        "UNION ALL SELECT k.dimension, k.value FROM counted_completion(n.outcome, n.later, n.fired, 0, 0, NULL) k "
        "WHERE k.value IS NOT NULL) AS v GROUP BY 1, 2"
    )
    return f"({query})", {f"{prefix}{name}": value for name, value in values.items()}
