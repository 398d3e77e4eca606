"""Counts for metrics, which only rise, and rates of the last minutes."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, Protocol

from contract.decision import Completion, Decision, Record
from control.store.database import Connection, Pool

MOST_SERIES = 5000  # series; beyond them, new ones count as `other`
OTHER = "other"
MOST_TOKENS = 10**9  # tokens that one exchange is believed to have cost


class Series(NamedTuple):
    """A series: its name, and the values of its labels, in the order of LABELS."""

    name: str
    labels: tuple[str, ...]


LABELS: dict[str, tuple[str, ...]] = {
    "decisions": ("action", "reason", "tenant"),
    "rule_violations": ("rule", "action", "tenant"),
    "requests": ("outcome", "tenant"),
    "tokens": ("direction", "tenant"),
    "quarantined_records": ("why",),
    "unauthorized_requests": (),
}


def counted(records: Iterable[Record]) -> Counter[Series]:
    """What these records add."""
    counts: Counter[Series] = Counter()
    for one in records:
        for fired in one.rules:
            counts[
                Series("rule_violations", (fired.rule, fired.action, one.tenant))
            ] += 1
        if isinstance(one, Decision):
            counts[Series("decisions", (one.action, one.reason, one.tenant))] += 1
        elif isinstance(one, Completion):
            counts[Series("requests", (one.outcome, one.tenant))] += 1
            counts[Series("tokens", ("input", one.tenant))] += min(
                max(0, one.input_tokens or 0), MOST_TOKENS
            )
            counts[Series("tokens", ("output", one.tenant))] += min(
                max(0, one.output_tokens or 0), MOST_TOKENS
            )
    return counts


class SetAside(Protocol):
    """What is kept in quarantine."""

    @property
    def reason(self) -> str:
        """Why; the word before a colon is its kind."""


def set_aside(records: Iterable[SetAside]) -> Counter[Series]:
    """What records that are kept in quarantine add."""
    return Counter(
        Series(
            "quarantined_records",
            ("forged" if one.reason.startswith("forged") else "unreadable",),
        )
        for one in records
    )


async def count(pool: Pool, series: Series, value: int) -> None:
    """Add to one count."""
    async with pool.connection() as connection, connection.transaction():
        await add(connection, {series: value})


async def add(connection: Connection, counts: Mapping[Series, int]) -> None:
    """Add counts, in the caller's transaction.

    In a fixed order, so that transactions cannot deadlock.
    """
    risen = {series: value for series, value in counts.items() if value}
    if not risen:
        return
    row = await (
        await connection.execute("SELECT count(*) AS series FROM tally")
    ).fetchone()
    if row is not None and row["series"] + len(risen) > MOST_SERIES:
        risen = await _within(connection, risen)
    ordered = sorted(risen)
    await connection.execute(
        "INSERT INTO tally (name, labels, value) SELECT name, string_to_array(labels, chr(31)), value "
        "FROM unnest(%s::text[], %s::text[], %s::bigint[]) AS r (name, labels, value) "
        "ON CONFLICT (name, labels) DO UPDATE SET value = tally.value + excluded.value",
        (
            [one.name for one in ordered],
            ["\x1f".join(one.labels) for one in ordered],
            [risen[one] for one in ordered],
        ),
    )


async def _within(
    connection: Connection, counts: Mapping[Series, int]
) -> Counter[Series]:
    """The same counts, with new series as `other` where there are too many."""
    rows = await connection.execute("SELECT name, labels FROM tally")
    known = {Series(row["name"], tuple(row["labels"])) for row in await rows.fetchall()}
    bounded: Counter[Series] = Counter()
    for series, value in counts.items():
        bounded[
            series
            if series in known
            else Series(series.name, (OTHER,) * len(series.labels))
        ] += value
    return bounded


async def read(pool: Pool) -> dict[Series, int]:
    """All counts."""
    async with pool.connection() as connection:
        rows = await (
            await connection.execute(
                "SELECT name, labels, value FROM tally ORDER BY name, labels"
            )
        ).fetchall()
    return {
        Series(row["name"], tuple(row["labels"])): int(row["value"]) for row in rows
    }


async def recent(pool: Pool, minutes: int) -> Mapping[str, Any]:
    """Decisions of the last minutes, blocked ones, failed upstreams, and the p99 of
    Earthflow's added time in ms.
    """
    async with pool.connection() as connection:
        rows = await connection.execute(
            "SELECT count(*) AS decided, count(*) FILTER (WHERE d.action = 'BLOCK') AS blocked, "
            "count(*) FILTER (WHERE c.outcome = 'upstream_error') AS failed, "
            "percentile_cont(0.99) WITHIN GROUP (ORDER BY c.added_ms) AS p99 "
            "FROM decision d LEFT JOIN completion c ON c.day = d.day AND c.id = d.id "
            "WHERE d.day >= (now() AT TIME ZONE 'UTC')::date - 1 AND d.time > now() - make_interval(mins => %s)",
            (minutes,),
        )
        row = await rows.fetchone()
    assert row is not None
    return row
