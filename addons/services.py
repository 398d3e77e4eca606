"""What stands behind the gate and has a life of its own: snapshot, spool, outbox. Built whole before the first call, or not at all."""

import asyncio
import contextlib
import logging
from typing import Self

import redis.asyncio as aioredis

from addons.distrust import Distrust
from addons.gate import Gate
from addons.health import Health
from addons.limits import Limiter
from addons.metrics import Counts, MetricsPort
from addons.outbox import Outbox
from addons.record import Recorder
from addons.resolver import Resolver, ours
from addons.rulebooks import CompiledCache
from addons.settings import ProxySettings
from addons.snapshot import Holder, NoSnapshot
from addons.spool import SpoolBusy, take_spool
from addons.tls import BadCertificate
from contract.providers import BadProviders
from contract.unwrap import WrongMasterKey, cache_key
from rules.complaint import BadRules

logger = logging.getLogger("earthflow.proxy")

LIMITS_TIMEOUT = (
    0.5  # seconds; who asks waits for far less, but a connection that does not answer is given up
)
REDIS_TIMEOUT = 5.0  # seconds to connect, and for one answer; publishing is never on a call's path
CANNOT_START = (NoSnapshot, SpoolBusy, BadCertificate, BadRules, BadProviders, WrongMasterKey, OSError)


class Services:
    """Everything the gate needs, running."""

    def __init__(self, settings: ProxySettings):
        """Over a CA that was checked. Raises one of CANNOT_START, in words for the operator."""
        self._settings = settings
        compiled = CompiledCache(settings.compiled_dir, cache_key(settings.master))
        self.holder = Holder(
            settings.state_dir / "snapshot.sealed",
            settings.control_url,
            settings.master,
            settings.snapshot_max_age,
            compiled,
        )
        spool, orphans = take_spool(settings.state_dir / "spool")
        self._redis = aioredis.Redis.from_url(
            settings.redis, socket_connect_timeout=REDIS_TIMEOUT, socket_timeout=REDIS_TIMEOUT
        )
        self._outboxes = [Outbox(one, self._redis, self.holder.watermark) for one in (spool, *orphans)]
        resolver = Resolver(settings.upstream_map, settings.internal_hosts)
        resolver.guard(asyncio.get_running_loop())
        distrust = Distrust()
        self.health = Health(self.holder, spool, self._outboxes, distrust)
        self._limits_redis = aioredis.Redis.from_url(
            settings.redis, socket_connect_timeout=LIMITS_TIMEOUT, socket_timeout=LIMITS_TIMEOUT
        )
        self.limiter = Limiter(self._limits_redis, spool.worker)
        self.recorder = Recorder(spool, self.limiter.spend)
        self.gate = Gate(settings, self.holder, self.recorder, resolver, self.health, distrust, self.limiter)
        counts = Counts(self.recorder, self.gate.connections, distrust, self.health, self.limiter)
        self._metrics = (
            MetricsPort(counts, settings.metrics_host, settings.metrics_port)
            if settings.metrics_port is not None
            else None
        )
        self._tasks: list[asyncio.Task[None]] = []

    @classmethod
    async def start(cls, settings: ProxySettings) -> Self:
        """Built, with a snapshot to judge by, and following control and Redis. Raises one of CANNOT_START."""
        services = cls(settings)
        await services.holder.start(settings.start_timeout)
        services._tasks = [asyncio.create_task(_as_ours(services.holder.run()))]
        services._tasks += [asyncio.create_task(_as_ours(outbox.run())) for outbox in services._outboxes]
        services._tasks.append(asyncio.create_task(services.gate.connections.run()))
        services._tasks += [
            asyncio.create_task(_as_ours(work)) for work in (services.limiter.run(), services.limiter.tell())
        ]
        if services._metrics is not None:
            logger.info("metrics on port %d", await services._metrics.start())
        return services

    async def stop(self) -> None:
        """Send what is left, as far as Redis takes it; the rest stays in the spool for the next start."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._metrics is not None:
            await self._metrics.stop()
        for outbox in self._outboxes:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(_as_ours(outbox.flush()), REDIS_TIMEOUT * 2)
            outbox.spool.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(_as_ours(self.limiter.end()), REDIS_TIMEOUT)
        await self.holder.close()
        await self._redis.aclose()
        await self._limits_redis.aclose()


async def _as_ours(work: "asyncio._CoroutineLike[None]") -> None:
    ours()
    await work
