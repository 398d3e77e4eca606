"""What control's handlers and jobs share: settings, the pool, the vault, the rules being served."""

import asyncio
import logging
from collections import Counter
from dataclasses import dataclass, field

import redis.asyncio as aioredis
from aiohttp import web

from control.errors import DATABASE_AWAY
from control.keyring import Guesses, Keyring
from control.rule_files import Signature
from control.sender import Sender
from control.settings import ControlSettings
from control.store import keys
from control.store.database import Pool
from control.vault import Vault

logger = logging.getLogger("earthflow.control")


@dataclass
class State:
    """One control process."""

    settings: ControlSettings
    pool: Pool
    reading: Pool  # for searches and counts of the audit
    redis: "aioredis.Redis"
    vault: Vault
    rules: dict[str, str]
    rules_hash: str
    keyring: Keyring
    sender: Sender
    rules_signature: Signature = ()
    rules_complaint: str = ""  # why changed rule files are not used, or nothing
    guesses: Guesses = field(default_factory=Guesses)
    readers: Counter[str] = field(default_factory=Counter)  # by tenant: searches and counts under way
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    ending: bool = False  # we are about to stop; nobody may wait for news any longer
    ingest_detail: str = ""  # why records are not being stored right now, or nothing

    async def read_keys(self) -> None:
        """Take up the keys as PostgreSQL has them."""
        self.keyring.take(*await keys.known(self.pool))

    async def tell_proxies(self) -> None:
        """Something a proxy must know has changed: know it ourselves, and answer those that wait."""
        try:
            await self.read_keys()
        except DATABASE_AWAY as error:  # what was asked for is done; the job that follows will read them
            logger.warning("keys are read a moment later (%s)", type(error).__name__)
        await self.wake()

    async def wake(self) -> None:
        """Answer those that wait for news."""
        async with self.changed:
            self.changed.notify_all()


STATE = web.AppKey("state", State)
