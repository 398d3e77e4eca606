"""Names in Redis, which carries records to control and counts calls.

Nothing in it can add a key or weaken a rule.
"""

import zlib
from typing import NamedTuple

# An entry of a stream of records has `decision.encode` bytes in FIELD, and in MAC their
# `proof.record_mac`, without which only proxies of earlier versions write.
FIELD, MAC = b"r", b"m"
GROUP = "control"  # the consumer group of the audit
# One reader at a time, under a lock in PostgreSQL: the order is kept, and its own
# backlog is read first.
CONSUMER = "ingest"


class Stream(NamedTuple):
    """A stream of records, and beside it a hash: "<worker>:<boot>" -> highest seq sent,
    written in one transaction with the entries. `lane`: empty where there is one stream.
    """

    records: str
    sent: str
    lane: str = ""

    @property
    def probe(self) -> str:
        """Written by control now and then: whether Redis takes anything."""
        return f"ef:1:probe:{{{self.lane}}}" if self.lane else "ef:1:probe"


ONE = Stream("ef:1:records", "ef:1:sent")
# A Cluster has sixteen, each in one slot. The names are chosen so that each lies in another
# sixteenth of the slots, in their order: of shards of one size each has its share of lanes.
LANES = tuple(
    Stream(f"ef:1:records:{{{lane}}}", f"ef:1:sent:{{{lane}}}", lane)
    for lane in [
        "10",
        "3",
        "61",
        "43",
        "11",
        "2",
        "60",
        "42",
        "12",
        "1",
        "63",
        "41",
        "13",
        "0",
        "62",
        "40",
    ]
)


def streams(*, cluster: bool) -> tuple[Stream, ...]:
    """All streams of a Redis."""
    return LANES if cluster else (ONE,)


def stream_of(worker: str, *, cluster: bool) -> Stream:
    """The stream of a worker's records, all of them, so that their order is kept."""
    lanes = streams(cluster=cluster)
    return lanes[zlib.crc32(worker.encode()) % len(lanes)]


def sent_field(worker: str, boot: str) -> str:
    """The field of `Stream.sent` by which a worker sees whether Redis still holds all it was
    given.
    """
    return f"{worker}:{boot}"


PROXIES = "ef:1:proxies"  # sorted set: "<worker>" -> when it last reported


def bucket_key(tenant: str) -> str:
    """A tenant's token bucket: a hash of `t`, the calls left, and `a`, at which
    millisecond.
    """
    return f"ef:1:bucket:{{{tenant}}}"


def spent_key(tenant: str, day: int) -> str:
    """A tenant's tokens on a day (since 1970, UTC): a hash of a proxy's run -> its
    tokens. In one slot with its bucket.
    """
    return f"ef:1:spent:{{{tenant}}}:{day}"


def remembered_keys(kind: str, tenant: str) -> tuple[str, str]:
    """What a tenant's proxies remember of texts: a hash of a text's keyed hash -> what is
    kept with it, and a sorted set of the same hashes by time.
    """
    name = f"ef:1:{kind}:{{{tenant}}}"
    return name, f"{name}:times"
