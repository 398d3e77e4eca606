"""`/v1/dashboard/metrics`: the fleet's counts for Prometheus, the same from every
control process, under the guide's names and conventional ones.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from redis.exceptions import RedisError

from contract.streams import GROUP, RECORDS
from contract.version import VERSION
from control import auth
from control.state import STATE, State
from control.store import deliveries, tally
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
    await auth.reader_of_metrics(request)
    state = request.app[STATE]
    registry = CollectorRegistry()
    registry.register(
        _Fleet(
            await tally.read(state.pool),
            await tally.recent(state.pool, MINUTES),
            await _waiting(state),
            await deliveries.waiting(state.pool),
            state,
        )
    )
    return web.Response(
        body=generate_latest(registry), headers={"content-type": CONTENT_TYPE_LATEST}
    )


async def _waiting(state: State) -> int | None:
    """Records in Redis that are not stored yet; None where Redis does not tell."""
    try:
        groups: list[dict[str, Any]] = await state.redis.xinfo_groups(RECORDS)
    except (RedisError, OSError):
        return None
    return next(
        (
            int(group.get("lag") or 0) + int(group["pending"])
            for group in groups
            if group["name"] == GROUP.encode()
        ),
        0,
    )


class _Fleet(Collector):
    def __init__(
        self,
        counts: Mapping[Series, int],
        recent: Mapping[str, Any],
        waiting: int | None,
        hooks: Mapping[str, int],
        state: State,
    ):
        self._counts = counts
        self._recent = recent
        self._waiting = waiting
        self._hooks = hooks
        self._state = state

    def collect(self) -> Iterable[Metric]:
        """The values as they were read."""
        for name, labels in LABELS.items():
            family = CounterMetricFamily(f"earthflow_{name}", HELP[name], labels=labels)
            for series, value in {**NONE_YET, **self._counts}.items():
                if series.name == name:
                    family.add_metric(series.labels, value)
            yield family
        recent, complaint = self._recent, self._state.rules_complaint
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
        yield _gauge(
            "rules_reload_success",
            "Whether the rule files, as they are, take effect.",
            0.0 if complaint else 1.0,
        )
        yield _gauge(
            "redis_up", "Whether Redis answers.", 0.0 if self._waiting is None else 1.0
        )
        yield _gauge(
            "audit_waiting_records",
            "Records in Redis that are not in PostgreSQL yet.",
            float(self._waiting or 0),
        )
        yield _gauge(
            "webhook_waiting",
            "Deliveries and decisions that wait for a webhook.",
            self._hooks["waiting"],
        )
        yield _gauge(
            "webhook_dead", "Deliveries that were given up.", self._hooks["dead"]
        )
        build = GaugeMetricFamily(
            "earthflow_build_info", "The version that runs.", labels=["version"]
        )
        build.add_metric([VERSION], 1)
        yield build


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"earthflow_{name}", text, value=value)
