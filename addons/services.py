"""Builds the proxy's parts in the order of their dependencies, starts what runs in the background, and stops it.

Built whole before the first connection, or not at all.
"""

import asyncio
import contextlib
import logging
from typing import Any, Self

import redis.asyncio as aioredis

from addons.api_relay import ApiRelay
from addons.calls.access import Access
from addons.calls.failures import Failures
from addons.calls.flow import is_opaque
from addons.calls.judge import CallJudge
from addons.calls.refusal import Refuser
from addons.dialogues.hooks import DialogueHooks
from addons.gate import Gate
from addons.mitm.bends import UNTRUSTED
from addons.mitm.certificates import BadCertificate
from addons.mitm.handlers import close_client
from addons.mitm.handshakes import Handshakes
from addons.mitm.hooks import Hooks
from addons.mitm.http import Bounds
from addons.mitm.layer_choice import LayerChoice
from addons.mitm.own_certificates import OwnCertificates
from addons.network.connections import Connections
from addons.network.distrust import Distrust
from addons.network.names import Names
from addons.network.resolver import Resolver, mark_own_connections
from addons.providers import Directory
from addons.record.outbox import Outbox
from addons.record.recorder import Recorder
from addons.record.spool import SpoolBusy, take_spool
from addons.record.writer import RecordWriter
from addons.settings import ProxySettings
from addons.status.health import Health
from addons.status.heap import keep_trimmed
from addons.status.loop_watch import LoopWatch
from addons.status.metrics import Counts, MetricsPort
from addons.status.report import report
from addons.tenants.compiled_cache import CompiledCache
from addons.tenants.rate_limit import RateLimiter
from addons.tenants.remembered import Remembered
from addons.tenants.snapshot import NoSnapshot, OlderSnapshot, SnapshotHolder
from addons.tunnels import Tunnels
from contract.providers import BadProviders
from contract.proxy_report import EVERY
from contract.redis_client import connect
from contract.unwrap import WrongMasterKey, cache_key, proxy_token
from rules.complaint import BadRules

logger = logging.getLogger("earthflow.proxy")

# Seconds for one answer of Redis to the rate limiter. A call waits far less for it
# (rate_limit.PATIENCE); after this the connection is given up.
LIMITS_TIMEOUT = 0.5
# Seconds to connect for the outbox, and for one answer. No call waits for it.
REDIS_TIMEOUT = 5.0
CANNOT_START = (
    NoSnapshot,
    OlderSnapshot,
    SpoolBusy,
    BadCertificate,
    BadRules,
    BadProviders,
    WrongMasterKey,
    OSError,
)


class Services:
    """The parts of one proxy."""

    def __init__(self, settings: ProxySettings, certificates: OwnCertificates):
        """Raises one of CANNOT_START, in words for the operator."""
        self._settings, self._certificates = settings, certificates
        self.holder = SnapshotHolder(
            settings.state_dir / "snapshot.sealed",
            settings.control_url,
            settings.master,
            settings.snapshot_max_age,
            CompiledCache(settings.compiled_dir, cache_key(settings.master)),
        )
        spool, orphans = take_spool(settings.state_dir / "spool", settings.spool_bytes)
        self._redis = _redis(settings, REDIS_TIMEOUT)
        self._limits_redis = _redis(settings, LIMITS_TIMEOUT)
        self._outboxes = [
            Outbox(
                one, self._redis, self.holder.watermark, lambda: self.holder.record_key
            )
            for one in (spool, *orphans)
        ]
        self.limiter = RateLimiter(self._limits_redis, spool.worker)
        self._writer = RecordWriter(spool, settings.audit_mode)
        self.recorder = Recorder(self._writer, self.limiter.spend)
        self.connections = Connections(settings.limits, close_client)
        self._loop_watch = LoopWatch()
        self._build_traffic()
        self._tasks: list[asyncio.Task[None]] = []

    def _build_traffic(self) -> None:
        """The parts that a call passes, from the connection to the record."""
        settings, holder = self._settings, self.holder
        recorder, connections = self.recorder, self.connections
        distrust = Distrust(UNTRUSTED)
        self.health = Health(
            holder, self._writer, self._outboxes, distrust, self._certificates.report
        )
        providers = Directory(settings.providers)
        names = Names(providers.has)
        resolver = Resolver(settings.upstream_map, settings.internal_hosts, names)
        resolver.guard(asyncio.get_running_loop())
        self.remembered = Remembered(self._limits_redis)
        access, judge = Access(settings, holder), CallJudge(holder, self.remembered)
        refuser = Refuser(recorder)
        failures = Failures(settings, recorder, refuser, self.health)
        tunnels = Tunnels(
            access, providers, resolver, connections, recorder, refuser, failures
        )
        gate = Gate(
            settings,
            access,
            tunnels,
            providers,
            judge,
            self.limiter,
            connections,
            recorder,
            refuser,
            failures,
        )
        bounds = Bounds(connections, providers.has, is_opaque)
        self.layer_choice = LayerChoice(settings.control, bounds, tunnels)
        handshakes = Handshakes(tunnels, connections, recorder, distrust)
        dialogues = DialogueHooks(judge, self.limiter, recorder, connections, failures)
        beside: list[Any] = [handshakes, dialogues]
        certified, token = settings.tls_ca is not None, proxy_token(settings.master)
        relay = ApiRelay(self.health, token, certificates=certified)
        self.hooks = Hooks(
            gate,
            tunnels,
            self.layer_choice,
            relay,
            connections,
            settings.control,
            beside,
        )
        counts = Counts(
            recorder,
            connections,
            distrust,
            self.health,
            self.limiter,
            self._loop_watch,
            lambda: self._certificates.days,
            self._outboxes,
            holder,
        )
        self._build_port(counts)

    def _build_port(self, counts: Counts) -> None:
        settings, self._metrics = self._settings, None
        if settings.metrics_port is not None:
            self._metrics = MetricsPort(
                counts, settings.metrics_host, settings.metrics_port
            )

    @classmethod
    async def start(
        cls, settings: ProxySettings, certificates: OwnCertificates
    ) -> Self:
        """Build, wait for a snapshot, and follow control and Redis. Raises one of CANNOT_START."""
        services = cls(settings, certificates)
        await services.holder.start(settings.start_timeout)
        own = [
            services.holder.run(),
            *(outbox.run() for outbox in services._outboxes),
            services._writer.run(),
            services.limiter.count_proxies(),
            services.limiter.report_spending(),
            services._tell_control(),
        ]
        services._tasks = [asyncio.create_task(_as_own(work)) for work in own]
        beside = services.connections.run(), services._loop_watch.run(), keep_trimmed()
        services._tasks += map(asyncio.create_task, beside)
        if services._metrics is not None:
            logger.info("metrics on port %d", await services._metrics.start())
        return services

    async def _tell_control(self) -> None:
        """Tell control what waits here, every few seconds until cancelled."""
        parts = self.holder, self.recorder, self._outboxes
        while True:
            try:
                await self.holder.report(report(*parts, self._certificates.days))
            except Exception as error:  # such as a disk that cannot be read
                logger.debug("control is not told of this (%s)", type(error).__name__)
            await asyncio.sleep(EVERY)

    def follow(self, certificates: OwnCertificates, inner: Any) -> None:
        """Take up renewed certificates; `inner` is mitmproxy's TLS addon."""
        self._tasks.append(asyncio.create_task(certificates.follow(inner)))

    async def stop(self) -> None:
        """Send what Redis takes within `flush_seconds`; the rest stays in the spool for the next start."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._metrics is not None:
            await self._metrics.stop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.flush_seconds):
                for outbox in self._outboxes:
                    await _as_own(outbox.flush())
        for outbox in self._outboxes:
            outbox.spool.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(_as_own(self.limiter.end()), REDIS_TIMEOUT)
        await self.holder.close()
        await self._redis.aclose()
        await self._limits_redis.aclose()


def _redis(settings: ProxySettings, timeout: float) -> "aioredis.Redis":
    return connect(settings.redis, timeout)


async def _as_own(work: "asyncio._CoroutineLike[None]") -> None:
    mark_own_connections()
    await work
