"""`/v1/proxies`: the proxies, and what waits in them."""

from datetime import datetime

import msgspec
from aiohttp import web

from contract.proxy_report import SILENT
from control.errors import answer
from control.state import STATE
from control.store import proxies
from control.store.proxies import Proxy


class ProxyView(msgspec.Struct, kw_only=True):
    """A proxy process, by the name of its spool. Bytes, records, seconds and days; `oldest_unsent` is how long the record that
    waits longest for Redis does so. `redis` says what is wrong with it; null where nothing is.
    """

    proxy: str
    version: str
    seen_at: datetime
    away: bool
    spool_bytes: int
    unsent_records: int
    unsent_bytes: int
    oldest_unsent: float | None
    unrecorded: int
    spool_full: bool
    redis: str | None
    snapshot_version: int
    snapshot_age: float
    in_flight: int
    certificate_days: float | None


class Proxies(msgspec.Struct):
    """The proxies that told of themselves in the last week."""

    proxies: list[ProxyView]


async def every(request: web.Request) -> web.Response:
    """The proxies, and what waits in them."""
    found = await proxies.every(request.app[STATE].pool)
    return answer(Proxies([_shown(one) for one in found]))


def _shown(one: Proxy) -> ProxyView:
    told = msgspec.structs.asdict(one.report)
    worker, redis = told.pop("worker"), told.pop("redis") or None
    del told["boot"]
    away = one.silent > SILENT
    return ProxyView(proxy=worker, redis=redis, seen_at=one.at, away=away, **told)
