"""Tenants, keys and rulebooks as this proxy knows them: swapped as a whole, then sealed on
disk, never older than before, not even after a start.

`CompiledSnapshot` is one snapshot, ready to use. `SnapshotHolder` has the newest, by a
long poll of control. A broken snapshot, or an older one, changes nothing. Where control
is away, the last good one is used until EARTHFLOW_SNAPSHOT_MAX_AGE.
"""

import asyncio
import gc
import json
import logging
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import msgspec

from addons.tenants.compiled_snapshot import CompiledSnapshot
from addons.tenants.newest_mark import read_mark, write_mark
from contract.proof import NONCE, PROOF, is_proven, new_nonce
from contract.proxy_report import ProxyReport
from contract.snapshot import (
    MARK,
    Snapshot,
    known_keys,
    unseal,
)
from contract.unwrap import (
    WrongMasterKey,
    proxy_token,
    seal_key,
)
from rules.complaint import BadRules
from rules.hyperscan_engine import Store
from rules.load import Library

# Of the garbage collector: objects, and rounds of a younger generation. With Python's own, a call of
# 100,000 values is walked through some ten times while it is read.
THRESHOLD = (5_000, 10, 10)

logger = logging.getLogger("earthflow.snapshot")

LONG_POLL = 20  # seconds for which control may hold a poll
# Between polls while control is away.
RETRY_SECONDS = 1.0


class OlderSnapshot(Exception):
    """Control offers an older snapshot than is known, as after a restored backup.

    It is not taken.
    """


class _Told(NamedTuple):
    """What control answered."""

    status: int
    body: bytes


class NoSnapshot(Exception):
    """There is no snapshot to judge by, and why."""


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
        self._path, self._mark = path, path.with_name("snapshot.newest")
        self._control_url = control_url
        self._master = master
        self._max_age = max_age
        self._store = store
        self._current: CompiledSnapshot | None = None
        self._warmed: Library | None = None
        self._warming: asyncio.Task[None] | None = None
        self._confirmed = 0.0  # when control last confirmed it, as time.time()
        self._session: aiohttp.ClientSession | None = None
        self._proves = False  # control's answers have carried a proof

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
    def version(self) -> int:
        """The version of the last snapshot, however old it is; -1 where there was none."""
        return self._current.snapshot.version if self._current else -1

    @property
    def record_key(self) -> bytes | None:
        """The key that signs records; None where nobody asks for that."""
        return self._current.record_key if self._current is not None else None

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
            told = await self._ask("GET", f"/internal/watermark/{worker}/{boot}")
            return int(json.loads(told.body)["seq"]) if told.status == 200 else None
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError, KeyError):
            return None

    async def report(self, told: ProxyReport) -> None:
        """Tell control of this proxy. One of an earlier version does not listen; one that is away hears of it later."""
        with suppress(aiohttp.ClientError, TimeoutError, OSError):
            body = msgspec.json.encode(told)
            await self._ask("POST", "/internal/report", data=body)

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
        have = {}
        if self._current:
            held = self._current.snapshot
            have = {"If-None-Match": str(held.version), MARK: held.mark}
        told = await self._ask(
            "GET", "/internal/snapshot", params={"wait": str(wait)}, headers=have
        )
        if told.status == 401:
            raise WrongMasterKey(
                "control refuses this proxy: its EARTHFLOW_MASTER_KEY is another one"
            )
        if told.status == 200:
            await asyncio.to_thread(self._take, told.body)
        elif told.status == 409 and self._current is not None:
            await self._tell_keys(self._current.snapshot)
            raise OSError(
                "control was restored, and was told the keys that are known here"
            )
        elif told.status != 304:
            raise OSError(f"control answered {told.status}")
        self._confirmed = time.time()
        # so that a restart knows its age
        with suppress(OSError):
            await asyncio.to_thread(os.utime, self._path)

    async def _tell_keys(self, snapshot: Snapshot) -> None:
        """Tell a control whose database was restored which keys are known here."""
        body = msgspec.json.encode(known_keys(snapshot))
        told = await self._ask("POST", "/internal/keys", data=body)
        if told.status != 200:
            raise OSError(f"control answered {told.status}")

    async def _ask(
        self, method: str, path: str, headers: Mapping[str, str] = {}, **more: Any
    ) -> _Told:
        """Ask control, and check that the answer is its own. Raises OSError where it is not.

        A control of an earlier version proves nothing; one that ever did must always.
        """
        nonce = new_nonce()
        async with self._client.request(
            method, self._control_url + path, headers={**headers, NONCE: nonce}, **more
        ) as answer:
            body, proof = await answer.read(), answer.headers.get(PROOF, "")
            proven = is_proven(
                proof, seal_key(self._master), nonce, path, answer.status, body
            )
            self._proves = self._proves or proven
            if not proven and answer.status != 401 and (proof or self._proves):
                raise OSError("an answer in control's name is not control's")
            return _Told(answer.status, body)

    def _take(self, sealed: bytes) -> None:
        """Compile, keep on disk, swap. In a thread: compiling rules takes a while."""
        snapshot = unseal(sealed, self._master)
        newest = (
            self._current.snapshot.version if self._current else read_mark(self._mark)
        )
        if snapshot.version < newest:
            raise OlderSnapshot(
                f"it is version {snapshot.version}, but {newest} is known"
                f"{'' if self._current else f' here; if control has a new database, remove {self._mark}'}"
            )
        current = CompiledSnapshot(snapshot, self._master, self._store, self._current)
        before, self._current = self._current, current
        self._keep(sealed, snapshot.version)
        if before is not None:
            current.compile_as(before)

    def _keep(self, sealed: bytes, version: int) -> None:
        """Keep it on disk, for a start without control. A disk that is full stops nothing:
        the mark says then that what is kept is too old.
        """
        try:
            write_mark(self._mark, version)
            temporary = self._path.with_suffix(".new")
            temporary.touch(0o600)
            temporary.write_bytes(sealed)
            temporary.replace(self._path)
        except OSError as error:
            logger.error(
                "the snapshot cannot be kept on disk (%s); it is used, and a start without control would need it",
                error.strerror,
            )

    def _load(self) -> bool:
        """Take the snapshot on disk, as old as its file."""
        try:
            sealed = self._path.read_bytes()
            self._confirmed = self._path.stat().st_mtime
        except FileNotFoundError:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            return False
        try:
            snapshot = unseal(sealed, self._master)
            if snapshot.version < (newest := read_mark(self._mark)):
                logger.warning(
                    "the snapshot on disk is version %d, and %d was known here; it is not used, since keys may have ended since",
                    snapshot.version,
                    newest,
                )
                return False
            self._current = CompiledSnapshot(snapshot, self._master, self._store)
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
        _spare_the_collector()
    except Exception as error:  # the first hostile call tries again
        logger.warning("rules could not be compiled ahead (%s)", type(error).__name__)


def _spare_the_collector() -> None:
    """Take all that lives now out of the garbage collector's sight.

    Rules are 300,000 objects that stay until the next ones come. To walk through them takes
    0.2 s, and everybody waits; one call of 1 MB had that done four times.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLD)
