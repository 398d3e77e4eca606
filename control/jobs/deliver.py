"""Tells webhooks what was decided: at once where they answer, later and together where they do not, until it is too old.

One control process delivers at a time. A failure is tried again fast, WEBHOOK_MAX_RETRIES times; then the webhook rests, longer each time,
and a single delivery tries it, until WEBHOOK_LONG_RETRY_HOURS are over. Nobody waits for another's webhook.
"""

import asyncio
import logging
import random
from datetime import UTC, datetime, timedelta

import psycopg
from psycopg_pool import PoolTimeout

from contract.unwrap import WrongMasterKey
from control.sender import Answer
from control.state import State
from control.store import webhooks
from control.store.database import Connection, alone, lead
from control.store.webhooks import Due

logger = logging.getLogger("earthflow.webhooks")

LOOK_SECONDS, RETRY_SECONDS, OLD_SECONDS = 0.2, 1.0, 30.0
MOST_AT_ONCE = 200  # attempts of all webhooks together
RESTS = tuple(
    timedelta(minutes=m) for m in (1, 5, 15, 30, 60, 120, 240, 480)
)  # after fast retries; the last one again and again
GONE = 410


async def run(state: State) -> None:
    """Deliver, for ever; an outage of PostgreSQL is waited out."""
    while True:
        try:
            async with await alone(state.settings.database) as connection:
                if await lead(connection, webhooks.LOCK):
                    await _deliver(state, connection)
        except (psycopg.Error, PoolTimeout) as error:
            logger.warning("webhooks wait: PostgreSQL does not answer (%s)", type(error).__name__)
        except Exception as error:  # whatever it is: told, and tried again
            logger.error(
                "webhooks wait: %s", type(error).__name__, exc_info=logger.isEnabledFor(logging.DEBUG)
            )
        await asyncio.sleep(RETRY_SECONDS)


async def _deliver(state: State, connection: Connection) -> None:
    """As the leader."""
    under_way: dict[str, asyncio.Task[None]] = {}
    look_at_old = 0.0
    try:
        while True:
            if (now := asyncio.get_running_loop().time()) >= look_at_old:
                await webhooks.give_up_old(connection, timedelta(hours=state.settings.webhook_long_hours))
                look_at_old = now + OLD_SECONDS
            await webhooks.pack(connection)
            if len(under_way) < MOST_AT_ONCE:
                busy = {task.get_name() for task in under_way.values()}
                for one in await webhooks.due(connection, list(under_way)):
                    if one.failures and one.webhook in busy:
                        continue  # a single one tries it
                    under_way[one.id] = asyncio.create_task(attempt(state, one), name=one.webhook)
                    if len(under_way) >= MOST_AT_ONCE:
                        break
            await asyncio.sleep(LOOK_SECONDS)
            for id in [id for id, task in under_way.items() if task.done()]:
                _noted(under_way.pop(id))
    finally:
        for task in under_way.values():
            task.cancel()
        await asyncio.gather(*under_way.values(), return_exceptions=True)


def _noted(task: asyncio.Task[None]) -> None:
    """An attempt whose outcome could not be noted is made again; that is one webhook's trouble, not all others'."""
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.warning(
            "an attempt for %s was not noted, and is made again (%s)", task.get_name(), type(error).__name__
        )


async def attempt(state: State, one: Due) -> None:
    """Try a delivery once, and note what came of it."""
    try:
        secrets = [state.vault.open(wrapped) for wrapped in one.secrets]
    except WrongMasterKey:
        answer = Answer(None, "its secret does not open", 0)
    else:
        answer = await state.sender.send(one.url, one.id, one.body, secrets)
    if answer.taken and answer.status is not None:
        await webhooks.delivered(state.pool, one, answer.status, answer.took_ms)
    elif answer.status == GONE:
        await webhooks.given_up(state.pool, one, *answer)
        await webhooks.disable(state.pool, one.webhook, "the receiver said that it is gone (410)")
    elif datetime.now(UTC) - one.created >= timedelta(hours=state.settings.webhook_long_hours):
        await webhooks.given_up(state.pool, one, *answer)
    else:
        await webhooks.failed(state.pool, one, *answer, *_when(state, one))


def _when(state: State, one: Due) -> tuple[timedelta, timedelta | None]:
    """How long this delivery waits, and how long its webhook rests."""
    retries = state.settings.webhook_retries
    jitter = random.uniform(0.9, 1.1)  # noqa: S311  (so that many do not come at once)
    if one.failures < retries:
        return timedelta(milliseconds=state.settings.webhook_backoff * 2**one.failures) * jitter, None
    rest = RESTS[min(one.failures - retries, len(RESTS) - 1)] * jitter
    return rest, rest
