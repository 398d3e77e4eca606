"""What control's handlers and jobs share: settings, the pool, the vault, the rules that
are served.
"""

import asyncio
import contextlib
import logging
import time
from collections import Counter
from dataclasses import dataclass, field

import redis.asyncio as aioredis
from aiohttp import web

from control.errors import DATABASE_AWAY
from control.keyring import Guesses, Keyring
from control.replay.replayer import Replayer
from control.rule_files import Signature
from control.sender import Sender
from control.settings import ControlSettings
from control.sign_in.provider import Provider
from control.store import keys, snapshots
from control.store.database import Pool
from control.vault import Vault
from control.watchers import Watchers

# A snapshot of what is new waits for ten times what the last one took, and a second at most.
MOMENT_SHARE, LONGEST_MOMENT = 10, 1.0
# Between looks for keys that are not known; a stranger with a well-formed one waits that long.
LOOK_PAUSE = 0.1

logger = logging.getLogger("earthflow.control")


@dataclass
class State:
    """The state of one control process."""

    settings: ControlSettings
    pool: Pool
    reading: Pool  # the pool for searches and counts
    redis: "aioredis.Redis"  # for health and metrics; the ingest has its own
    vault: Vault
    rules: dict[str, str]
    rules_hash: str
    keyring: Keyring
    sender: Sender
    rules_signature: Signature = ()
    # Why changed rule files are not used; empty where they are
    rules_complaint: str = ""
    # The last change of the layers that the files were tried with in vain; None where they fit
    unfit: int | None = None
    noted: bool = True  # proxies were served its files
    guesses: Guesses = field(default_factory=Guesses)
    # by tenant: running searches and counts
    readers: Counter[str] = field(default_factory=Counter)
    # exports that were noted: whose, with which filters -> when
    exports: dict[tuple[object, ...], float] = field(default_factory=dict)
    watchers: Watchers = field(default_factory=Watchers)  # of the audit's tail
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    unauthorized: int = 0  # requests without a valid key, not yet in the tally
    snapshot_seconds: float = 0.0  # that the last snapshot took to make
    # One proof of rules at a time: it takes up to seconds of a processor
    proving: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)
    provers: set[str] = field(default_factory=set)  # ids of keys that change rules now
    # The rules of a replay under way, by a hash of all, and when they were last used; one page of one at a time.
    replaying: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)
    replayer: tuple[str, Replayer] | None = field(default=None, repr=False)
    replayed: float = 0.0
    provider: Provider | None = field(init=False, repr=False)  # of single sign-on
    _looking: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)
    _looked: float = 0.0
    _reading_keys: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)
    _waking: asyncio.Task[None] | None = field(default=None, init=False, repr=False)
    draining: bool = False  # it was asked to end, and is not ready any more
    ending: bool = False  # we stop: no poll may wait any longer
    ingest_detail: str = ""  # why records cannot be stored now; empty where they can

    def __post_init__(self) -> None:
        client = self.settings.oidc
        self.provider = Provider(client) if client is not None else None

    async def read_keys(self) -> None:
        """Read the keys from PostgreSQL; one reading after the other, so that none is replaced by an older one."""
        async with self._reading_keys:
            self.keyring.take(*await keys.known(self.pool))

    async def tell_proxies(self) -> None:
        """Something changed that proxies must know: read it, and answer waiting polls."""
        try:
            await self.read_keys()
        except (
            DATABASE_AWAY
        ) as error:  # the request is done; the job reads the keys later
            logger.warning("keys are read a moment later (%s)", type(error).__name__)
        await self.wake()

    async def look_for_keys(self) -> None:
        """Read the keys again where there are newer ones: somebody has one that is not known here."""
        came = time.monotonic()
        async with self._looking:
            if self._looked >= came:  # somebody who waited with us has looked
                return
            await asyncio.sleep(max(0.0, self._looked + LOOK_PAUSE - time.monotonic()))
            self._looked = time.monotonic()
            with contextlib.suppress(*DATABASE_AWAY):
                version = (await snapshots.served(self.pool)).version
                if version != self.keyring.version:
                    await self.read_keys()

    async def wake_soon(self) -> None:
        """Answer waiting polls in a moment: what is new may wait until more of it is there, and one snapshot has all."""
        if self._waking is None or self._waking.done():
            self._waking = asyncio.create_task(self._wake_later())

    async def _wake_later(self) -> None:
        await asyncio.sleep(min(LONGEST_MOMENT, MOMENT_SHARE * self.snapshot_seconds))
        await self.wake()

    async def wake(self) -> None:
        """Answer waiting polls."""
        async with self.changed:
            self.changed.notify_all()


STATE = web.AppKey("state", State)
