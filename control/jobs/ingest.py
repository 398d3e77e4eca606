"""Stores records:

Redis stream → PostgreSQL → acknowledge, one transaction a batch. Nothing is
acknowledged that is not committed.

One control process ingests at a time, under a lock in PostgreSQL, as one named
consumer: a batch that was read but not stored is read again first, the order is kept,
and a batch that is stored twice changes nothing.
"""

import asyncio
import logging

import psycopg
from redis.exceptions import RedisError, ResponseError

from contract.redis_faults import fault_by
from control.arrivals import arrivals_of
from control.record_streams import RecordStreams
from control.state import State
from control.store import audit
from control.store.audit import Arrival, Partitions, Unreadable
from control.store.database import Connection, alone, lead

logger = logging.getLogger("earthflow.ingest")

RETRY_SECONDS = 1.0

REFUSED = (
    psycopg.DataError,
    psycopg.IntegrityError,
    psycopg.errors.ProgramLimitExceeded,
    TypeError,
    ValueError,
    OverflowError,
)


async def run(state: State) -> None:
    """Ingest until cancelled; an outage is waited out."""
    while True:
        try:
            async with await alone(state.settings.database_direct) as connection:
                if await lead(connection, audit.INGEST_LOCK):
                    async with RecordStreams.of(state.settings.redis) as streams:
                        await _ingest(state, connection, streams)
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


async def _ingest(state: State, connection: Connection, streams: RecordStreams) -> None:
    """Ingest as the leader: first what was read and never acknowledged, then new
    entries.
    """
    partitions = Partitions()
    signers = await audit.signers(connection)
    await streams.open()
    start = "0"
    while True:
        try:
            entries, ids = await streams.read(start)
        except ResponseError as error:
            if "NOGROUP" not in str(error):
                raise
            # Redis was flushed: the proxies send again what is missing
            await streams.open()
            continue
        if not entries:
            # the lock is held only while its connection lives
            await connection.execute("SELECT 1")
            _say_part(state, streams)  # both answer, though nothing is to be stored
            # What an earlier leader read late and could not store is in the backlog:
            # check that when the stream is quiet.
            start = ">" if start == "0" else "0"
            continue
        arrivals, unreadable = arrivals_of(
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
        await streams.acknowledge(ids)
        _say_part(state, streams)


def _say_part(state: State, streams: RecordStreams) -> None:
    """All is well, or one part of a Cluster cannot be read."""
    if streams.fault is None:
        state.ingest_detail = ""
    else:
        _say(state, f"a part of the Redis Cluster {fault_by(streams.fault)}")


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
                            arrival.entry,
                            arrival.payload,
                            reason,
                            arrival.record.place,
                            bool(arrival.signed),
                        )
                    ],
                )
