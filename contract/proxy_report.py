"""What a proxy tells control of itself every few seconds: what waits in it, and what it lacks."""

import msgspec

EVERY = 5.0  # seconds between reports
DAY = 24 * 3600.0  # seconds
SILENT = 30.0  # seconds without a report after which a proxy counts as away


class ProxyReport(msgspec.Struct, kw_only=True, frozen=True):
    """A proxy process. Bytes, records and seconds; `oldest_unsent` is the age of what waits longest, None where nothing does.

    `redis` says what is wrong with Redis; empty where it takes records. All but the worker has a default: proxies and control may be
    of two versions.
    """

    worker: str
    boot: str = ""
    version: str = ""
    spool_bytes: int = 0
    unsent_records: int = 0
    unsent_bytes: int = 0
    oldest_unsent: float | None = None
    unrecorded: int = 0
    spool_full: bool = False
    redis: str = ""
    snapshot_version: int = -1
    snapshot_age: float = 0.0
    in_flight: int = 0
    certificate_days: float | None = None

    @property
    def certificate_seconds(self) -> float | None:
        """Until the interception CA ends; None where that is not known."""
        return None if self.certificate_days is None else self.certificate_days * DAY
