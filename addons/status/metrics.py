"""The proxy's counts for Prometheus, on a port of their own.

They name no tenant, key, client or path.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from addons.network.connections import Connections
from addons.network.distrust import Distrust
from addons.record.backlog import Backlog, backlog_of
from addons.record.outbox import Outbox
from addons.record.recorder import Recorder
from addons.record.writer import RecordWriter
from addons.status.health import Health
from addons.status.loop_watch import LoopWatch
from addons.tenants.rate_limit import RateLimiter
from addons.tenants.snapshot import SnapshotHolder
from contract.version import VERSION


class Counts(Collector):
    """The counts that the parts of the proxy keep, as metrics."""

    def __init__(
        self,
        recorder: Recorder,
        connections: Connections,
        distrust: Distrust,
        health: Health,
        limiter: RateLimiter,
        loop: LoopWatch,
        days_left: Callable[[], Mapping[str, float]],
        outboxes: Sequence[Outbox],
        holder: SnapshotHolder,
    ):
        self._recorder = recorder
        self._connections = connections
        self._distrust = distrust
        self._health = health
        self._limiter = limiter
        self._loop = loop
        self._days_left = days_left
        self._outboxes = outboxes
        self._holder = holder

    def collect(self) -> Iterable[Metric]:
        """The current values."""
        yield _build()
        yield _ends(self._days_left())
        yield _stalls(*self._loop.stalls())
        recorder = self._recorder
        yield _counter(
            "decisions",
            "Exchanges decided.",
            ("action", "reason", "provider"),
            recorder.decisions.items(),
        )
        yield _counter(
            "exchanges",
            "Exchanges that are over.",
            ("outcome", "answer"),
            recorder.outcomes.items(),
        )
        unseen = "Bytes that nobody could look at."
        yield _counter(
            "uncovered_bytes", unseen, ("why", "direction"), recorder.uncovered.items()
        )
        yield from _spool(recorder.writer)
        yield from _backlog(backlog_of(self._outboxes))
        redis_up = all(outbox.up for outbox in self._outboxes)
        yield _gauge("redis_up", "Whether Redis takes records.", float(redis_up))
        yield _gauge(
            "snapshot_age_seconds",
            "Since control last said that the tenants, keys and rules here are the newest.",
            self._holder.age,
        )
        gone = "Handshakes of clients that do not trust the interception CA."
        yield _counter(
            "distrusted_handshakes",
            gone,
            ("sure",),
            (((sure,), count) for sure, count in self._distrust.count.items()),
        )
        yield from self._limits()

    def _limits(self) -> Iterable[Metric]:
        recorder, connections = self._recorder, self._connections
        refused = "Connections refused or ended by a limit."
        yield _counter(
            "connections_refused",
            refused,
            ("limit",),
            (((why,), count) for why, count in connections.refused.items()),
        )
        yield _counter(
            "hook_failures",
            "Hooks that raised; what became of it says EARTHFLOW_FAIL_MODE.",
            (),
            [((), self._health.failures)],
        )
        limiter = self._limiter
        asked = "Calls over the rate limit, and calls whose limit was asked here since Redis did not answer in time."
        yield _counter(
            "limited_calls",
            asked,
            ("what",),
            [(("refused",), limiter.refused), (("asked_here",), limiter.local)],
        )
        yield _gauge("connections", "Clients connected.", len(connections))
        text = "Exchanges decided and not over."
        yield _gauge("requests_in_flight", text, recorder.under_way)


class MetricsPort:
    """Serves `/metrics`."""

    def __init__(self, counts: Counts, host: str, port: int):
        self._registry = CollectorRegistry()
        self._registry.register(counts)
        self._host, self._port = host, port
        app = web.Application()
        app.router.add_get("/metrics", self._answer)
        self._runner = web.AppRunner(app, access_log=None)

    async def start(self) -> int:
        """Open the port, and give its number. Raises OSError where it cannot be opened."""
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port).start()
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Close it."""
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        return web.Response(
            body=generate_latest(self._registry),
            headers={"content-type": CONTENT_TYPE_LATEST},
        )


def _build() -> Metric:
    build = GaugeMetricFamily(
        "earthflow_build_info", "The version that runs.", labels=["version"]
    )
    build.add_metric([VERSION], 1)
    return build


def _ends(left: Mapping[str, float]) -> Metric:
    ends = GaugeMetricFamily(
        "earthflow_certificate_expiry_seconds",
        "Until a certificate ends: the interception CA's, the port's own.",
        labels=["which"],
    )
    for which, days in left.items():
        ends.add_metric([which], days * 24 * 3600)
    return ends


def _spool(writer: RecordWriter) -> Iterable[Metric]:
    text = "Exchanges, and ends of exchanges, that could not be recorded, since the disk was full."
    counted = (((what,), count) for what, count in writer.unrecorded.items())
    yield _counter("unrecorded", text, ("what",), counted)
    text = "1 while records cannot be written."
    yield _gauge("spool_full", text, writer.full)


def _backlog(backlog: Backlog) -> Iterable[Metric]:
    yield _gauge("spool_bytes", "Bytes of records on this disk.", backlog.kept)
    text = "Records that Redis has not taken."
    yield _gauge("unsent_records", text, backlog.records)
    text = "Age of the record that waits longest for Redis; 0 where none does."
    yield _gauge("oldest_unsent_seconds", text, backlog.oldest or 0.0)


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"earthflow_{name}", text, value=value)


def _stalls(bounds: list[tuple[str, float]], seconds: float) -> Metric:
    text = (
        "How late the event loop came to its work; while it is late, nobody is served."
    )
    stalls = HistogramMetricFamily("earthflow_loop_stall_seconds", text)
    stalls.add_metric([], bounds, seconds)
    return stalls


def _counter(
    name: str,
    text: str,
    labels: tuple[str, ...],
    values: Iterable[tuple[tuple[str, ...], float]],
) -> CounterMetricFamily:
    family = CounterMetricFamily(f"earthflow_{name}", text, labels=labels)
    for told, value in list(values):
        family.add_metric(told, value)
    return family
