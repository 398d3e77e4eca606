"""What control's handlers and jobs share: settings, the pool, the vault, the rules being served."""

import asyncio
from dataclasses import dataclass, field

import redis.asyncio as aioredis
from aiohttp import web

from contract.unwrap import unwrap
from control.rule_files import Signature
from control.settings import ControlSettings
from control.store.database import Pool
from control.vault import Vault


@dataclass
class State:
    """One control process."""

    settings: ControlSettings
    pool: Pool
    redis: "aioredis.Redis"
    vault: Vault
    rules: dict[str, str]
    rules_hash: str
    wrapped_pepper: str
    rules_signature: Signature = ()
    rules_complaint: str = ""  # why changed rule files are not used, or nothing
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    ending: bool = False  # we are about to stop; nobody may wait for news any longer
    ingest_detail: str = ""  # why records are not being stored right now, or nothing

    @property
    def pepper(self) -> bytes:
        """The pepper in clear."""
        return unwrap(self.vault.master, self.wrapped_pepper)

    async def tell_proxies(self) -> None:
        """Something a proxy must know has changed: answer those that wait."""
        async with self.changed:
            self.changed.notify_all()


STATE = web.AppKey("state", State)
