"""Names in Redis. It carries records to control and counts requests; nothing in it can add a key or weaken a rule."""

RECORDS = "ef:1:records"  # the stream of records; one field, `FIELD`, holding `decision.encode` bytes
FIELD = b"r"
GROUP = "control"  # the consumer group of the audit
CONSUMER = "ingest"  # one reader at a time, under a lock in PostgreSQL: order is kept, and its own backlog is read first
SENT = (
    "ef:1:sent"  # hash: "<worker>:<boot>" -> highest seq sent, written in the same transaction as the entries
)


def sent_field(worker: str, boot: str) -> str:
    """The field of `SENT` that tells a worker whether Redis still holds all it was given."""
    return f"{worker}:{boot}"


PROXIES = "ef:1:proxies"  # sorted set: "<worker>" -> when it was last here


def bucket_key(tenant: str) -> str:
    """A tenant's bucket of calls: hash of `t`, what is in it, and `a`, at which millisecond."""
    return f"ef:1:bucket:{{{tenant}}}"


def spent_key(tenant: str, day: int) -> str:
    """What a tenant has spent on a day (since 1970, UTC): hash of a proxy's run -> its tokens; in one place with its bucket."""
    return f"ef:1:spent:{{{tenant}}}:{day}"
