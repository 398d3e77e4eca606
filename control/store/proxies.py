"""Proxies, as they last told of themselves."""

from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec
from psycopg.types.json import Jsonb

from contract.proxy_report import ProxyReport
from control.store.database import Connection, Pool

# Each is some series of metrics; whoever has our master key could make up more.
MOST = 1000
# A proxy that was taken away is listed so long: what waits in its spool is not stored.
LISTED = timedelta(days=7)


class Proxy(NamedTuple):
    """A proxy process, and when it told this."""

    at: datetime
    silent: float  # seconds since then
    report: ProxyReport


async def note(pool: Pool, report: ProxyReport) -> None:
    """Keep a report in place of the one before."""
    async with pool.connection() as connection:
        await connection.execute(
            "INSERT INTO proxy (worker, report) SELECT %(worker)s, %(report)s "
            "WHERE EXISTS (SELECT FROM proxy WHERE worker = %(worker)s) OR (SELECT count(*) FROM proxy) < %(most)s "
            "ON CONFLICT (worker) DO UPDATE SET at = now(), report = excluded.report",
            {
                "worker": report.worker,
                "report": Jsonb(msgspec.to_builtins(report)),
                "most": MOST,
            },
        )


async def every(pool: Pool) -> list[Proxy]:
    """All proxies, by their names."""
    async with pool.connection() as connection:
        rows = await connection.execute(
            "SELECT at, extract(epoch FROM now() - at)::float8 AS silent, report FROM proxy ORDER BY worker"
        )
        found = [(row, _report(row["report"])) for row in await rows.fetchall()]
    return [
        Proxy(row["at"], row["silent"], one) for row, one in found if one is not None
    ]


def _report(told: object) -> ProxyReport | None:
    """A report; None for one of another version that cannot be read."""
    try:
        return msgspec.convert(told, ProxyReport)
    except msgspec.ValidationError:
        return None


async def forget(connection: Connection) -> None:
    """Forget proxies that are away for long."""
    await connection.execute("DELETE FROM proxy WHERE at < now() - %s", (LISTED,))
