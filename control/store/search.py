"""The audit: records out, newest first, page by page, and counted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Literal, NamedTuple

from contract.decision import Completion, Decision, decode, time_of
from control.store.database import Pool

TOP = 20  # rules, models and hosts that are named in counts
QUANTILES = (0.5, 0.95, 0.99)


Told = Literal["waiting", "delivered", "dead"]


class Row(NamedTuple):
    """An exchange: its decision, its completion once there is one, and what became of telling a webhook of it."""

    decision: Decision
    completion: Completion | None
    webhook: Told | None = None


class Place(NamedTuple):
    """Where a page ended."""

    day: date
    id: str


@dataclass(frozen=True)
class Sought:
    """What is looked for; None of a thing: whatever it is. `rule` fired on the call or on its answer; `text` stands in the reason,
    in a rule's name, or in the error.
    """

    tenant: str | None = None
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


CONDITIONS = {
    "tenant": "d.tenant = %(tenant)s",
    "status": "d.action = %(status)s",
    "reason": "d.reason = %(reason)s",
    "rule": "(d.rules @> ARRAY[%(rule)s] OR c.rules @> ARRAY[%(rule)s])",
    "provider": "d.provider = %(provider)s",
    "host": "d.host = %(host)s",
    "model": "d.model = %(model)s",
    "outcome": "c.outcome = %(outcome)s",
    "text": "(strpos(d.reason, %(text)s) > 0 OR strpos(array_to_string(d.rules || c.rules, ' '), %(text)s) > 0)",
    "since": "d.day >= %(since_day)s AND d.time >= %(since)s",
    "until": "d.day <= %(until_day)s AND d.time < %(until)s",
    "after": "(d.day, d.id) < (%(after_day)s, %(after_id)s)",
}
# What became of telling webhooks: the least of it where there are several.
TOLD = "(SELECT min(coalesce(y.state, 'waiting')) FROM webhook_event e LEFT JOIN delivery y ON y.id = e.delivery WHERE e.decision = d.id)"
JOINED = "decision d LEFT JOIN completion c ON c.day = d.day AND c.id = d.id"


async def search(pool: Pool, sought: Sought, *, limit: int, after: Place | None = None) -> list[Row]:
    """The newest exchanges that are looked for, behind a place."""
    where, values = _where(sought, after)
    query = (
        f"SELECT d.record AS decision, c.record AS completion, {TOLD} AS webhook FROM {JOINED} WHERE {where} "
        "ORDER BY d.day DESC, d.id DESC LIMIT %(limit)s"
    )
    async with pool.connection() as connection:
        rows = await connection.execute(query.encode(), {**values, "limit": limit})
        return [_row(**row) for row in await rows.fetchall()]


async def one(pool: Pool, id: str) -> tuple[Row, str] | None:
    """An exchange, and its tenant's wrapped key for prompts. Raises ValueError for what is no id of an exchange."""
    query = (
        f"SELECT d.record AS decision, c.record AS completion, {TOLD} AS webhook, t.prompt_key "
        f"FROM {JOINED} LEFT JOIN tenant t ON t.id = d.tenant WHERE d.day = %s AND d.id = %s"
    )
    async with pool.connection() as connection:
        rows = await connection.execute(query.encode(), (time_of(id).date(), id))
        row = await rows.fetchone()
    if row is None:
        return None
    key = row.pop("prompt_key") or ""
    return _row(**row), key


def place_of(row: Row) -> Place:
    """Where a page ends that ends with this row."""
    return Place(time_of(row.decision.id).date(), row.decision.id)


async def stats(pool: Pool, sought: Sought) -> Mapping[str, Any]:
    """Counts over what is looked for: by action, reason, outcome, rule, provider and model; quantiles of durations; tokens."""
    where, values = _where(sought, None)
    async with pool.connection() as connection, connection.transaction():
        await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")

        async def ask(select: str, rest: str = "") -> list[dict[str, Any]]:
            query = f"SELECT {select} FROM {JOINED} WHERE {where} {rest}"
            return await (await connection.execute(query.encode(), {**values, "top": TOP, "quantiles": list(QUANTILES)})).fetchall()

        actions = await ask("d.action AS name, count(*) AS count", "GROUP BY 1 ORDER BY 2 DESC")
        reasons = await ask("d.reason AS name, count(*) AS count", "GROUP BY 1 ORDER BY 2 DESC")
        outcomes = await ask("coalesce(c.outcome, 'open') AS name, count(*) AS count", "GROUP BY 1 ORDER BY 2 DESC")
        providers = await ask("d.provider AS name, count(*) AS count", "AND d.provider <> '' GROUP BY 1 ORDER BY 2 DESC LIMIT %(top)s")
        models = await ask("d.model AS name, count(*) AS count", "AND d.model <> '' GROUP BY 1 ORDER BY 2 DESC LIMIT %(top)s")
        rules = await ask(
            "unnest(d.rules || coalesce(c.rules, '{}')) AS name, count(*) AS count", "GROUP BY 1 ORDER BY 2 DESC LIMIT %(top)s"
        )
        sums = await ask(
            "sum(c.input_tokens)::bigint AS input_tokens, sum(c.output_tokens)::bigint AS output_tokens, "
            "percentile_cont(%(quantiles)s::float8[]) WITHIN GROUP (ORDER BY c.duration_ms) AS duration, "
            "percentile_cont(%(quantiles)s::float8[]) WITHIN GROUP (ORDER BY c.first_byte_ms) AS first_byte"
        )
    return {
        "actions": _counts(actions), "reasons": _counts(reasons), "outcomes": _counts(outcomes), "providers": _counts(providers),
        "models": _counts(models), "rules": _counts(rules), **sums[0],
    }  # fmt: skip


def _counts(rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    return {row["name"]: row["count"] for row in rows}


def _where(sought: Sought, after: Place | None) -> tuple[str, dict[str, Any]]:
    """Conditions and their values. A day's partition is only looked at where the time may be in it."""
    values = {name: value for name in sought.__dataclass_fields__ if (value := getattr(sought, name)) is not None}
    told = [*values, *(["after"] if after is not None else [])]
    if sought.since is not None:
        values["since_day"] = sought.since.date() - timedelta(days=1)  # an id is made a moment before its decision
    if sought.until is not None:
        values["until_day"] = sought.until.date() + timedelta(days=1)
    if after is not None:
        values |= {"after_day": after.day, "after_id": after.id}
    return " AND ".join(CONDITIONS[name] for name in told) or "true", values


def _row(decision: bytes, completion: bytes | None, webhook: Told | None) -> Row:
    first = decode(decision)
    second = decode(completion) if completion is not None else None
    if not isinstance(first, Decision) or isinstance(second, Decision):
        raise TypeError("a record of another kind stands in the audit")
    return Row(first, second, webhook)
