"""Deliveries to webhooks: the queue of decisions to send, the deliveries made of it, and their log."""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NamedTuple

from contract.decision import Decision, Record, new_id
from control.store.admin_audit import changed, changing
from control.store.database import Connection, Pool

MAX_EVENTS = 100  # decisions in one delivery
# Deliveries of a webhook that run or wait for a retry. Beyond them decisions wait, and
# are sent together.
MAX_WAITING = 4


class Due(NamedTuple):
    """A delivery to try now. `secrets` are wrapped."""

    id: str
    webhook: str
    url: str
    body: bytes
    created: datetime
    attempts: int
    failures: int
    secrets: Sequence[str]


class Delivery(NamedTuple):
    """A delivery, as its log shows it."""

    id: str
    created: datetime
    events: int
    state: Literal["waiting", "delivered", "dead"]
    attempts: int
    due: datetime
    status: int | None
    error: str | None
    took_ms: int | None
    ended: datetime | None


async def queue(connection: Connection, records: Iterable[Record]) -> None:
    """Queue these new records for their webhooks, in the caller's transaction."""
    events = [
        (one.tenant, one.action, one.id, json.dumps(_event(one)))
        for one in records
        if one.action is not None
    ]
    if events:
        await connection.execute(
            "INSERT INTO webhook_event (webhook, decision, event) SELECT w.id, e.id, e.event "
            "FROM unnest(%s::text[], %s::text[], %s::uuid[], %s::text[]) AS e (tenant, action, id, event) "
            "JOIN webhook w ON w.tenant = e.tenant AND e.action = ANY (w.statuses) AND w.disabled IS NULL",
            [list(column) for column in zip(*events, strict=True)],
        )


def _event(record: Record) -> dict[str, Any]:
    call = isinstance(record, Decision)
    told = {
        "id": record.id, "time": record.time.isoformat(), "tenant": record.tenant, "on": "call" if call else "answer",
        "status": record.action, "rules": [fired.rule for fired in record.rules],
    }  # fmt: skip
    if isinstance(record, Decision):
        told |= {
            "reason": record.reason,
            "provider": record.provider,
            "host": record.host,
            "model": record.model,
        }
    return told


async def pack(connection: Connection) -> int:
    """Make deliveries of queued decisions, for webhooks that may be tried now; how
    many.
    """
    async with connection.transaction():
        rows = await connection.execute(
            "SELECT w.id FROM webhook w WHERE w.disabled IS NULL AND w.not_before <= now() "
            "AND EXISTS (SELECT FROM webhook_event e WHERE e.webhook = w.id AND e.delivery IS NULL) "
            "AND (SELECT count(*) FROM delivery d WHERE d.webhook = w.id AND d.state = 'waiting') < %s "
            "ORDER BY w.id FOR KEY SHARE",
            (MAX_WAITING,),
        )
        webhooks = [row["id"] for row in await rows.fetchall()]
        for webhook in webhooks:
            await _pack(connection, webhook)
        return len(webhooks)


async def give_up_old(connection: Connection, oldest: timedelta) -> int:
    """Make given-up deliveries of what was queued for too long, so that it can be
    replayed; how many.
    """
    count = 0
    async with connection.transaction():
        rows = await connection.execute(
            "SELECT DISTINCT webhook FROM webhook_event WHERE delivery IS NULL AND at < now() - %s ORDER BY webhook",
            (oldest,),
        )
        for row in await rows.fetchall():
            while await _pack(connection, row["webhook"], older=oldest):
                count += 1
    return count


async def _pack(
    connection: Connection, webhook: str, older: timedelta | None = None
) -> bool:
    """Make one delivery of queued decisions; of `older` ones, a given-up one.

    Whether there were any.
    """
    rows = await connection.execute(
        "SELECT seq, event FROM webhook_event WHERE webhook = %(webhook)s AND delivery IS NULL "
        "AND (%(older)s::interval IS NULL OR at < now() - %(older)s::interval) ORDER BY seq LIMIT %(most)s",
        {"webhook": webhook, "older": older, "most": MAX_EVENTS},
    )
    events = await rows.fetchall()
    if not events:
        return False
    id = new_id()
    body = _message("decisions", [json.loads(row["event"]) for row in events])
    await connection.execute(
        "INSERT INTO delivery (id, webhook, events, body, state, ended, error) VALUES (%s, %s, %s, %s, %s, %s, %s)",
        (
            id,
            webhook,
            len(events),
            body,
            *(
                ("dead", datetime.now(UTC), "it waited for too long")
                if older
                else ("waiting", None, None)
            ),
        ),
    )
    await connection.execute(
        "UPDATE webhook_event SET delivery = %s WHERE webhook = %s AND seq = ANY (%s)",
        (id, webhook, [row["seq"] for row in events]),
    )
    return True


def _message(type: str, decisions: list[Any]) -> bytes:
    return json.dumps(
        {"type": type, "data": {"decisions": decisions}}, separators=(",", ":")
    ).encode()


async def tell(connection: Connection, tenant: str, kind: str, data: object) -> int:
    """Queue a message of that kind for all webhooks of a tenant, in the caller's transaction. How many."""
    body = json.dumps({"type": kind, "timestamp": datetime.now(UTC).isoformat(), "data": data})  # fmt: skip
    rows = await connection.execute(
        "SELECT id FROM webhook WHERE tenant = %s AND disabled IS NULL", (tenant,)
    )
    found = await rows.fetchall()
    await connection.cursor().executemany(
        "INSERT INTO delivery (id, webhook, events, body) VALUES (%s, %s, 1, %s)",
        [(new_id(), row["id"], body.encode()) for row in found],
    )
    return len(found)


async def add_test(pool: Pool, id: str) -> str | None:
    """Add a test delivery; its id, or None where there is no such webhook.

    It counts as given up until it is delivered.
    """
    delivery = new_id()
    async with changing(pool) as connection:
        done = await connection.execute(
            "INSERT INTO delivery (id, webhook, events, body, state, ended) SELECT %s, id, 0, %s, 'dead', now() FROM webhook WHERE id = %s",
            (delivery, _message("test", []), id),
        )
        if not done.rowcount:
            return None
        changed(id, await _tenant_of(connection, id), {}, {"delivery": delivery})
        return delivery


DUE = (
    "SELECT d.id::text, d.webhook, w.url, d.body, d.created, d.attempts, w.failures, "
    "array_remove(ARRAY[w.secret, CASE WHEN w.previous_until > now() THEN w.previous_secret END], NULL) AS secrets "
    "FROM delivery d JOIN webhook w ON w.id = d.webhook "
)


async def due(connection: Connection, under_way: Collection[str]) -> list[Due]:
    """The deliveries to try now that do not run: a few of each webhook, one of a
    failing webhook.
    """
    rows = await connection.execute(
        DUE
        + "JOIN LATERAL (SELECT x.id FROM delivery x WHERE x.webhook = w.id AND x.state = 'waiting' AND x.due <= now() "
        "ORDER BY x.due, x.id LIMIT CASE WHEN w.failures > 0 THEN 1 ELSE %s END) AS first ON first.id = d.id "
        "WHERE d.state = 'waiting' AND w.disabled IS NULL AND w.not_before <= now() AND NOT d.id = ANY (%s::uuid[])",
        (MAX_WAITING, list(under_way)),
    )
    return [Due(**row) for row in await rows.fetchall()]


async def this(pool: Pool, delivery: str) -> Due | None:
    """One delivery, due or not."""
    async with pool.connection() as connection:
        row = await (
            await connection.execute((DUE + "WHERE d.id = %s").encode(), (delivery,))
        ).fetchone()
    return Due(**row) if row else None


async def delivered(pool: Pool, one: Due, status: int, took_ms: int) -> None:
    """A delivery was accepted. Whatever waits for its webhook is due now."""
    async with pool.connection() as connection, connection.transaction():
        await _note(connection, one, "delivered", status, None, took_ms)
        await connection.execute(
            "UPDATE webhook SET failures = 0, not_before = now() WHERE id = %s AND failures > 0",
            (one.webhook,),
        )
        if one.failures:
            await connection.execute(
                "UPDATE delivery SET due = now() WHERE webhook = %s AND state = 'waiting' AND due > now()",
                (one.webhook,),
            )


async def failed(
    pool: Pool,
    one: Due,
    status: int | None,
    error: str,
    took_ms: int,
    again: timedelta,
    rest: timedelta | None,
) -> None:
    """A delivery failed: retry it `again` later, and no other of its webhook before
    `rest`.
    """
    async with pool.connection() as connection, connection.transaction():
        await _note(connection, one, "waiting", status, error, took_ms, again)
        await connection.execute(
            # several at once count once
            "UPDATE webhook SET failures = failures + 1, not_before = now() + %s WHERE id = %s AND failures = %s",
            (rest or timedelta(0), one.webhook, one.failures),
        )


async def given_up(
    pool: Pool, one: Due, status: int | None, error: str, took_ms: int
) -> None:
    """A delivery failed and is not retried by itself."""
    async with pool.connection() as connection, connection.transaction():
        await _note(connection, one, "dead", status, error, took_ms)


async def _note(
    connection: Connection,
    one: Due,
    state: str,
    status: int | None,
    error: str | None,
    took_ms: int,
    again: timedelta | None = None,
) -> None:
    await connection.execute(
        "UPDATE delivery SET state = %(state)s, attempts = attempts + 1, status = %(status)s, error = %(error)s, took_ms = %(took)s, "
        "due = now() + %(again)s, ended = CASE WHEN %(state)s = 'waiting' THEN NULL ELSE now() END WHERE id = %(id)s",
        {
            "id": one.id,
            "state": state,
            "status": status,
            "error": error,
            "took": took_ms,
            "again": again or timedelta(0),
        },
    )


async def log(
    pool: Pool, webhook: str, limit: int, before: str | None
) -> list[Delivery]:
    """The newest deliveries of a webhook, behind one."""
    async with pool.connection() as connection:
        rows = await connection.execute(
            "SELECT id::text, created, events, state, attempts, due, "
            "status, error, took_ms, ended FROM delivery "
            "WHERE webhook = %s AND (%s::uuid IS NULL OR id < %s::uuid) ORDER BY id DESC LIMIT %s",
            (webhook, before, before, limit),
        )
        return [Delivery(**row) for row in await rows.fetchall()]


async def replay(pool: Pool, webhook: str, delivery: str | None) -> int:
    """Send a delivery again, or all that were given up. How many."""
    async with changing(pool) as connection:
        done = await connection.execute(
            "UPDATE delivery SET state = 'waiting', created = now(), attempts = 0, due = now(), ended = NULL "
            "WHERE webhook = %(webhook)s AND events > 0 AND CASE WHEN %(id)s::uuid IS NULL THEN state = 'dead' ELSE id = %(id)s::uuid END",
            {"webhook": webhook, "id": delivery},
        )
        if done.rowcount:
            tenant = await _tenant_of(connection, webhook)
            changed(webhook, tenant, {}, {"replayed": done.rowcount})
        return done.rowcount


async def _tenant_of(connection: Connection, webhook: str) -> str | None:
    rows = await connection.execute(
        "SELECT tenant FROM webhook WHERE id = %s", (webhook,)
    )
    row = await rows.fetchone()
    return row["tenant"] if row else None


async def waiting(pool: Pool) -> Mapping[str, int]:
    """How many deliveries and decisions wait, and how many were given up, over all
    webhooks.
    """
    async with pool.connection() as connection:
        rows = await connection.execute(
            "SELECT (SELECT count(*) FROM delivery WHERE state = 'waiting') + "
            "(SELECT count(*) FROM webhook_event WHERE delivery IS NULL) AS waiting, "
            "(SELECT count(*) FROM delivery WHERE state = 'dead') AS dead"
        )
        row = await rows.fetchone()
    assert row is not None
    return row
