"""Delivers decisions to webhooks: at once where they answer; later and together where
they do not, until the decisions are too old.

One control process delivers at a time. A failed delivery is retried quickly,
WEBHOOK_MAX_RETRIES times; then the webhook rests, longer each time, and a single
delivery tries it, until WEBHOOK_LONG_RETRY_HOURS are over. No webhook waits for another
one.
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
from control.store import deliveries, webhooks
from control.store.database import Connection, alone, lead
from control.store.deliveries import Due

logger = logging.getLogger("earthflow.webhooks")

# Between looks at the queue; between retries after a failure of ours; between looks for
# what is too old.
LOOK_SECONDS, RETRY_SECONDS, OLD_SECONDS = 0.2, 1.0, 30.0
MOST_AT_ONCE = 200  # attempts at once, of all webhooks together
# rests after the quick retries; the last one repeats
RESTS = tuple(timedelta(minutes=m) for m in (1, 5, 15, 30, 60, 120, 240, 480))
# The receiver wants no more (Standard Webhooks).
GONE = 410


async def run(state: State) -> None:
    """Deliver until cancelled; an outage of PostgreSQL is waited out."""
    while True:
        try:
            async with await alone(state.settings.database_direct) as connection:
                if await lead(connection, webhooks.LOCK):
                    await _deliver(state, connection)
        except (psycopg.Error, PoolTimeout) as error:
            logger.warning(
                "webhooks wait: PostgreSQL does not answer (%s)", type(error).__name__
            )
        except Exception as error:  # whatever it is: log it, and try again
            logger.error(
                "webhooks wait: %s",
                type(error).__name__,
                exc_info=logger.isEnabledFor(logging.DEBUG),
            )
        await asyncio.sleep(RETRY_SECONDS)


async def _deliver(state: State, connection: Connection) -> None:
    """Deliver as the leader."""
    under_way: dict[str, asyncio.Task[None]] = {}
    look_at_old = 0.0
    try:
        while True:
            if (now := asyncio.get_running_loop().time()) >= look_at_old:
                await deliveries.give_up_old(
                    connection, timedelta(hours=state.settings.webhook_long_hours)
                )
                look_at_old = now + OLD_SECONDS
            await deliveries.pack(connection)
            if len(under_way) < MOST_AT_ONCE:
                busy = {task.get_name() for task in under_way.values()}
                for one in await deliveries.due(connection, list(under_way)):
                    if one.failures and one.webhook in busy:
                        continue  # a single delivery tries it
                    under_way[one.id] = asyncio.create_task(
                        attempt(state, one), name=one.webhook
                    )
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
    """Record an outcome.

    An attempt whose outcome cannot be recorded is repeated; other webhooks are not
    affected.
    """
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.warning(
            "an attempt for %s could not be recorded, and is repeated (%s)",
            task.get_name(),
            type(error).__name__,
        )


async def attempt(state: State, one: Due) -> None:
    """Try a delivery once, and record the outcome."""
    try:
        secrets = [state.vault.open(wrapped) for wrapped in one.secrets]
    except WrongMasterKey:
        answer = Answer(None, "its secret does not open", 0)
    else:
        answer = await state.sender.send(one.url, one.id, one.body, secrets)
    if answer.taken and answer.status is not None:
        await deliveries.delivered(state.pool, one, answer.status, answer.took_ms)
    elif answer.status == GONE:
        await deliveries.given_up(state.pool, one, *answer)
        await webhooks.disable(
            state.pool, one.webhook, "the receiver said that it is gone (410)"
        )
    elif datetime.now(UTC) - one.created >= timedelta(
        hours=state.settings.webhook_long_hours
    ):
        await deliveries.given_up(state.pool, one, *answer)
    else:
        await deliveries.failed(state.pool, one, *answer, *_when(state, one))


def _when(state: State, one: Due) -> tuple[timedelta, timedelta | None]:
    """How long this delivery waits, and how long its webhook rests."""
    retries = state.settings.webhook_retries
    jitter = random.uniform(0.9, 1.1)  # noqa: S311  (so that many do not come at once)
    if one.failures < retries:
        return timedelta(
            milliseconds=state.settings.webhook_backoff * 2**one.failures
        ) * jitter, None
    rest = RESTS[min(one.failures - retries, len(RESTS) - 1)] * jitter
    return rest, rest
