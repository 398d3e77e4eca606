"""Redis stream -> PostgreSQL -> acknowledge: one transaction a batch, and nothing acknowledged that is not committed.

One control process ingests at a time, under a lock in PostgreSQL, as one named consumer: so a batch that was read but not stored is
read again first, order is kept, and a batch stored twice changes nothing.
"""

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import psycopg
from redis.exceptions import RedisError, ResponseError

from contract.decision import decode, time_of
from contract.streams import CONSUMER, FIELD, GROUP, RECORDS
from control.state import State
from control.store import audit
from control.store.audit import Arrival, Partitions, Unreadable
from control.store.database import Connection, alone

logger = logging.getLogger("earthflow.ingest")

BATCH = 500
BLOCK_MS = 1000
RETRY_SECONDS = 1.0
AHEAD = timedelta(days=1)  # a record further in the future is no record of ours

Entry = tuple[bytes, dict[bytes, bytes]]


async def run(state: State) -> None:
    """Ingest, for ever; an outage is waited out."""
    while True:
        try:
            async with await alone(state.settings.database) as connection:
                if await audit.lead(connection):
                    await _ingest(state, connection)
                state.ingest_detail = ""
        except psycopg.Error as error:
            _say(state, f"PostgreSQL does not take records ({type(error).__name__})")
        except (RedisError, OSError) as error:
            _say(state, f"Redis does not give records ({type(error).__name__})")
        await asyncio.sleep(RETRY_SECONDS)


def _say(state: State, detail: str) -> None:
    if state.ingest_detail != detail:
        logger.warning("%s; they wait", detail)
    state.ingest_detail = detail


async def _ingest(state: State, connection: Connection) -> None:
    """As the leader: first what was read and never acknowledged, then what comes."""
    partitions = Partitions()
    await _group(state)
    start = "0"
    while True:
        try:
            answer: Any = await state.redis.xreadgroup(GROUP, CONSUMER, {RECORDS: start}, count=BATCH, block=BLOCK_MS)
        except ResponseError as error:
            if "NOGROUP" not in str(error):
                raise
            await _group(state)  # Redis was flushed; proxies will send again what is missing
            continue
        entries: list[Entry] = answer[0][1] if answer else []
        if start == "0" and not entries:
            start = ">"
        if not entries:
            await connection.execute("SELECT 1")  # a lock is only held while its connection lives
            continue
        arrivals, unreadable = _read(entries, state.settings.retention_days)
        await _store(connection, partitions, arrivals, unreadable)
        ids = [entry for entry, _ in entries]
        async with state.redis.pipeline(transaction=True) as pipeline:
            pipeline.xack(RECORDS, GROUP, *ids)
            pipeline.xdel(RECORDS, *ids)
            await pipeline.execute()
        state.ingest_detail = ""


async def _store(connection: Connection, partitions: Partitions, arrivals: list[Arrival], unreadable: list[Unreadable]) -> None:
    """One transaction for all; where PostgreSQL refuses a value, one for each, and what is refused is kept aside."""
    try:
        await audit.store(connection, partitions, arrivals, unreadable)
    except (psycopg.DataError, psycopg.IntegrityError):
        await audit.store(connection, partitions, [], unreadable)
        for arrival in arrivals:
            try:
                await audit.store(connection, partitions, [arrival], [])
            except (psycopg.DataError, psycopg.IntegrityError) as error:
                refused = Unreadable(arrival.entry, arrival.payload, f"PostgreSQL refuses it: {type(error).__name__}", arrival.record.place)
                await audit.store(connection, partitions, [], [refused])


async def _group(state: State) -> None:
    try:
        await state.redis.xgroup_create(RECORDS, GROUP, id="0", mkstream=True)
    except ResponseError as error:
        if "BUSYGROUP" not in str(error):
            raise


def _read(entries: list[Entry], retention_days: int) -> tuple[list[Arrival], list[Unreadable]]:
    """Records, and what is none: kept aside with its reason, never dropped."""
    arrivals, unreadable = [], []
    now = datetime.now(UTC)
    for entry, fields in entries:
        payload = fields.get(FIELD, b"") if fields else b""
        try:
            record = decode(payload)
            made = time_of(record.id)
        except (msgspec.DecodeError, ValueError, OverflowError) as error:
            unreadable.append(Unreadable(entry.decode(), payload, str(error)[:500]))
            continue
        if not now - timedelta(days=retention_days) <= made <= now + AHEAD:
            unreadable.append(Unreadable(entry.decode(), payload, f"its time, {made}, is outside of what is kept", record.place))
        else:
            arrivals.append(Arrival(entry.decode(), payload, record))
    return arrivals, unreadable
