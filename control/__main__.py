"""`earthflow control`: settings, rules, database, then the API.

What is wrong is explained, with a status, before the port opens.
"""

import asyncio
import errno
import logging
import signal
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack

import uvloop
from aiohttp import web
from pydantic import ValidationError
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from contract.drain import noticed
from contract.redis_client import connect
from contract.settings import BAD_CONFIGURATION, explain, refuse_start
from contract.unwrap import WrongMasterKey
from control.app import application
from control.keyring import Keyring
from control.port import BadCertificate, Certificate, EitherSite
from control.rule_files import hash_of, own_hashes, prove, read_sources, signature
from control.settings import ControlSettings
from control.state import State
from control.store import database, keys, layers, master_keys, snapshots
from rules.complaint import BadRules

logger = logging.getLogger("earthflow.rules")

PROGRAM = "earthflow control"
# For requests in progress at the end; polls are answered at once.
DRAIN_SECONDS = 5.0
# For which the rest of a body is read that was refused unread, so that its sender gets to the answer.
LINGER_SECONDS = 0.3
# Seconds to connect, and for one answer, for health and metrics.
REDIS_TIMEOUT = 2.0


async def serve(settings: ControlSettings) -> int:
    """Run until SIGTERM or SIGINT; the exit status."""
    async with AsyncExitStack() as opened:
        try:
            seen = signature(settings.rules_dir)
            rules = read_sources(settings.rules_dir)
            pool = await database.connect(
                settings.database,
                settings.database_place,
                settings.start_timeout,
                past_pooler=settings.past_pooler,
            )
            opened.push_async_callback(pool.close)
            reading = await database.for_reading(settings.database_read)
            opened.push_async_callback(reading.close)
            await database.migrate(pool)
            vault = await master_keys.open_vault(pool, settings.master)
            keyring = Keyring(
                vault.open(await snapshots.pepper(pool, vault.new_secret()))
            )
            keyring.take(*await keys.known(pool))
            unfit, complaint = await first_rules(pool, rules)
        except (BadRules, WrongMasterKey, database.ChangedMigration) as error:
            return _say(str(error), BAD_CONFIGURATION)
        except (database.Unreachable, database.Unusable) as error:
            return _say(str(error), 1)
        redis = connect(settings.redis, REDIS_TIMEOUT, Retry(NoBackoff(), 1))
        opened.push_async_callback(redis.aclose)
        return await _run(
            State(
                settings,
                pool,
                reading,
                redis,
                vault,
                rules,
                hash_of(rules),
                keyring,
                settings.sender(),
                seen,
                complaint,
                unfit,
                noted=unfit is None,
            )
        )


async def first_rules(
    pool: database.Pool, files: Mapping[str, str]
) -> tuple[int | None, str]:
    """Serve the files. Where they do not fit the layers, proxies keep what they have until somebody changes either; the change
    of the layers then, and the places of what does not fit.
    """
    while True:
        there = await layers.in_force(pool)
        try:
            if there.sources:
                prove({**files, **there.sources})
        except BadRules as error:
            logger.error(
                "rule files do not fit the layers, and are not served:\n%s", error
            )
            return there.change, error.places
        hash, own = hash_of(files), own_hashes(files)
        if await snapshots.note_rules(pool, hash, own, there.change):
            return None, ""


def _say(sentence: str, status: int) -> int:
    print(f"{PROGRAM}: {sentence}", file=sys.stderr)
    return status


async def _listen(runner: web.AppRunner, settings: ControlSettings) -> int:
    """Open the port; its number. Raises BadCertificate, OSError."""
    host, port = settings.dashboard_host, settings.dashboard_port
    if settings.tls_cert is None or settings.tls_key is None:
        await web.TCPSite(runner, host, port).start()
        listening: int = runner.addresses[0][1]
        return listening
    certificate = Certificate(settings.tls_cert, settings.tls_key)
    site = EitherSite(runner, host, port, certificate)
    await site.start()
    return site.port


async def _run(state: State) -> int:
    settings = state.settings
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    runner = web.AppRunner(
        application(state),
        access_log=None,
        shutdown_timeout=DRAIN_SECONDS,
        lingering_time=LINGER_SECONDS,
    )
    await runner.setup()
    try:
        port = await _listen(runner, settings)
    except BadCertificate as error:
        return _say(f"{error}.", BAD_CONFIGURATION)
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        problem = (
            "is taken"
            if taken
            else f"cannot be had on {settings.dashboard_host}: {error.strerror}"
        )
        return _say(
            f"port {settings.dashboard_port} {problem}. Stop what listens there, or set EARTHFLOW_DASHBOARD_PORT.",
            1,
        )
    else:
        print(f"{PROGRAM}: listening on port {port}", flush=True)
        await ended.wait()
        state.draining = True
        await noticed(ended, settings.drain_seconds)
        return 0
    finally:
        await runner.cleanup()


def main() -> None:
    """`python -m control`."""
    try:
        settings = ControlSettings()
    except ValidationError as error:
        refuse_start(PROGRAM, explain(error))
    settings.set_up_logging()
    # its message quotes what it cannot parse, keys included
    logging.getLogger("aiohttp.server").setLevel("CRITICAL")
    raise SystemExit(uvloop.run(serve(settings)))


if __name__ == "__main__":
    main()
