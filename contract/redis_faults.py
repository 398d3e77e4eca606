"""What is wrong with Redis, by the error that it gave, in words that say what to do."""

from redis.asyncio.sentinel import MasterNotFoundError
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    ClusterDownError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)

AWAY = "does not answer"
# In this order: some of these are kinds of others.
KINDS: tuple[tuple[type[RedisError], str, str], ...] = (
    (AuthenticationError, "NOAUTH", "refuses our password; set REDIS_PASSWORD"),
    (NoPermissionError, "NOPERM", "does not let our user do that; see its ACL"),
    (BusyLoadingError, "LOADING", "is loading its data, and will answer then"),
    (MasterNotFoundError, "No master", "has no primary; see its Sentinels"),
    (ClusterDownError, "CLUSTERDOWN", "has a shard that is away; see its Cluster"),
    (ReadOnlyError, "READONLY", "only reads; REDIS_HOST must name the primary"),
    (OutOfMemoryError, "OOM", "has no memory left; raise its maxmemory"),
    (ResponseError, "MISCONF", "cannot write to its disk; give it room"),
)


def fault_by(error: BaseException) -> str:
    """What Redis does or is, without a subject: `only reads; REDIS_HOST must name the primary`."""
    cause: BaseException | None = error
    while cause is not None:  # the reason of a failed connection is below it
        for kind, word, sentence in KINDS:
            named = str(cause).startswith(word)
            if isinstance(cause, kind) and (named or kind is not ResponseError):
                return sentence
            if isinstance(cause, RedisError) and named:
                return sentence
        cause = cause.__cause__
    return AWAY
