"""The dashboard over a million exchanges: python -m bench dashboard

Of each page: control's CPU time, that of the same questions asked by the API, and the rest, which is rendering; PostgreSQL's; the wait;
and the bytes. Then a live tail while 200 decisions a second arrive: how long other requests waited beside it.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple, cast
from urllib.parse import quote

import aiohttp
import psycopg

from bench import audit
from bench.process import cpu_seconds, tree_seconds
from control.state import State
from control.store import database
from tests.support.house import House

TIMES = 40  # each page
TAIL_SECONDS, A_SECOND = 20, 200


class Asked(NamedTuple):
    """A page, and the questions to the API that it is made of."""

    path: str
    questions: Sequence[str]


def pages() -> Mapping[str, Asked]:
    """The pages, and for each what it asks the API."""
    now = datetime.now(UTC)
    day, week, month = (quote((now - timedelta(days=days)).isoformat()) for days in (1, 7, 30))  # fmt: skip
    health = ("/health/ready", "/v1/proxies", "/v1/keys/ending")
    return {
        "Now, a day": Asked("/?range=24h", (f"/v1/audit/activity?from={day}&step=1h", f"/v1/audit/rules?from={day}", "/v1/audit/admin?limit=40", *health)),
        "Now, a month": Asked("/?range=30d", (f"/v1/audit/activity?from={month}&step=1d", f"/v1/audit/rules?from={month}", "/v1/audit/admin?limit=40", *health)),
        "Decisions": Asked("/decisions", ("/v1/audit?limit=50", "/v1/audit/choices", "/v1/views")),
        "Decisions, one filter, a week": Asked("/decisions?status=BLOCK&range=7d", (f"/v1/audit?limit=50&status=BLOCK&from={week}", f"/v1/audit/choices?status=BLOCK&from={week}", f"/v1/audit/choices?from={week}", "/v1/views")),
        "Decisions, two filters": Asked("/decisions?status=BLOCK&tenant=t-007", ("/v1/audit?limit=50&status=BLOCK&tenant=t-007", "/v1/audit/choices?status=BLOCK&tenant=t-007", "/v1/audit/choices?tenant=t-007", "/v1/views")),
        "Rules": Asked("/rules?range=30d", (f"/v1/audit/rules?from={month}", "/v1/audit/marks", "/v1/rules/layers", "/health/ready")),
        "Tenants": Asked("/tenants", ("/v1/tenants?limit=50",)),
        "Audit": Asked("/audit", ("/v1/audit/admin?limit=50",)),
        "System": Asked("/system", (*health, "/v1/proxies", "/v1/settings", "/v1/ca", "/v1/master")),
        "Clients": Asked("/clients", (f"/v1/audit/choices?from={week}", "/v1/tenants?limit=200")),
    }  # fmt: skip


async def measured(house: House) -> tuple[list[Sequence[str]], str]:
    """What each page takes, a row for each; and a sentence on the tail."""
    url, control = house.stack.control.url, house.stack.services["control"].process.pid
    postgres = _postgres(house)
    key = house.stack.secrets["EARTHFLOW_ADMIN_API_KEY"]
    async with aiohttp.ClientSession(url, cookie_jar=aiohttp.CookieJar(unsafe=True)) as client:  # fmt: skip
        await client.post("/sign-in", data={"key": key}, headers={"Origin": url})
        rows: list[Sequence[str]] = []
        for name, page in pages().items():
            by_api = await _spent(client, control, postgres, page.questions, {"X-API-Key": key})  # fmt: skip
            whole = await _spent(client, control, postgres, [page.path], {})
            rendering = max(0.0, whole.control - by_api.control)
            rows.append((
                name, f"{whole.control:.1f}", f"{by_api.control:.1f}", f"{rendering:.1f}", f"{whole.postgres:.1f}", f"{by_api.postgres:.1f}",
                f"{whole.wait:.0f}", f"{whole.bytes / 1000:.0f}",
            ))  # fmt: skip
            print(" | ".join(rows[-1]), flush=True)
        return rows, await _tail(client, house, control)


class _Spent(NamedTuple):
    control: float
    postgres: float
    wait: float
    bytes: int


async def _spent(client: aiohttp.ClientSession, control: int, postgres: int, paths: Sequence[str], headers: Mapping[str, str]) -> _Spent:  # fmt: skip
    """What these requests take together: CPU ms of control and PostgreSQL, the wait, and the bytes of all."""
    waits, size = [], 0
    before = cpu_seconds(control), tree_seconds(postgres)
    for number in range(TIMES + 3):
        if number == 3:  # the first ones fill caches
            before = cpu_seconds(control), tree_seconds(postgres)
        began, size = time.perf_counter(), 0
        for path in paths:
            async with client.get(path, headers=headers) as answer:
                assert answer.status == 200, (path, await answer.text())
                size += len(await answer.read())
        waits.append((time.perf_counter() - began) * 1000)
    spent = cpu_seconds(control) - before[0], tree_seconds(postgres) - before[1]
    return _Spent(*(one * 1000 / TIMES for one in spent), sorted(waits)[len(waits) // 2], size)  # fmt: skip


async def _tail(client: aiohttp.ClientSession, house: House, control: int) -> str:
    """A live tail beside requests that do nothing: their longest wait is the longest that the loop stood still."""
    url = house.stack.environment()["EARTHFLOW_DATABASE_URL"]
    rows, skipped, waits = 0, 0, []
    writing = asyncio.create_task(asyncio.to_thread(_write, url))
    async with client.get("/decisions/tail") as stream:
        began, spent = time.perf_counter(), cpu_seconds(control)

        async def read() -> None:
            nonlocal rows, skipped
            kind = b""
            async for line in stream.content:
                if line.startswith(b"event: "):
                    kind = line[7:].strip()
                    rows += kind == b"row"
                elif line.startswith(b"data: ") and kind == b"skipped":
                    skipped += int(line[6:])
                    kind = b""

        reading = asyncio.create_task(read())
        while time.perf_counter() - began < TAIL_SECONDS:
            sent = time.perf_counter()
            async with client.get("/health") as answer:
                await answer.read()
            waits.append((time.perf_counter() - sent) * 1000)
            await asyncio.sleep(0.005)
        spent = cpu_seconds(control) - spent
        reading.cancel()
    await writing
    waits.sort()
    return (
        f"A live tail while {A_SECOND} decisions a second arrived, for {TAIL_SECONDS} s: {rows} rows were shown and {skipped} counted; other requests\n"
        f"waited {waits[len(waits) // 2]:.1f} ms at the median, {waits[int(len(waits) * 0.99)]:.1f} at p99 and {waits[-1]:.1f} at most; "
        f"control took {spent / TAIL_SECONDS * 100:.0f} % of a core.\n"
    )


def _write(url: str) -> None:
    """Decisions of now, evenly, as the ingest writes them: a batch four times a second."""
    with psycopg.connect(url, autocommit=True) as connection:
        for number in range((TAIL_SECONDS - 2) * 4):
            began = time.perf_counter()
            connection.execute(audit.FILL.encode(), {"first": -number - 1, "count": A_SECOND // 4})  # fmt: skip
            time.sleep(max(0.0, 0.25 - (time.perf_counter() - began)))


def _postgres(house: House) -> int:
    with psycopg.connect(house.stack.environment()["EARTHFLOW_DATABASE_URL"]) as connection:  # fmt: skip
        row = connection.execute("SHOW data_directory").fetchone()
    assert row is not None
    return int((Path(row[0]) / "postmaster.pid").read_text().split()[0])


async def _fill(house: House) -> None:
    pool = await database.connect(house.stack.environment()["EARTHFLOW_DATABASE_URL"], "the bench's engines", 5)  # fmt: skip

    class _Here(NamedTuple):
        pool: Any

    await audit.fill(cast(State, _Here(pool)))
    await pool.close()


def run() -> tuple[list[Sequence[str]], str]:
    """Fill, and measure."""
    with House() as house:
        asyncio.run(_fill(house))
        return asyncio.run(measured(house))
