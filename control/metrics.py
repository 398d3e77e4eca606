"""`/v1/dashboard/metrics`: the fleet's counts for Prometheus, the same from every
control process, under the guide's names and conventional ones.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from contract.proxy_report import SILENT, ProxyReport
from contract.version import VERSION
from control.redis_queue import Queue, redis_fault, waiting
from control.state import STATE, State
from control.store import deliveries, keys, proxies, tally
from control.store.keys import Ending
from control.store.proxies import Proxy
from control.store.tally import LABELS, Series

MINUTES = 5  # the window of the guide's rates
HELP = {
    "decisions": "Exchanges decided.",
    "rule_violations": "Rules that fired, on calls and on answers.",
    "requests": "Exchanges that are over.",
    "tokens": "Tokens, as providers counted them.",
    "quarantined_records": "Records that were not stored: forged, or unreadable.",
    "unauthorized_requests": "Requests to the API without a valid key.",
}


# So that an alarm has something to compare with before the first.
NONE_YET = {
    Series("quarantined_records", ("forged",)): 0,
    Series("quarantined_records", ("unreadable",)): 0,
    Series("unauthorized_requests", ()): 0,
}


async def metrics(request: web.Request) -> web.Response:
    """All metrics in Prometheus' text format.

    For an admin or a key for metrics, as X-API-Key or bearer token.
    """
    state = request.app[STATE]
    registry = CollectorRegistry()
    registry.register(
        _Fleet(
            await tally.read(state.pool),
            await tally.recent(state.pool, MINUTES),
            await waiting(state.redis),
            await redis_fault(state.redis) is None,
            await deliveries.waiting(state.pool),
            await proxies.every(state.pool),
            await keys.ending(state.pool),
            state,
        )
    )
    return web.Response(
        body=generate_latest(registry), headers={"content-type": CONTENT_TYPE_LATEST}
    )


class _Fleet(Collector):
    def __init__(
        self,
        counts: Mapping[Series, int],
        recent: Mapping[str, Any],
        queue: Queue | None,
        redis_up: bool,
        hooks: Mapping[str, int],
        proxies: Sequence[Proxy],
        ending: Ending,
        state: State,
    ):
        self._counts = counts
        self._recent = recent
        self._queue = queue
        self._redis_up = redis_up
        self._hooks = hooks
        self._proxies = proxies
        self._ending = ending
        self._state = state

    def collect(self) -> Iterable[Metric]:
        """The values as they were read."""
        for name, labels in LABELS.items():
            family = CounterMetricFamily(f"earthflow_{name}", HELP[name], labels=labels)
            for series, value in {**NONE_YET, **self._counts}.items():
                if series.name == name:
                    family.add_metric(series.labels, value)
            yield family
        yield from self._of_the_last_minutes()
        yield from self._of_records()
        yield from _of_keys(self._ending)
        yield from _of_proxies(self._proxies)
        build = GaugeMetricFamily(
            "earthflow_build_info", "The version that runs.", labels=["version"]
        )
        build.add_metric([VERSION], 1)
        yield build

    def _of_the_last_minutes(self) -> Iterable[Metric]:
        recent = self._recent
        decided = max(1, recent["decided"])
        over = f"over the last {MINUTES} minutes"
        yield _gauge(
            "block_rate",
            f"Share of decisions that were BLOCK, {over}.",
            recent["blocked"] / decided,
        )
        yield _gauge(
            "error_rate",
            f"Share of exchanges whose provider failed, {over}.",
            recent["failed"] / decided,
        )
        yield _gauge(
            "latency_p99_ms",
            f"What Earthflow itself added to a call, p99 {over}.",
            recent["p99"] or 0.0,
        )
        seconds = (recent["p99"] or 0.0) / 1000
        yield _gauge(
            "added_latency_p99_seconds",
            f"The same, in the unit that Prometheus wants, {over}.",
            seconds,
        )

    def _of_records(self) -> Iterable[Metric]:
        yield _gauge(
            "rules_reload_success",
            "Whether the rule files, as they are, take effect.",
            0.0 if self._state.rules_complaint else 1.0,
        )
        yield _gauge("redis_up", "Whether Redis takes records.", float(self._redis_up))
        if (
            self._queue is not None
        ):  # else nobody knows, and 0 would say that none waits
            yield _gauge(
                "audit_waiting_records",
                "Records in Redis that are not in PostgreSQL yet.",
                self._queue.records,
            )
            yield _gauge(
                "audit_oldest_waiting_seconds",
                "Age of the record in Redis that waits longest; 0 where none does.",
                self._queue.oldest,
            )
        yield _gauge(
            "webhook_waiting",
            "Deliveries and decisions that wait for a webhook.",
            self._hooks["waiting"],
        )
        yield _gauge(
            "webhook_dead", "Deliveries that were given up.", self._hooks["dead"]
        )


# Of each proxy: name of the metric, what it is, and its value.
OF_PROXY: tuple[tuple[str, str, Callable[[ProxyReport], float | None]], ...] = (
    ("redis_up", "Whether Redis takes a proxy's records.", lambda one: not one.redis),
    ("spool_bytes", "Bytes of records on a proxy's disk.", lambda one: one.spool_bytes),
    ("spool_full", "Whether a proxy cannot write records.", lambda one: one.spool_full),
    ("unsent_records", "Records of a proxy that Redis has not taken.", lambda one: one.unsent_records),
    ("oldest_unsent_seconds", "Age of the record that waits longest for Redis; 0 where none does.", lambda one: one.oldest_unsent or 0.0),
    ("unrecorded", "Exchanges of a proxy's run, and ends of exchanges, that could not be recorded.", lambda one: one.unrecorded),
    ("snapshot_age_seconds", "Since control last said that what a proxy knows is the newest.", lambda one: one.snapshot_age),
    ("requests_in_flight", "Exchanges of a proxy that are decided and not over.", lambda one: one.in_flight),
    ("certificate_expiry_seconds", "Until a proxy's interception CA ends.", lambda one: one.certificate_seconds),
)  # fmt: skip


def _of_keys(ending: Ending) -> Iterable[Metric]:
    yield _gauge("keys_ending", "Keys that end within seven days.", ending.soon)
    text = "Those of them that were used in the last day."
    yield _gauge("keys_ending_in_use", text, ending.used)
    text = "Until the first of them ends; 0 where none does."
    yield _gauge("next_key_end_seconds", text, ending.first or 0.0)


def _of_proxies(proxies: Sequence[Proxy]) -> Iterable[Metric]:
    text = "Whether a proxy told of itself in the last half minute."
    up = GaugeMetricFamily("earthflow_proxy_up", text, labels=["proxy"])
    for one in proxies:
        up.add_metric([one.report.worker], float(one.silent <= SILENT))
    yield up
    for name, text, value in OF_PROXY:
        family = GaugeMetricFamily(f"earthflow_proxy_{name}", text, labels=["proxy"])
        for one in proxies:
            if (told := value(one.report)) is not None:
                family.add_metric([one.report.worker], float(told))
        yield family


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"earthflow_{name}", text, value=value)
