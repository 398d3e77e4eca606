"""What a proxy tells control of itself every few seconds: what waits in it, and what it lacks."""

import msgspec

EVERY = 5.0  # seconds between reports
SILENT = 30.0  # seconds without a report after which a proxy counts as away


class ProxyReport(msgspec.Struct, kw_only=True, frozen=True):
    """A proxy process. Bytes, records and seconds; `oldest_unsent` is the age of what waits longest, None where nothing does.

    `redis` says what is wrong with Redis; empty where it takes records.
    """

    worker: str
    boot: str
    version: str
    spool_bytes: int
    unsent_records: int
    unsent_bytes: int
    oldest_unsent: float | None
    unrecorded: int
    spool_full: bool
    redis: str
    snapshot_version: int
    snapshot_age: float
    in_flight: int
    certificate_days: float | None
