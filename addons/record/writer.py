"""Writes records to the spool, and answers for a disk that is full.

In the mode `durable` what cannot be recorded is not sent; in `available` it is, and is counted. Completions have their room from the
start. Once there is room again, a record of each tenant says how much is missing.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Literal

from addons.record.missing import MissingRecords
from addons.record.spool import Spool, SpoolFull, cut
from contract.decision import Completion, Decision, Place, Record

logger = logging.getLogger("earthflow.record")

AuditMode = Literal["durable", "available"]
LOOK_SECONDS = 0.5  # between looks at a full disk
# What happens while the spool cannot be written.
FULL: dict[AuditMode, str] = {
    "durable": "new calls are refused until there is room (EARTHFLOW_AUDIT_MODE=durable)",
    "available": "calls pass unrecorded, and are counted (EARTHFLOW_AUDIT_MODE=available)",
}


class RecordWriter:
    """One spool, and what is missing in it. `why_full`: why the last record could not be written; empty where it could."""

    def __init__(self, spool: Spool, mode: AuditMode = "durable"):
        self.mode = mode
        self.why_full = ""
        # exchanges without a record, `passed` or `refused`, and `completion`s without one
        self.unrecorded: Counter[str] = Counter()
        self._spool = spool
        self._owed = 0  # decisions that are written, and whose completions are not
        self._missing = MissingRecords()

    @property
    def full(self) -> bool:
        """Whether the last record could not be written."""
        return bool(self.why_full)

    @property
    def lost(self) -> int:
        """Records of this boot that could not be written."""
        return self._spool.lost

    def decision(
        self, make: Callable[[Place], Decision], tenant: str, *, passes: bool
    ) -> bool:
        """Write a decision; whether that was possible.

        Raises SpoolFull where it was not, and a call that `passes` must not.
        """
        try:
            self._write(make, self._owed + 1)
        except SpoolFull:
            if passes and self.mode == "durable":
                raise
            self._spool.lost += 1
            self.unrecorded["passed" if passes else "refused"] += 1
            self._missing.exchange(tenant, passed=passes)
            return False
        self._owed += 1
        return True

    def completion(self, make: Callable[[Place], Completion], tenant: str) -> None:
        """Write the completion of a decision that was written, cut where that is all there is room for.

        It comes before what is missing, which must not take the room that was kept for it.
        """
        self._owed -= 1
        for whole_or_cut in (make, lambda place: cut(make(place))):
            try:
                self._spool.append(whole_or_cut, self._owed)
            except SpoolFull as error:
                self._turn(str(error))
            else:
                return
        self._spool.lost += 1
        self.unrecorded["completion"] += 1
        self._missing.completion(tenant)

    def unfinished(self) -> None:
        """A decision that was not written is over."""
        self._spool.lost += 1

    async def run(self) -> None:
        """Look after a full disk until cancelled, since no call may come that would."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self.recover()

    def recover(self) -> None:
        """Where the disk was full, see whether it still is; if not, write how much is missing."""
        if self.full and self._spool.has_room(self._owed + 1):
            with suppress(SpoolFull):
                self._write_missing(self._owed)
                self._turn("")

    def _write(self, make: Callable[[Place], Record], owed: int) -> None:
        try:
            self._write_missing(owed)
            self._spool.append(make, owed)
        except SpoolFull as error:
            self._turn(str(error))
            raise
        self._turn("")

    def _write_missing(self, owed: int) -> None:
        while (make := self._missing.next()) is not None:
            self._spool.append(make, owed)
            self._missing.told()

    def _turn(self, why: str) -> None:
        """The disk is full, and `why`, or it is not."""
        if why and not self.full:
            logger.error("%s; %s", why, FULL[self.mode])
        elif self.full and not why:
            logger.warning("the spool has room again")
        self.why_full = why
