"""Names in Redis, which carries records to control and counts calls.

Nothing in it can add a key or weaken a rule.
"""

# The stream of records. An entry has `decision.encode` bytes in FIELD, and in MAC their
# `proof.record_mac`, without which only proxies of earlier versions write.
RECORDS = "ef:1:records"
FIELD, MAC = b"r", b"m"
GROUP = "control"  # the consumer group of the audit
# One reader at a time, under a lock in PostgreSQL: the order is kept, and its own
# backlog is read first.
CONSUMER = "ingest"
# Hash: "<worker>:<boot>" -> highest seq sent; written in one transaction with the
# entries.
SENT = "ef:1:sent"


def sent_field(worker: str, boot: str) -> str:
    """The field of `SENT` by which a worker sees whether Redis still holds all it was
    given.
    """
    return f"{worker}:{boot}"


# Written by control now and then: whether Redis takes anything.
PROBE = "ef:1:probe"
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
