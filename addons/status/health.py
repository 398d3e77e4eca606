"""Health of this proxy: alive, and ready (it can decide and record). Answers without control or Redis."""

import time
from collections.abc import Callable, Sequence
from typing import Any

from addons.network.distrust import Distrust
from addons.record.outbox import Outbox
from addons.record.writer import FULL, RecordWriter
from addons.tenants.snapshot import NoSnapshot, SnapshotHolder
from contract.drain import ENDING
from contract.version import VERSION

RECENT = 60.0  # seconds for which a failure makes the proxy DEGRADED


class Health:
    """Answers `/health` and `/health/ready` on the proxy's own port, control or no control."""

    def __init__(
        self,
        holder: SnapshotHolder,
        writer: RecordWriter,
        outboxes: Sequence[Outbox],
        distrust: Distrust,
        certificates: Callable[[], dict[str, Any]],
    ):
        self._holder = holder
        self._writer = writer
        self._outboxes = outboxes
        self._distrust = distrust
        self._certificates = certificates
        # hooks that raised and were refused or passed by EARTHFLOW_FAIL_MODE
        self.failures = 0
        self._failed = -RECENT
        self._ending = False

    def end(self) -> None:
        """It was asked to end: from now on it is not ready."""
        self._ending = True

    def count_failure(self) -> None:
        """A hook raised."""
        self.failures += 1
        self._failed = time.monotonic()

    def _spool(self) -> dict[str, Any]:
        """Whether records can be written, and how many were not."""
        writer, lost = self._writer, {"lost": self._writer.lost}
        writer.recover()
        if not writer.full:
            return {"status": "OK", **lost}
        status = "DOWN" if writer.mode == "durable" else "DEGRADED"
        detail = f"{writer.why_full}; {FULL[writer.mode]}"
        return {"status": status, "detail": detail, **lost}

    def _redis_fault(self) -> str:
        return next((one.fault for one in self._outboxes if one.fault), "")

    def live(self) -> dict[str, Any]:
        """The event loop runs, or nobody would read this."""
        return {"status": "OK", "version": VERSION, "service": "proxy"}

    def ready(self, *, strict: bool = False) -> tuple[int, dict[str, Any]]:
        """HTTP status and body. 503 where no call could be judged; `strict`: where anything is wrong."""
        try:
            version = self._holder.current.snapshot.version
            snapshot = {
                "status": "OK",
                "version": version,
                "age_seconds": int(self._holder.age),
            }
        except NoSnapshot as error:
            snapshot = {"status": "DOWN", "detail": str(error)}
        redis_up = all(outbox.up for outbox in self._outboxes)
        checks: dict[str, dict[str, Any]] = {
            "snapshot": snapshot,
            "spool": self._spool(),
            "redis": {"status": "OK"}
            if redis_up
            else {
                "status": "DEGRADED",
                "detail": f"Redis {self._redis_fault()}; records wait in the spool",
            },
            "engine": {
                "status": "DEGRADED"
                if time.monotonic() - self._failed < RECENT
                else "OK",
                "failures": self.failures,
            },
            "certificates": self._certificates(),
            "clients": {"status": "OK", "distrusting": self._distrust.report()},
        }
        if self._ending:
            checks["end"] = {"status": "DOWN", "detail": ENDING}
        states = {check["status"] for check in checks.values()}
        status = (
            "DOWN" if "DOWN" in states else "DEGRADED" if "DEGRADED" in states else "OK"
        )
        unfit = status != "OK" if strict else status == "DOWN"
        return 503 if unfit else 200, {
            **self.live(),
            "status": status,
            "checks": checks,
        }
