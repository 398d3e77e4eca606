"""`earthflow control`: settings, rules, database, then the API. What is wrong is a sentence and a status, before the port opens."""

import asyncio
import logging
import signal
import sys

import redis.asyncio as aioredis
import uvloop
from aiohttp import web
from pydantic import ValidationError

from contract.settings import explain, refuse_start
from contract.unwrap import WrongMasterKey, unwrap
from control.app import application
from control.rule_files import hash_of, read_sources
from control.settings import ControlSettings
from control.state import State
from control.store import database, snapshots
from control.vault import Vault
from rules.complaint import BadRules

PROGRAM = "earthflow control"
DRAIN_SECONDS = 5.0
REDIS_TIMEOUT = 5.0


async def serve(settings: ControlSettings) -> int:
    """Run until told to end; the exit status."""
    try:
        rules = read_sources(settings.rules_dir)
        pool = await database.connect(settings.database, settings.database_place, settings.start_timeout)
        await database.migrate(pool)
        vault = Vault(settings.master)
        pepper = await snapshots.pepper(pool, vault.new_secret())
        unwrap(settings.master, pepper)
        await snapshots.note_rules(pool, hash_of(rules))
    except (BadRules, WrongMasterKey, database.ChangedMigration) as error:
        refuse_start(PROGRAM, [str(error)])
    except database.Unreachable as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return 1
    redis = aioredis.Redis.from_url(settings.redis, socket_connect_timeout=REDIS_TIMEOUT, socket_timeout=REDIS_TIMEOUT)
    state = State(settings, pool, redis, vault, rules, pepper)
    try:
        return await _run(state)
    finally:
        await redis.aclose()
        await pool.close()


async def _run(state: State) -> int:
    settings = state.settings
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    runner = web.AppRunner(application(state), access_log=None, shutdown_timeout=DRAIN_SECONDS)
    await runner.setup()
    try:
        await web.TCPSite(runner, settings.dashboard_host, settings.dashboard_port).start()
    except OSError:
        print(
            f"{PROGRAM}: port {settings.dashboard_port} is taken. Stop what listens there or set EARTHFLOW_DASHBOARD_PORT.", file=sys.stderr
        )
        await runner.cleanup()
        return 1
    print(f"{PROGRAM}: listening on port {runner.addresses[0][1]}", flush=True)
    await ended.wait()
    await runner.cleanup()
    return 0


def main() -> None:
    """`python -m control`."""
    try:
        settings = ControlSettings()
    except ValidationError as error:
        refuse_start(PROGRAM, explain(error))
    logging.basicConfig(level="WARNING", format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("earthflow").setLevel(settings.logging_level)
    raise SystemExit(uvloop.run(serve(settings)))


if __name__ == "__main__":
    main()
