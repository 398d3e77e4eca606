"""Names in Redis, which carries records to control and counts calls.

Nothing in it can add a key or weaken a rule.
"""

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
# sixteenth of the slots, and any four that follow one another in different quarters: of few
# shards of one size each has its share, of few proxies, too.
LANES = tuple(
    Stream(f"ef:1:records:{{{lane}}}", f"ef:1:sent:{{{lane}}}", lane)
    for lane in map(str, (63, 43, 62, 2, 41, 61, 0, 60, 12, 10, 13, 11, 1, 3, 40, 42))
)


def streams(*, cluster: bool) -> tuple[Stream, ...]:
    """All streams of a Redis."""
    return LANES if cluster else (ONE,)


# Counts the runs of proxies: the next one takes the next lane.
TURN = "ef:1:turn"


def lane_of(turn: int) -> Stream:
    """The lane of a run of a proxy, for all its records, so that their order is kept."""
    return LANES[turn % len(LANES)]


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
