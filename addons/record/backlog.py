"""What waits in spools: records and bytes that Redis has not taken, and since when."""

import time
from collections.abc import Iterable
from typing import NamedTuple

from addons.record.outbox import Outbox
from contract.decision import time_of


class Backlog(NamedTuple):
    """`kept` are the bytes of all that is on disk; `oldest` is an age in seconds, None where nothing waits."""

    kept: int
    records: int
    bytes: int
    oldest: float | None


def backlog_of(outboxes: Iterable[Outbox]) -> Backlog:
    """What waits in these spools together."""
    kept = records = size = 0
    oldest: float | None = None
    for outbox in outboxes:
        for segment in outbox.waiting():
            kept += segment.kept
            records += segment.records
            size += segment.bytes
            if segment.first:
                age = max(0.0, time.time() - time_of(segment.first).timestamp())
                oldest = max(oldest or 0.0, age)
    return Backlog(kept, records, size, oldest)
