"""The audit: finds records, newest first, page by page, and counts them."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal, NamedTuple

from contract.decision import Completion, Decision, decode, time_of
from control.store.database import Pool

TOP = 20  # rules, models and hosts that counts name
QUANTILES = (0.5, 0.95, 0.99)
EARLIER = timedelta(minutes=1)  # an id is at most this much older than its decision


Told = Literal["waiting", "delivered", "dead"]


class Row(NamedTuple):
    """An exchange: its decision, its completion where there is one, and the state of
    its webhook delivery.
    """

    decision: Decision
    completion: Completion | None
    webhook: Told | None = None
    signed: bool | None = None


class Kept(NamedTuple):
    """An exchange with its kept prompt, sealed; empty where there is none."""

    decision: Decision
    completion: Completion | None
    prompt: str


class Place(NamedTuple):
    """The position where a page ended."""

    day: date
    id: str


@dataclass(frozen=True)
class Sought:
    """What to search for; None: anything.

    `tenants`: of any of these. `rule` fired on the call or on its answer; `text` stands in the reason or in a
    rule's name.
    """

    tenants: Sequence[str] | None = None
    status: str | None = None
    reason: str | None = None
    rule: str | None = None
    provider: str | None = None
    host: str | None = None
    model: str | None = None
    outcome: str | None = None
    text: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    # What is left out: the same, by the names of these fields.
    excluding: tuple[tuple[str, str], ...] = ()


CONDITIONS = {
    "tenant": "d.tenant = %(tenant)s",
    "tenants": "d.tenant = ANY (%(tenants)s)",
    "status": "d.action = %(status)s",
    "reason": "d.reason = %(reason)s",
    "rule": "(d.rules @> ARRAY[%(rule)s] OR c.rules @> ARRAY[%(rule)s])",
    "provider": "d.provider = %(provider)s",
    "host": "d.host = %(host)s",
    "model": "d.model = %(model)s",
    "outcome": "c.outcome = %(outcome)s",
    "text": "(strpos(d.reason, %(text)s) > 0 OR strpos(array_to_string(d.rules || c.rules, ' '), %(text)s) > 0)",
    "since": "d.day >= %(since_day)s AND d.id >= %(since_id)s AND d.time >= %(since)s",
    "until": "d.day <= %(until_day)s AND d.id <= %(until_id)s AND d.time < %(until)s",
    "after": "(d.day, d.id) < (%(after_day)s, %(after_id)s)",
}
# The state of an exchange's deliveries: the least advanced of several.
TOLD = "(SELECT min(coalesce(y.state, 'waiting')) FROM webhook_event e LEFT JOIN delivery y ON y.id = e.delivery WHERE e.decision = d.id)"
NEW = "d.day >= %(new_day)s AND d.id > %(new_id)s AND d.id <> ALL (%(seen)s)"
COMPLETED = {
    "since": "c.day >= %(since_day)s AND c.id >= %(since_id)s",
    "until": "c.day <= %(until_day)s AND c.id <= %(until_id)s",
}
JOINED = "decision d LEFT JOIN completion c ON c.day = d.day AND c.id = d.id"


async def search(
    pool: Pool, sought: Sought, *, limit: int, after: Place | None = None
) -> list[Row]:
    """The newest exchanges that match, behind a position."""
    query, values = page(sought, limit, after)
    async with pool.connection() as connection:
        rows = await connection.execute(query, values)
        return [_row(**row) for row in await rows.fetchall()]


async def arrived(
    pool: Pool, sought: Sought, since: datetime, seen: Sequence[str], bound: int
) -> list[str]:
    """The ids of exchanges that match, began since a time and were not seen: the newest, up to a bound."""
    conditions, values = where(sought, None)
    place = place_at(since)
    values |= {"new_day": place.day, "new_id": place.id, "seen": list(seen), "bound": bound}  # fmt: skip
    query = (
        f"SELECT d.id FROM {joined(sought)} WHERE {conditions} AND {NEW} "
        "ORDER BY d.day DESC, d.id DESC LIMIT %(bound)s"
    )
    async with pool.connection() as connection:
        rows = await connection.execute(query.encode(), values)
        return [str(row["id"]) for row in await rows.fetchall()]


async def of_ids(pool: Pool, ids: Sequence[str]) -> list[Row]:
    """These exchanges, oldest first."""
    days = sorted({time_of(id).date() for id in ids})
    query = (
        f"SELECT d.record AS decision, c.record AS completion, d.signed, {TOLD} AS webhook FROM {JOINED} "
        "WHERE d.day = ANY (%s) AND d.id = ANY (%s) ORDER BY d.day, d.id"
    )
    async with pool.connection() as connection:
        rows = await connection.execute(query.encode(), (days, list(ids)))
        return [_row(**row) for row in await rows.fetchall()]


async def with_prompts(
    pool: Pool, sought: Sought, *, limit: int, after: Place | None = None
) -> list[Kept]:
    """As `search`, with what is kept of the calls."""
    conditions, values = where(sought, after)
    query = (
        f"SELECT d.record AS decision, c.record AS completion, d.prompt FROM {joined(sought)} WHERE {conditions} "
        "ORDER BY d.day DESC, d.id DESC LIMIT %(limit)s"
    )
    async with pool.connection() as connection:
        rows = await connection.execute(query.encode(), {**values, "limit": limit})
        found = await rows.fetchall()
    read = [
        (_row(row["decision"], row["completion"], None, None), row) for row in found
    ]
    return [
        Kept(one.decision, one.completion, row["prompt"] or "") for one, row in read
    ]


def page(
    sought: Sought, limit: int, after: Place | None = None
) -> tuple[bytes, dict[str, Any]]:
    """The query of a page."""
    conditions, values = where(sought, after)
    query = (
        f"SELECT d.record AS decision, c.record AS completion, d.signed, {TOLD} AS webhook FROM {joined(sought)} WHERE {conditions} "
        "ORDER BY d.day DESC, d.id DESC LIMIT %(limit)s"
    )
    return query.encode(), {**values, "limit": limit}


async def one(pool: Pool, id: str) -> tuple[Row, str, str] | None:
    """An exchange, its tenant's wrapped key for prompts, and its kept prompt.

    Raises ValueError for an invalid id.
    """
    query = (
        f"SELECT d.record AS decision, c.record AS completion, d.signed, {TOLD} AS webhook, t.prompt_key, d.prompt "
        f"FROM {JOINED} LEFT JOIN tenant t ON t.id = d.tenant WHERE d.day = %s AND d.id = %s"
    )
    async with pool.connection() as connection:
        rows = await connection.execute(query.encode(), (time_of(id).date(), id))
        row = await rows.fetchone()
    if row is None:
        return None
    key, prompt = row.pop("prompt_key") or "", row.pop("prompt") or ""
    return _row(**row), key, prompt


def place_of(row: Row | Kept) -> Place:
    """The position of a page that ends with this row."""
    return Place(time_of(row.decision.id).date(), row.decision.id)


# What is counted; of names that are many, only the most frequent.
COUNTED = {
    "actions": "SELECT action AS name, count(*) FROM found GROUP BY 1",
    "reasons": "SELECT reason AS name, count(*) FROM found GROUP BY 1",
    "outcomes": "SELECT coalesce(outcome, 'open') AS name, count(*) FROM found GROUP BY 1",
    "providers": "SELECT provider AS name, count(*) FROM found WHERE provider <> '' GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT %(top)s",
    "models": "SELECT model AS name, count(*) FROM found WHERE model <> '' GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT %(top)s",
    "rules": "SELECT unnest(rules) AS name, count(*) FROM found WHERE rules <> '{}' GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT %(top)s",
}
SUMMED = (
    "SELECT least(sum(input_tokens), 9e18)::bigint AS input_tokens, least(sum(output_tokens), 9e18)::bigint AS output_tokens, "
    "percentile_cont(%(quantiles)s::float8[]) WITHIN GROUP (ORDER BY duration_ms) AS duration, "
    "percentile_cont(%(quantiles)s::float8[]) WITHIN GROUP (ORDER BY first_byte_ms) AS first_byte FROM found"
)


async def stats(pool: Pool, sought: Sought) -> Mapping[str, Any]:
    """Counts by action, reason, outcome, rule, provider and model; quantiles of
    durations; tokens. One pass.
    """
    conditions, values = where(sought, None)
    counts = " UNION ALL ".join(
        f"(SELECT '{what}' AS what, name, count FROM ({query}) AS one)"
        for what, query in COUNTED.items()
    )
    found = (
        "WITH found AS MATERIALIZED (SELECT d.action, d.reason, d.provider, d.model, d.rules || coalesce(c.rules, '{}') AS rules, "
        f"c.outcome, c.input_tokens, c.output_tokens, c.duration_ms, c.first_byte_ms FROM {joined(sought)} WHERE {conditions}) "
    )
    query = f"{found} SELECT (SELECT json_agg(k) FROM ({counts}) AS k) AS counts, s.* FROM ({SUMMED}) AS s"
    async with pool.connection() as connection:
        rows = await connection.execute(
            query.encode(), {**values, "top": TOP, "quantiles": list(QUANTILES)}
        )
        row = await rows.fetchone()
    assert row is not None
    told: dict[str, Any] = {what: {} for what in COUNTED}
    for one in sorted(
        row.pop("counts") or (), key=lambda one: (-one["count"], one["name"])
    ):
        told[one["what"]][one["name"]] = one["count"]
    return {**told, **row}


def where(sought: Sought, after: Place | None) -> tuple[str, dict[str, Any]]:
    """The conditions of a search, and their values."""
    values: dict[str, Any] = {
        name: value
        for name in sought.__dataclass_fields__
        if name != "excluding" and (value := getattr(sought, name)) is not None
    }
    if sought.tenants is not None and len(sought.tenants) == 1:
        # Of one, rows come out of the index in their order.
        (values["tenant"],) = values.pop("tenants")
    told = [*values, *(["after"] if after is not None else [])]
    if sought.since is not None:
        values |= _bound("since", sought.since - EARLIER)
    if sought.until is not None:
        values |= _bound("until", sought.until + EARLIER)
    if after is not None:
        values |= {"after_day": after.day, "after_id": after.id}
    conditions = [CONDITIONS[name] for name in told]
    for name, value in sought.excluding:
        condition = CONDITIONS[name].replace(f"%({name})s", f"%(no_{name})s")
        conditions.append(f"({condition}) IS NOT TRUE")
        values[f"no_{name}"] = value
    return " AND ".join(conditions) or "true", values


def place_at(time: datetime) -> Place:
    """The position before all exchanges that began at a time or later."""
    moment = max(time.astimezone(UTC), datetime.fromtimestamp(0, UTC))
    id = uuid.UUID(int=int(moment.timestamp() * 1000) << 80)
    return Place(moment.date(), str(id))


def _bound(name: str, time: datetime) -> dict[str, Any]:
    """The day and id of an exchange that began at a time: they bound the partitions and
    rows to read.
    """
    place = place_at(time)
    return {f"{name}_day": place.day, f"{name}_id": place.id}


def joined(sought: Sought) -> str:
    """Decisions joined with their completions, whose ids are equal."""
    bounds = [
        COMPLETED[name]
        for name in ("since", "until")
        if getattr(sought, name) is not None
    ]
    return " AND ".join((JOINED, *bounds))


def _row(
    decision: bytes,
    completion: bytes | None,
    webhook: Told | None,
    signed: bool | None,
) -> Row:
    first = decode(decision)
    second = decode(completion) if completion is not None else None
    if not isinstance(first, Decision) or isinstance(second, Decision):
        raise TypeError("a record of another kind stands in the audit")
    return Row(first, second, webhook, signed)
