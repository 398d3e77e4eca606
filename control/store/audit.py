"""The audit: stores records, in whole batches."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import NamedTuple

import msgspec

from contract.decision import Completion, Decision, Place, Record, encode, time_of
from control.store import deliveries, keys, tally
from control.store.database import Connection, Pool

# Advisory locks; any numbers that no other job has (here: letters of its name).
INGEST_LOCK, PARTITIONS_LOCK = 0x696E67657374, 0x64617973
# PostgreSQL's integer.
MAX_INTEGER = 2**31 - 1
# Rows of the quarantine, and bytes of each: whoever can write to Redis must not fill the database. Beyond them
# what is set aside is only counted.
MOST_SET_ASIDE, MOST_PAYLOAD = 1_000, 1024 * 1024
MOST_TOKENS = 10**9  # tokens that one exchange is believed to have cost
BETWEEN = "\x1f"  # rules of one record
COLUMNS = {
    "decision": {
        "day": "date", "id": "uuid", "tenant": "text", "time": "timestamptz", "action": "text", "record": "bytea", "reason": "text",
        "provider": "text", "host": "text", "model": "text", "rules": "text", "prompt": "text", "signed": "boolean",
    },
    "completion": {
        "day": "date", "id": "uuid", "tenant": "text", "record": "bytea", "outcome": "text", "action": "text", "rules": "text",
        "input_tokens": "bigint", "output_tokens": "bigint", "first_byte_ms": "integer", "duration_ms": "integer", "added_ms": "real",
    },
}  # fmt: skip


def partition_of(day: str) -> Sequence[str]:
    """The statements that make the partitions of a day, such as `20261129`.

    A table that is made and then attached waits for nobody who reads, such as a backup;
    `CREATE TABLE … PARTITION OF` would.
    """
    first = datetime.strptime(day, "%Y%m%d").date()
    return [
        f"DO $$ BEGIN IF to_regclass('{table}_{day}') IS NULL THEN "
        f"CREATE TABLE {table}_{day} (LIKE {table} INCLUDING ALL); "
        f"ALTER TABLE {table} ATTACH PARTITION {table}_{day} FOR VALUES FROM ('{first}') TO ('{first + timedelta(days=1)}'); "
        "END IF; END $$"
        for table in ("decision", "completion")
    ]


class Arrival(NamedTuple):
    """A record as it arrived.

    `entry` is its id in the stream, `payload` its canonical bytes. `signed`: it had its proxy's MAC; None
    where it came from a file.
    """

    entry: str
    payload: bytes
    record: Record
    signed: bool | None = None


class Unreadable(NamedTuple):
    """An entry that is no record, or cannot be stored, and why; with its `place`, where
    that is known. `signed`: it had its proxy's MAC.
    """

    entry: str
    payload: bytes
    reason: str
    place: Place | None = None
    signed: bool = False


class Partitions:
    """Knows which days have partitions, so that each is made once."""

    def __init__(self) -> None:
        self._made: set[date] = set()

    async def ensure(self, connection: Connection, days: set[date]) -> None:
        """Make the partitions of these days, in the caller's transaction."""
        missing = sorted(days - self._made)
        if missing:
            await connection.execute(
                "SELECT pg_advisory_xact_lock(%s)", (PARTITIONS_LOCK,)
            )
        for day in missing:
            for statement in partition_of(f"{day:%Y%m%d}"):
                await connection.execute(statement.encode())

    def forget(self) -> None:
        """Some partitions were dropped."""
        self._made.clear()

    def made(self, days: set[date]) -> None:
        """The transaction that made partitions was committed."""
        self._made |= days


async def store(
    connection: Connection,
    partitions: Partitions,
    arrivals: Sequence[Arrival],
    unreadable: Sequence[Unreadable],
    *,
    live: bool = True,
) -> int:
    """Store one batch in one transaction: rows, counts, webhook events, quarantine,
    watermarks. Idempotent.

    `live`: records of our proxies; else only rows are stored. Gives the number of new
    decisions.
    """
    days = {arrival: time_of(arrival.record.id).date() for arrival in arrivals}
    async with connection.transaction():
        await partitions.ensure(connection, set(days.values()))
        decisions = [
            _decision(days[a], a, a.record)
            for a in arrivals
            if isinstance(a.record, Decision)
        ]
        completions = [
            _completion(days[a], a, a.record)
            for a in arrivals
            if isinstance(a.record, Completion)
        ]
        new_decisions = await _insert(connection, "decision", decisions)
        new_completions = await _insert(connection, "completion", completions)
        each = {
            (type(arrival.record), arrival.record.id): arrival.record
            for arrival in arrivals
        }
        new = [
            one
            for one in each.values()
            if one.id
            in (new_decisions if isinstance(one, Decision) else new_completions)
        ]
        if live:
            await _follow(connection, arrivals, unreadable, new)
    partitions.made(set(days.values()))
    return len(new_decisions)


async def _follow(
    connection: Connection,
    arrivals: Sequence[Arrival],
    unreadable: Sequence[Unreadable],
    new: Sequence[Record],
) -> None:
    """What follows from new records of our proxies."""
    await keys.mark_used(connection, _used(new))
    await deliveries.queue(connection, new)
    await tally.add(connection, tally.counted(new) + tally.set_aside(unreadable))
    await connection.cursor().executemany(
        "INSERT INTO quarantine (entry, payload, reason, signed) SELECT %s, %s, %s, %s "
        "WHERE (SELECT count(*) FROM quarantine) < %s ON CONFLICT DO NOTHING",
        [
            (
                one.entry,
                one.payload[:MOST_PAYLOAD],
                one.reason,
                one.signed,
                MOST_SET_ASIDE,
            )
            for one in unreadable
        ],
    )
    kept_aside = [one.place for one in unreadable if one.place is not None]
    await _advance(
        connection, [*(arrival.record.place for arrival in arrivals), *kept_aside]
    )


def _used(records: Sequence[Record]) -> dict[str, datetime]:
    """The keys of these calls, and when each was last used."""
    used: dict[str, datetime] = {}
    for one in records:
        if isinstance(one, Decision) and one.key:
            used[one.key] = max(one.time, used.get(one.key, one.time))
    return used


async def _insert(
    connection: Connection, table: str, rows: Sequence[tuple[object, ...]]
) -> set[str]:
    """Insert in one statement; the ids that were not there before."""
    if not rows:
        return set()
    names = ", ".join(COLUMNS[table])
    values = names.replace("rules", f"string_to_array(rules, '{BETWEEN}')")
    arrays = ", ".join(f"%s::{type}[]" for type in COLUMNS[table].values())
    query = f"INSERT INTO {table} ({names}) SELECT {values} FROM unnest({arrays}) AS r ({names}) ON CONFLICT DO NOTHING RETURNING id"
    done = await connection.execute(
        query.encode(), [list(column) for column in zip(*rows, strict=True)]
    )
    return {str(row["id"]) for row in await done.fetchall()}


def _decision(day: date, arrival: Arrival, one: Decision) -> tuple[object, ...]:
    rules = BETWEEN.join(fired.rule for fired in one.rules)
    found_by = (one.reason, one.provider, one.host, one.model, rules)
    record = (
        encode(msgspec.structs.replace(one, prompt=""))
        if one.prompt
        else arrival.payload
    )
    return (
        day,
        one.id,
        one.tenant,
        one.time,
        one.action,
        record,
        *found_by,
        one.prompt or None,
        arrival.signed,
    )


def _completion(day: date, arrival: Arrival, one: Completion) -> tuple[object, ...]:
    rules = BETWEEN.join(fired.rule for fired in one.rules)
    counted = (
        _tokens(one.input_tokens),
        _tokens(one.output_tokens),
        _integer(one.first_byte_ms),
        _integer(one.duration_ms),
        one.added_ms,
    )
    return (
        day,
        one.id,
        one.tenant,
        arrival.payload,
        one.outcome,
        one.action,
        rules,
        *counted,
    )


def _tokens(number: int | None) -> int | None:
    return None if number is None else min(max(number, 0), MOST_TOKENS)


def _integer(number: int | None) -> int | None:
    return None if number is None else min(number, MAX_INTEGER)


async def _advance(connection: Connection, places: Sequence[Place]) -> None:
    """Note which records of each spool are stored.

    The watermark is where the first gap begins.
    """
    by_spool: defaultdict[tuple[str, str], set[int]] = defaultdict(set)
    for place in places:
        by_spool[place.worker, place.boot].add(place.seq)
    for (worker, boot), seqs in sorted(by_spool.items()):
        ranges = (
            "{"
            + ",".join(f"[{first},{last}]" for first, last in _runs(sorted(seqs)))
            + "}"
        )
        await connection.execute(
            "INSERT INTO watermark (worker, boot, stored) VALUES (%s, %s, %s::int8multirange) "
            "ON CONFLICT (worker, boot) DO UPDATE SET stored = watermark.stored + excluded.stored",
            (worker, boot, ranges),
        )


def _runs(numbers: Sequence[int]) -> list[tuple[int, int]]:
    """Sorted numbers as runs without a gap, each (first, last)."""
    runs: list[tuple[int, int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], number)
        else:
            runs.append((number, number))
    return runs


async def signers(connection: Connection) -> set[str]:
    """The workers whose records were signed."""
    rows = await connection.execute("SELECT worker FROM signer")
    return {row["worker"] for row in await rows.fetchall()}


async def note_signers(connection: Connection, workers: set[str]) -> None:
    """Note workers whose records are signed."""
    await connection.execute(
        "INSERT INTO signer (worker) SELECT * FROM unnest(%s::text[]) ON CONFLICT DO NOTHING",
        (sorted(workers),),
    )


async def watermark(connection: Connection, worker: str, boot: str) -> int:
    """The highest seq stored without a gap, -1 for none."""
    rows = await connection.execute(
        "SELECT upper(one) - 1 AS seq FROM watermark, unnest(stored) AS one WHERE worker = %s AND boot = %s AND lower(one) = 0",
        (worker, boot),
    )
    row = await rows.fetchone()
    return int(row["seq"]) if row else -1


async def watermark_of(pool: Pool, worker: str, boot: str) -> int:
    """`watermark`, on a connection of its own."""
    async with pool.connection() as connection:
        return await watermark(connection, worker, boot)
