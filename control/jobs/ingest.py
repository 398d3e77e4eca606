"""Stores records:

Redis stream → PostgreSQL → acknowledge, one transaction a batch. Nothing is
acknowledged that is not committed.

One control process ingests at a time, under a lock in PostgreSQL, as one named
consumer: a batch that was read but not stored is read again first, the order is kept,
and a batch that is stored twice changes nothing.
"""

import asyncio
import logging
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from redis.exceptions import RedisError, ResponseError

from contract.decision import decode, time_of
from contract.proof import is_signed
from contract.redis_faults import fault_by
from contract.streams import CONSUMER, FIELD, GROUP, MAC, RECORDS
from control.state import State
from control.store import audit
from control.store.audit import Arrival, Partitions, Unreadable
from control.store.database import Connection, alone, lead

logger = logging.getLogger("earthflow.ingest")

# Records of a transaction: a commit costs as much as some hundred rows.
BATCH = 500
# For which Redis holds a read open when there is nothing; then the lock is checked.
BLOCK_MS = 1000
RETRY_SECONDS = 1.0
AHEAD = timedelta(days=1)  # a record further in the future is not ours

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")  # the id of a tenant, a worker, a boot
LARGEST_SEQ = 2**62  # PostgreSQL's int8 ranges hold no more, and no spool gets there
REFUSED = (
    psycopg.DataError,
    psycopg.IntegrityError,
    psycopg.errors.ProgramLimitExceeded,
    TypeError,
    ValueError,
    OverflowError,
)

FORGED = "forged: its MAC is wrong"
UNSIGNED = "forged: it has no MAC, and its proxy signs"

Entry = tuple[bytes, dict[bytes, bytes]]


async def run(state: State) -> None:
    """Ingest until cancelled; an outage is waited out."""
    while True:
        try:
            async with await alone(state.settings.database) as connection:
                if await lead(connection, audit.INGEST_LOCK):
                    await _ingest(state, connection)
                state.ingest_detail = ""
        except psycopg.Error as error:
            _say(state, f"PostgreSQL cannot store records ({type(error).__name__})")
        except (RedisError, OSError) as error:
            _say(state, f"Redis {fault_by(error)}")
        except Exception as error:  # whatever it is: log it, and try again
            _say(state, f"records are not stored ({type(error).__name__})")
        await asyncio.sleep(RETRY_SECONDS)


def _say(state: State, detail: str) -> None:
    if state.ingest_detail != detail:
        logger.warning("%s; they wait", detail)
    state.ingest_detail = detail


async def _ingest(state: State, connection: Connection) -> None:
    """Ingest as the leader: first what was read and never acknowledged, then new
    entries.
    """
    partitions = Partitions()
    signers = await audit.signers(connection)
    await _group(state)
    start = "0"
    while True:
        try:
            answer: Any = await state.redis.xreadgroup(
                GROUP, CONSUMER, {RECORDS: start}, count=BATCH, block=BLOCK_MS
            )
        except ResponseError as error:
            if "NOGROUP" not in str(error):
                raise
            # Redis was flushed: the proxies send again what is missing
            await _group(state)
            continue
        entries: list[Entry] = answer[0][1] if answer else []
        if not entries:
            # the lock is held only while its connection lives
            await connection.execute("SELECT 1")
            state.ingest_detail = ""  # both answer, though nothing is to be stored
            # What an earlier leader read late and could not store is in the backlog:
            # check that when the stream is quiet.
            start = ">" if start == "0" else "0"
            continue
        arrivals, unreadable = _read(
            entries, state.settings.retention_days, state.vault.record_key, signers
        )
        for one in unreadable:
            logger.error(
                "entry %s is no record and is kept in quarantine: %s",
                one.entry,
                one.reason,
            )
        await audit.note_signers(connection, signers)
        await _store(connection, partitions, arrivals, unreadable)
        ids = [entry for entry, _ in entries]
        async with state.redis.pipeline(transaction=True) as pipeline:
            pipeline.xack(RECORDS, GROUP, *ids)
            pipeline.xdel(RECORDS, *ids)
            await pipeline.execute()
        state.ingest_detail = ""


async def _store(
    connection: Connection,
    partitions: Partitions,
    arrivals: list[Arrival],
    unreadable: list[Unreadable],
) -> None:
    """Store in one transaction; where PostgreSQL refuses a value, in one for each
    record, and keep the refused ones aside.
    """
    try:
        await audit.store(connection, partitions, arrivals, unreadable)
    except psycopg.errors.CheckViolation:  # a partition that we had made was dropped
        partitions.forget()
        raise
    except REFUSED:
        await audit.store(connection, partitions, [], unreadable)
        for arrival in arrivals:
            try:
                await audit.store(connection, partitions, [arrival], [])
            except REFUSED as error:
                reason = f"PostgreSQL refuses it: {type(error).__name__}"
                logger.error(
                    "entry %s is kept in quarantine: %s", arrival.entry, reason
                )
                await audit.store(
                    connection,
                    partitions,
                    [],
                    [
                        Unreadable(
                            arrival.entry, arrival.payload, reason, arrival.record.place
                        )
                    ],
                )


async def _group(state: State) -> None:
    try:
        await state.redis.xgroup_create(RECORDS, GROUP, id="0", mkstream=True)
    except ResponseError as error:
        if "BUSYGROUP" not in str(error):
            raise


def _read(
    entries: list[Entry], retention_days: int, key: bytes, signers: set[str]
) -> tuple[list[Arrival], list[Unreadable]]:
    """The records; what is none is kept aside with its reason, never dropped.

    A record without its proxy's MAC is none, and moves no watermark. `signers` are the workers
    that sign; those that begin to are added. Others are proxies of an earlier version.
    """
    arrivals, unreadable = [], []
    now = datetime.now(UTC)
    oldest = now - timedelta(days=retention_days)
    for entry, fields in entries:
        payload = fields.get(FIELD, b"") if fields else b""
        mac = fields.get(MAC, b"") if fields else b""
        if mac and not is_signed(mac, key, payload):
            unreadable.append(Unreadable(entry.decode(), payload, FORGED))
            continue
        try:
            record = decode(payload)
            made = time_of(record.id)
            if not (
                NAME.fullmatch(record.place.worker)
                and NAME.fullmatch(record.place.boot)
                and NAME.fullmatch(record.tenant)
            ):
                raise ValueError("its place or its tenant has an impossible name")
            if not 0 <= record.place.seq < LARGEST_SEQ:
                raise ValueError("its place has an impossible number")
        except (ValueError, OverflowError, RecursionError) as error:
            unreadable.append(
                Unreadable(
                    entry.decode(),
                    payload,
                    f"{type(error).__name__}: {error}"[:500].replace("\0", "?"),
                )
            )
            continue
        if mac:
            signers.add(record.place.worker)
        elif record.place.worker in signers:
            unreadable.append(Unreadable(entry.decode(), payload, UNSIGNED))
            continue
        if not oldest <= made <= now + AHEAD:
            unreadable.append(
                Unreadable(
                    entry.decode(),
                    payload,
                    f"its time, {made}, is outside of what is kept",
                    record.place,
                )
            )
        else:
            arrivals.append(Arrival(entry.decode(), payload, record))
    return arrivals, unreadable
