"""`/health` and `/health/ready` of control."""

import asyncio

import psycopg
from aiohttp import web
from psycopg_pool import PoolTimeout

from contract.drain import ENDING
from contract.version import VERSION
from control.api.internal import RESTORED
from control.errors import POSTGRES_AWAY, POSTGRES_UNFIT, answer, unfit
from control.redis_queue import redis_fault
from control.state import STATE, State
from control.store import snapshots

PATIENCE = 2.0  # seconds for each subsystem


async def live(request: web.Request) -> web.Response:
    """The event loop runs."""
    return answer({"status": "OK", "version": VERSION, "service": "control"})


async def ready(request: web.Request) -> web.Response:
    """What works and what does not. 503 where PostgreSQL is away; with `?strict=1`,
    where anything is wrong.
    """
    state = request.app[STATE]
    database, queue = await asyncio.gather(_database(state), _queue(state))
    ingest: dict[str, object] = (
        {"status": "DEGRADED", "detail": state.ingest_detail}
        if state.ingest_detail
        else {"status": "OK"}
    )
    rules: dict[str, object] = {"status": "OK", "version": state.rules_hash[:12]}
    if state.rules_complaint:
        rules |= {
            "status": "DEGRADED",
            "detail": f"rule files are not used; see the log: {state.rules_complaint}",
        }
    checks: dict[str, dict[str, object]] = {
        "postgres": database,
        "redis": queue,
        "ingest": ingest,
        "rules": rules,
    }
    if state.draining:
        checks["end"] = {"status": "DOWN", "detail": ENDING}
    states = {check["status"] for check in checks.values()}
    status = "DOWN" if "DOWN" in states else "DEGRADED" if states != {"OK"} else "OK"
    body = {
        "status": status,
        "version": VERSION,
        "service": "control",
        "checks": checks,
    }
    unfit = status != "OK" if request.query.get("strict") == "1" else status == "DOWN"
    return answer(body, 503 if unfit else 200)


async def _database(state: State) -> dict[str, object]:
    try:
        served, reads_only = await asyncio.wait_for(_looked_up(state), PATIENCE)
        if reads_only:
            told = POSTGRES_UNFIT[psycopg.errors.ReadOnlySqlTransaction]
            return {"status": "DOWN", "detail": f"{told.message} {told.hint}"}
        if served.held:
            return {"status": "DEGRADED", "detail": RESTORED}
        return {"status": "OK", "snapshot": served.version}
    except (psycopg.Error, PoolTimeout, TimeoutError) as error:
        told = unfit(error) or POSTGRES_AWAY
        return {"status": "DOWN", "detail": told.message}


async def _looked_up(state: State) -> tuple[snapshots.Served, bool]:
    """What is served, and whether the database only reads."""
    async with state.pool.connection() as connection:
        found = await connection.execute(
            "SELECT current_setting('transaction_read_only') AS only"
        )
        row = await found.fetchone()
    assert row is not None
    return await snapshots.served(state.pool), row["only"] == "on"


async def _queue(state: State) -> dict[str, object]:
    if (said := await redis_fault(state.redis)) is not None:
        detail = f"Redis {said}. Proxies keep their records until it takes them"
        return {"status": "DEGRADED", "detail": detail}
    return {"status": "OK"}
