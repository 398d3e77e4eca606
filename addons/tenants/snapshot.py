"""Tenants, keys and rulebooks as this proxy knows them: swapped as a whole, sealed on
disk, never older than before.

`CompiledSnapshot` is one snapshot, ready to use. `SnapshotHolder` has the newest, by a
long poll of control. A broken snapshot, or an older one, changes nothing. Where control
is away, the last good one is used until EARTHFLOW_SNAPSHOT_MAX_AGE.
"""

import asyncio
import hmac
import logging
import os
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

import aiohttp
import msgspec

from contract.keys import digest, parse
from contract.snapshot import KeyEntry, Snapshot, TenantEntry, unseal
from contract.unwrap import (
    WrongMasterKey,
    placeholder_key,
    prompt_cipher,
    proxy_token,
    unwrap,
)
from rules.complaint import BadRules
from rules.exchange import Part
from rules.hyperscan_engine import Store
from rules.load import Library
from rules.rulebook import Rulebook
from rules.testing import proven

logger = logging.getLogger("earthflow.snapshot")

# characters of a call that the audit keeps, where it keeps prompts
MOST_KEPT = 64 * 1024
LONG_POLL = 20  # seconds for which control may hold a poll
# Between polls while control is away.
RETRY_SECONDS = 1.0


class OlderSnapshot(Exception):
    """Control offers an older snapshot than is known, as after a restored backup.

    It is not taken.
    """


class NoSnapshot(Exception):
    """There is no snapshot to judge by, and why."""


@dataclass(frozen=True)
class Caller:
    """Who calls: a tenant, by one of its keys."""

    tenant: TenantEntry
    key: KeyEntry


class CompiledSnapshot:
    """One snapshot, compiled. Immutable; a call takes it once and keeps it."""

    def __init__(
        self,
        snapshot: Snapshot,
        master: str,
        store: Store | None = None,
        before: "CompiledSnapshot | None" = None,
    ):
        """Raises BadRules or WrongMasterKey; then nothing of it is used.

        Rulebooks of `before` are reused.
        """
        self.snapshot = snapshot
        self._data_key = (
            unwrap(master, snapshot.data_key).decode() if snapshot.data_key else master
        )
        self._pepper = unwrap(self._data_key, snapshot.pepper)
        self._keys = {key.id: key for key in snapshot.keys}
        self._tenants = {tenant.id: tenant for tenant in snapshot.tenants}
        same = before is not None and before.snapshot.rules == snapshot.rules
        library = (
            before.library
            if before is not None and same
            else Library(snapshot.rules, store=store)
        )
        self.library: Library = proven(
            library, sorted({tenant.preset for tenant in snapshot.tenants})
        )
        self._prompt_keys: dict[str, bytes] = {}

    def caller(self, text: str) -> Caller | None:
        """The owner of a key, or None. A wrong secret takes as long as a right one."""
        key = parse(text)
        if key is None:
            return None
        entry = self._keys.get(key.id)
        expected = entry.digest if entry else ""
        if (
            not hmac.compare_digest(digest(self._pepper, key.secret), expected)
            or entry is None
        ):
            return None
        return self._live(entry)

    def still(self, caller: Caller) -> Caller | None:
        """The same caller in this snapshot; None where the key has ended."""
        entry = self._keys.get(caller.key.id)
        return (
            self._live(entry) if entry and entry.digest == caller.key.digest else None
        )

    def _live(self, entry: KeyEntry) -> Caller | None:
        tenant = self._tenants.get(entry.tenant)
        over = entry.not_after is not None and entry.not_after <= datetime.now(UTC)
        return None if tenant is None or over else Caller(tenant, entry)

    def rulebook(self, tenant: TenantEntry) -> Rulebook:
        """The rules of a tenant; compiled on first use where it has rules of its own."""
        return self.library.rulebook(tenant.preset, tenant.id)

    def prompt_hash(self, tenant: TenantEntry, body: bytes) -> str:
        """What the audit keeps of a body: an HMAC under the tenant's own key, so that
        nobody can guess short prompts.
        """
        return (
            "hmac-sha256:" + hmac.digest(self._prompt_key(tenant), body, "sha256").hex()
        )

    def kept_prompt(self, tenant: TenantEntry, parts: Sequence[Part]) -> str:
        """The texts of a call as the audit keeps them, sealed under the tenant's key;
        empty where it keeps none.
        """
        if not self.snapshot.keep_prompts or not parts:
            return ""
        said, left = [], MOST_KEPT
        for part in parts:
            if part.role == "other":  # names and numbers around the prompt
                continue
            said.append(
                {
                    "role": part.role,
                    "text": part.text[:left],
                    "cut": len(part.text) > left,
                }
            )
            left -= len(part.text)
            if left <= 0:
                break
        return (
            prompt_cipher(self._prompt_key(tenant))
            .encrypt(zlib.compress(msgspec.json.encode(said), 1))
            .decode()
        )

    def placeholder_key(self, tenant: TenantEntry) -> bytes:
        """The key that makes a tenant's placeholders its own."""
        return placeholder_key(self._prompt_key(tenant))

    def _prompt_key(self, tenant: TenantEntry) -> bytes:
        if tenant.id not in self._prompt_keys:
            self._prompt_keys[tenant.id] = unwrap(self._data_key, tenant.prompt_key)
        return self._prompt_keys[tenant.id]


class SnapshotHolder:
    """The newest good snapshot, on disk and in memory."""

    def __init__(
        self,
        path: Path,
        control_url: str,
        master: str,
        max_age: int,
        store: Store | None = None,
    ):
        self._path = path
        self._control_url = control_url
        self._master = master
        self._max_age = max_age
        self._store = store
        self._current: CompiledSnapshot | None = None
        self._warmed: Library | None = None
        self._warming: asyncio.Task[None] | None = None
        self._confirmed = 0.0  # when control last confirmed it, as time.time()
        self._session: aiohttp.ClientSession | None = None

    @property
    def current(self) -> CompiledSnapshot:
        """The snapshot to judge by.

        Raises NoSnapshot where there is none, or it is too old.
        """
        if self._current is None:
            raise NoSnapshot("no snapshot of tenants and rules yet")
        if time.time() - self._confirmed > self._max_age:
            raise NoSnapshot(
                f"control has been away for longer than {self._max_age} s (EARTHFLOW_SNAPSHOT_MAX_AGE)"
            )
        return self._current

    @property
    def age(self) -> float:
        """Seconds since control last confirmed it."""
        return time.time() - self._confirmed

    async def start(self, timeout: float) -> None:
        """Get a snapshot: from control, else from disk; with neither, wait `timeout`
        seconds for control.

        Raises NoSnapshot, BadRules or WrongMasterKey.
        """
        deadline = time.monotonic() + timeout
        on_disk = await asyncio.to_thread(self._load)
        while True:
            try:
                await self._poll(wait=0)
                return
            except (
                WrongMasterKey
                # During a rotation, control may have the new key later than we do
            ) as error:
                if on_disk:
                    logger.warning(
                        "control refuses this proxy; starting from the snapshot on disk: %s",
                        error,
                    )
                    return
                if time.monotonic() > deadline:
                    raise
            except (BadRules, OlderSnapshot) as error:
                if not on_disk:
                    raise
                logger.warning(
                    "control's snapshot cannot be used; starting from the snapshot on disk: %s",
                    error,
                )
                return
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                if on_disk:
                    logger.warning(
                        "control is away (%s); starting from the snapshot on disk",
                        type(error).__name__,
                    )
                    return
                if time.monotonic() > deadline:
                    raise NoSnapshot(
                        f"control does not answer at {self._control_url} and no snapshot is on disk. "
                        "Start `earthflow control` or set EARTHFLOW_CONTROL_URL."
                    ) from None
            await asyncio.sleep(RETRY_SECONDS / 4)

    async def run(self) -> None:
        """Follow control until cancelled.

        Control answers a waiting poll with each change at once.
        """
        failure = ""
        while True:
            try:
                await self._poll(wait=LONG_POLL)
                now = ""
                self._warm()
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                now = f"control is away ({type(error).__name__}); judging by the last snapshot"
            except (BadRules, WrongMasterKey, OlderSnapshot) as error:
                now = f"control's snapshot cannot be used; the last one stays: {error}"
            except (
                Exception
            ) as error:  # whatever it is: the next snapshot may be better
                now = f"control's snapshot cannot be used ({type(error).__name__}); the last one stays"
            if now != failure:
                logger.warning("%s", now or "control is back")
            failure = now
            if failure:
                await asyncio.sleep(RETRY_SECONDS)

    def _warm(self) -> None:
        """Compile, in the background, what only hostile calls need."""
        if self._current is not None and self._current.library is not self._warmed:
            self._warmed = self._current.library
            self._warming = asyncio.create_task(_in_thread(self._warmed))

    async def watermark(self, worker: str, boot: str) -> int | None:
        """The highest seq of a spool that PostgreSQL holds without a gap, -1 for none;
        None where control cannot tell.
        """
        try:
            async with self._client.get(
                f"{self._control_url}/internal/watermark/{worker}/{boot}"
            ) as answer:
                return (
                    int((await answer.json())["seq"]) if answer.status == 200 else None
                )
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError, KeyError):
            return None

    async def close(self) -> None:
        """Close the connection to control."""
        if self._session is not None:
            await self._session.close()

    @cached_property
    def _client(self) -> aiohttp.ClientSession:
        self._session = aiohttp.ClientSession(
            headers={"Authorization": f"Bearer {proxy_token(self._master)}"},
            timeout=aiohttp.ClientTimeout(total=LONG_POLL + 10),
        )
        return self._session

    async def _poll(self, wait: int) -> None:
        have = (
            {"If-None-Match": str(self._current.snapshot.version)}
            if self._current
            else {}
        )
        async with self._client.get(
            f"{self._control_url}/internal/snapshot",
            params={"wait": str(wait)},
            headers=have,
        ) as answer:
            if answer.status == 401:
                raise WrongMasterKey(
                    "control refuses this proxy: its EARTHFLOW_MASTER_KEY is another one"
                )
            if answer.status == 200:
                sealed = await answer.read()
                await asyncio.to_thread(self._take, sealed)
            elif answer.status != 304:
                raise OSError(f"control answered {answer.status}")
        self._confirmed = time.time()
        # so that a restart knows its age
        await asyncio.to_thread(os.utime, self._path)

    def _take(self, sealed: bytes) -> None:
        """Compile, keep on disk, swap. In a thread: compiling rules takes a while."""
        snapshot = unseal(sealed, self._master)
        if self._current and snapshot.version < self._current.snapshot.version:
            raise OlderSnapshot(
                f"it is version {snapshot.version}, but {self._current.snapshot.version} is known"
            )
        current = CompiledSnapshot(snapshot, self._master, self._store, self._current)
        temporary = self._path.with_suffix(".new")
        temporary.write_bytes(sealed)
        temporary.chmod(0o600)
        temporary.replace(self._path)
        self._current = current

    def _load(self) -> bool:
        """Take the snapshot on disk, as old as its file."""
        try:
            sealed = self._path.read_bytes()
            self._confirmed = self._path.stat().st_mtime
        except FileNotFoundError:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            return False
        try:
            self._current = CompiledSnapshot(
                unseal(sealed, self._master), self._master, self._store
            )
        except BadRules as error:
            logger.warning("the snapshot on disk cannot be used: %s", error.places)
            return False
        except WrongMasterKey:
            logger.warning(
                "the snapshot on disk is of another EARTHFLOW_MASTER_KEY; control is asked for one of this"
            )
            return False
        return True


async def _in_thread(library: Library) -> None:
    try:
        await asyncio.to_thread(library.warm)
    except Exception as error:  # the first hostile call tries again
        logger.warning("rules could not be compiled ahead (%s)", type(error).__name__)
