"""The client of Redis: one server, the primary that Sentinels name, or a Cluster. All are used the same way.

A Cluster has its records and marks in lanes (`contract.streams`); everything else has a tenant's slot, or one key.
"""

from collections.abc import Callable, Coroutine, Iterable
from functools import wraps
from typing import Any, cast

import redis.asyncio as aioredis
from redis.asyncio.cluster import ClusterNode, ClusterPipeline
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.exceptions import ClusterError, RedisClusterException, RedisError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from contract.redis_place import Place, is_several, read_place

# Times that a Cluster's client looks anew where a slot is before it gives up: one look for a shard that moved, one for a failover.
LOOKS = 2
# What its client raises where a shard is away; and where nobody has a slot, or nobody knows any.
LOST = (RedisConnectionError, RedisTimeoutError, ClusterError, OSError)
STRANGE = (RedisClusterException, IndexError)


def connect(url: str, timeout: float, retry: Retry | None = None) -> "aioredis.Redis":
    """A client that connects when it is used. `timeout`: seconds, for a connection and for an answer.

    Raises ValueError where the URL is none.
    """
    more: dict[str, Any] = {
        "socket_connect_timeout": timeout,
        "socket_timeout": timeout,
    }
    if not is_several(url):
        if retry is not None:
            more["retry"] = retry
        return aioredis.Redis.from_url(url, **more)
    place = read_place(url)
    more |= {"username": place.username, "password": place.password}
    if place.kind == "cluster":
        return cast("aioredis.Redis", _cluster(place, more))
    return _by_sentinels(place, more, retry or Retry(NoBackoff(), 1))


def _by_sentinels(place: Place, more: dict[str, Any], retry: Retry) -> "aioredis.Redis":
    tls = {"ssl": True, "ssl_ca_certs": place.ca} if place.tls else {}
    asking = {name: value for name, value in more.items() if "timeout" in name}
    sentinels = Sentinel(  # type: ignore[no-untyped-call]
        place.hosts,
        sentinel_kwargs={**asking, **tls, "password": place.sentinel_password},
        **more,
        **tls,
        db=place.database,
        retry=retry,
    )
    client: aioredis.Redis = sentinels.master_for(place.primary)
    return client


def _cluster(place: Place, more: dict[str, Any]) -> "Cluster":
    if place.tls:
        more |= {"ssl": True, "ssl_ca_certs": place.ca}
    return Cluster(
        startup_nodes=[ClusterNode(host, port) for host, port in place.hosts],
        # A shard that is away takes its own lanes and tenants along, and no others.
        require_full_coverage=False,
        # The URL's hosts stay the way in, whatever addresses the shards have today.
        dynamic_startup_nodes=False,
        retry=Retry(NoBackoff(), LOOKS),
        **more,
    )


def is_cluster(client: object) -> bool:
    """Whether a client's Redis is a Cluster."""
    return isinstance(client, aioredis.RedisCluster)


async def ask_all(
    redis: "aioredis.Redis", commands: Iterable[tuple[str, tuple[Any, ...]]]
) -> list[Any]:
    """The answers to several commands, each with its key before it; in place of one its error.

    Of a Cluster they are sent one after the other: its client fails a pipeline as a whole where
    one shard is away, and closes the connections of all.
    """
    if is_cluster(redis):
        return await _one_by_one(cast("Cluster", redis), commands)
    async with redis.pipeline(transaction=False) as pipeline:
        for _, command in commands:
            pipeline.execute_command(*command)
        answers: list[Any] = await pipeline.execute(raise_on_error=False)
    return answers


async def _one_by_one(
    redis: "Cluster", commands: Iterable[tuple[str, tuple[Any, ...]]]
) -> list[Any]:
    answers: list[Any] = []
    away: dict[str, Exception] = {}  # a node that did not answer, and how: asked once
    for key, command in commands:
        try:
            answers.append(await _by_node(redis, key, command, away))
        except STRANGE as error:  # nobody has the slot
            redis.look_again()
            answers.append(error)
        except (RedisError, OSError) as error:
            answers.append(error)
    return answers


async def _by_node(
    redis: "Cluster", key: str, command: tuple[Any, ...], away: dict[str, Exception]
) -> Any:
    await redis.initialize()
    node = redis.get_node_from_key(key)
    if node is not None and node.name in away:
        raise away[node.name]
    try:
        return await redis.execute_command(*command, target_nodes=node)
    except LOST as error:
        if node is not None:
            away[node.name] = error
        raise


def _looking_again[**P, R](
    run: Callable[P, Coroutine[Any, Any, R]],
) -> Callable[P, Coroutine[Any, Any, R]]:
    """After a failure the Cluster is asked anew who has what: its client does that by itself after some errors only, and
    a shard that vanished without a word shows as a timeout. Errors that are no RedisError become one.
    """

    @wraps(run)
    async def running(*args: P.args, **named: P.kwargs) -> R:
        client: Any = getattr(args[0], "cluster_client", args[0])
        try:
            return await run(*args, **named)
        except STRANGE as error:
            client.look_again()
            raise RedisConnectionError(str(error)) from error
        except LOST:
            client.look_again()
            raise

    return running


class Cluster(aioredis.RedisCluster):
    """A client of a Cluster whose errors are those of any other client."""

    initialize = _looking_again(aioredis.RedisCluster.initialize)
    execute_command = _looking_again(aioredis.RedisCluster.execute_command)

    def look_again(self) -> None:
        """Ask the Cluster who has what before the next command."""
        self._initialize = True

    def pipeline(
        self, transaction: Any | None = None, shard_hint: Any | None = None
    ) -> "Pipeline":
        """As that of any other client; the keys of a transaction are in one slot."""
        return Pipeline(self, transaction)  # type: ignore[abstract]


class Pipeline(ClusterPipeline):
    """Several commands at once, of which a transaction's are done together."""

    execute = _looking_again(ClusterPipeline.execute)
    __aenter__ = _looking_again(ClusterPipeline.__aenter__)
