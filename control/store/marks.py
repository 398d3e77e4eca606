"""Marks: what people say of a rule that fired on an exchange, and counts of them by rule."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Literal, NamedTuple

from control.store.admin_audit import UNDER_WAY, changed, changing
from control.store.database import Connection, Pool

Verdict = Literal["false_positive", "true_positive"]


class Mark(NamedTuple):
    """What somebody, by the id of a key, said of a rule in an exchange."""

    rule: str
    verdict: Verdict
    note: str
    actor: str
    at: datetime


class Count(NamedTuple):
    """How often a rule was marked either way."""

    rule: str
    false_positives: int
    true_positives: int


async def put(
    pool: Pool,
    decision: str,
    tenant: str,
    rules: Iterable[str],
    verdict: Verdict | None,
    note: str,
) -> list[Mark]:
    """Mark rules of an exchange, anew where they were marked before; None takes marks away. All marks that it then has."""
    act = UNDER_WAY.get()
    actor = act.actor if act is not None else ""
    async with changing(pool) as connection:
        before = await _of(connection, decision)
        for rule in rules:
            if verdict is None:
                await connection.execute(
                    "DELETE FROM mark WHERE decision = %s AND rule = %s",
                    (decision, rule),
                )
            else:
                await connection.execute(
                    "INSERT INTO mark (decision, rule, tenant, verdict, note, actor) VALUES (%s, %s, %s, %s, %s, %s) "
                    "ON CONFLICT (decision, rule) DO UPDATE SET verdict = excluded.verdict, note = excluded.note, "
                    "actor = excluded.actor, at = now()",
                    (decision, rule, tenant, verdict, note, actor),
                )
        after = await _of(connection, decision)
        changed(decision, tenant, _told(before), _told(after))
        return after


def _told(marks: Iterable[Mark]) -> dict[str, str]:
    return {one.rule: one.verdict for one in marks}


async def of(pool: Pool, decision: str) -> list[Mark]:
    """The marks of an exchange, by rule."""
    async with pool.connection() as connection:
        return await _of(connection, decision)


async def _of(connection: Connection, decision: str) -> list[Mark]:
    rows = await connection.execute(
        "SELECT rule, verdict, note, actor, at FROM mark WHERE decision = %s ORDER BY rule",
        (decision,),
    )
    return [Mark(**row) for row in await rows.fetchall()]


async def counts(
    pool: Pool,
    tenants: Sequence[str] | None,
    since: datetime | None,
    until: datetime | None,
) -> list[Count]:
    """By rule, those with the most false positives first; of these tenants, or of all."""
    async with pool.connection() as connection:
        rows = await connection.execute(
            "SELECT rule, count(*) FILTER (WHERE verdict = 'false_positive') AS false_positives, "
            "count(*) FILTER (WHERE verdict = 'true_positive') AS true_positives FROM mark "
            "WHERE (%(tenants)s::text[] IS NULL OR tenant = ANY (%(tenants)s)) "
            "AND (%(since)s::timestamptz IS NULL OR at >= %(since)s) AND (%(until)s::timestamptz IS NULL OR at < %(until)s) "
            "GROUP BY rule ORDER BY 2 DESC, 3 DESC, 1",
            {"tenants": tenants, "since": since, "until": until},
        )
        return [Count(**row) for row in await rows.fetchall()]


async def forget(connection: Connection, days: int) -> None:
    """Delete the marks that are older, as their exchanges are."""
    await connection.execute(
        "DELETE FROM mark WHERE at < now() - make_interval(days => %s)", (days,)
    )
