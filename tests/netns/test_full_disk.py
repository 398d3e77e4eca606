"""The proxy's disk is full: nothing passes unrecorded, or it is counted exactly; what was under way is recorded whole; keys still end."""

import asyncio
import errno
import http.client
import ssl
import subprocess
import tempfile
import threading
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from cli.processes import wait_until
from tests.support.house import PATIENCE, House, Tenant, curl, message, python

SIZE = "12m"  # of the disk: a start and its rulebooks need the half
MODES = ("durable", "available")
LEAST = 20  # calls that are waited for in each state
STREAMS = 12
NONE = {"exchanges": 0}
JSON = {"content-type": "application/json"}


@contextmanager
def small_disk() -> Iterator[Path]:
    """A disk of its own, in memory."""
    folder = Path(tempfile.mkdtemp(prefix="ef-disk-"))
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=700", "tmpfs", folder],
        check=True,
    )
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)
        folder.rmdir()


@dataclass
class Small:
    """A house whose proxy keeps its state on a small disk."""

    house: House
    disk: Path

    def fill(self) -> None:
        """Take all room that there is."""
        with open(self.disk / "filler", "ab", buffering=0) as file:
            for size in (65_536, 4096, 1):
                try:
                    while file.write(b"x" * size) == size:
                        pass
                except OSError as error:
                    assert error.errno == errno.ENOSPC

    def free(self) -> None:
        """Give it back."""
        (self.disk / "filler").unlink()

    def ready(self) -> tuple[str, dict[str, Any]]:
        """The status code of readiness, and what it says of the spool."""
        url = self.house.url("/health/ready")
        code = curl("-s", "-o", "/dev/null", "-w", "%{http_code}", url).stdout
        return code, self.house.ready()["checks"]["spool"]


@contextmanager
def small_house(mode: str) -> Iterator[Small]:
    with small_disk() as disk:
        start = f"import os; os.environ['EARTHFLOW_STATE_DIR'] = {str(disk)!r}; from addons.run import main; main()"
        with House(
            {"EARTHFLOW_AUDIT_MODE": mode, "EARTHFLOW_METRICS_PORT": "0"},
            {"proxy": python(start)},
        ) as house:
            yield Small(house, disk)


# The folder of the CA is the house's own.
@pytest.fixture(autouse=True)
def own_ca(monkeypatch: pytest.MonkeyPatch) -> None:
    enter = House.__enter__

    def linked(house: House) -> House:
        (proxy,) = house._programs.values()
        disk = Path(proxy[-1].split("'")[3])
        (disk / "ca").symlink_to(house.folder / "ca")
        return enter(house)

    monkeypatch.setattr(House, "__enter__", linked)


@dataclass
class Caller:
    """Calls again and again, on connections that stay open, and counts what comes back."""

    tenant: Tenant
    answers: Counter[int] = field(default_factory=Counter)
    retry_after: set[str | None] = field(default_factory=set)
    _ended: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self, count: int = 3) -> None:
        self._threads = [threading.Thread(target=self._run) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def more(self, status: int, count: int = LEAST) -> None:
        """Wait for more calls with this answer."""
        wanted = self.answers[status] + count
        assert wait_until(lambda: self.answers[status] >= wanted, PATIENCE), (
            self.answers
        )

    def _run(self) -> None:
        while not self._ended.is_set():
            connection = connected(self.tenant)
            try:
                while not self._ended.is_set():
                    connection.request("POST", "/v1/chat/completions", message("hello"), JSON)  # fmt: skip
                    answer = connection.getresponse()
                    answer.read()
                    self.answers[answer.status] += 1
                    if answer.status == 503:
                        self.retry_after.add(answer.headers["retry-after"])
            except OSError as error:  # the tunnel itself was refused
                assert "503" in str(error), error
                self.answers[503] += 1
            finally:
                connection.close()


def connected(tenant: Tenant) -> http.client.HTTPSConnection:
    context = ssl.create_default_context(cafile=str(tenant.house.bundle))
    connection = http.client.HTTPSConnection(
        "localhost", tenant.house.stack.port, context=context, timeout=PATIENCE
    )
    token = b64encode(f"key:{tenant.key}".encode()).decode()
    connection.set_tunnel(
        "api.openai.com", 443, {"Proxy-Authorization": f"Basic {token}"}
    )
    return connection


def rows_of(tenant: Tenant, calls: int) -> tuple[list[dict[str, Any]], int, int]:
    """The rows of exchanges, and how many are missing, and passed; once they are `calls` together."""
    rows: list[dict[str, Any]] = []

    def there() -> bool:
        every: list[dict[str, Any]] = []
        after = ""
        while True:
            page = tenant.house.stack.control.get(
                f"/v1/audit?tenant={tenant.id}&limit=1000{after}"
            )
            every += page["audit"]
            if not page.get("next"):
                break
            after = f"&cursor={page['next']}"
        rows[:] = every
        missing = sum((row["missing"] or NONE)["exchanges"] for row in rows)
        own = [row for row in rows if not row["missing"]]
        return len(own) + missing == calls and all(row["completion"] for row in own)

    assert wait_until(there, PATIENCE), (calls, len(rows), Counter(row["reason"] for row in rows))  # fmt: skip
    gaps = [row["missing"] for row in rows if row["missing"]]
    return (
        [row for row in rows if not row["missing"]],
        sum(gap["exchanges"] for gap in gaps),
        sum(gap["passed"] for gap in gaps),
    )


@pytest.mark.parametrize("mode", MODES)
def test_a_full_disk_under_load_leaves_nothing_out_of_account(mode: str) -> None:
    with small_house(mode) as small:
        house, tenant = small.house, small.house.tenant()
        before = len(tenant_rows(tenant))
        caller = Caller(tenant)
        caller.start()
        caller.more(200)
        small.fill()
        full = 503 if mode == "durable" else 200
        caller.more(full)
        wanted = ("503", "DOWN") if mode == "durable" else ("200", "DEGRADED")
        seen: list[tuple[str, dict[str, Any]]] = []

        def says_full() -> bool:
            """One look: what is stored meanwhile leaves the disk, and then there is room for a moment."""
            seen.append(small.ready())
            code, spool = seen[-1]
            return (code, spool["status"]) == wanted and mode in spool["detail"]

        assert wait_until(says_full, PATIENCE), seen[-5:]
        small.free()
        caller.more(200)
        caller.end()
        assert wait_until(lambda: small.ready()[1]["status"] == "OK", PATIENCE)
        calls = sum(caller.answers.values())
        heard = len(house.providers.heard)
        rows, missing, passed = rows_of(tenant, before + calls)
        assert caller.answers[200] == heard
        assert missing > 0
        assert passed == (0 if mode == "durable" else missing)
        assert sum(row["status"] == "ALLOW" for row in rows) + passed == heard + before
        assert all(row["completion"]["outcome"] == "ok" for row in rows if row["status"] == "ALLOW")  # fmt: skip
        if mode == "durable":
            assert caller.retry_after <= {"5", None}
        log = house.log
        assert log.count("the spool cannot be written") == log.count("the spool has room again") >= 1  # fmt: skip


def tenant_rows(tenant: Tenant) -> list[dict[str, Any]]:
    """What is recorded of a tenant that has not called."""
    rows: list[dict[str, Any]] = tenant.house.stack.control.get(
        f"/v1/audit?tenant={tenant.id}&limit=1000"
    )["audit"]
    return rows


def test_what_was_under_way_is_recorded_and_a_key_that_ends_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with small_house("durable") as small:
        house, tenant, gone = small.house, small.house.tenant(), small.house.tenant()
        caller, over = Caller(tenant), threading.Event()

        async def wait(token: int) -> None:
            while not over.is_set():
                await asyncio.sleep(0.02)

        monkeypatch.setattr(house.providers, "wait", wait)
        streams = [streaming(tenant) for _ in range(STREAMS)]
        small.fill()
        caller.start()
        caller.more(503)
        house.stack.control.delete(f"/v1/tenants/{gone.id}")
        assert wait_until(lambda: gone.connect_status() == 407, PATIENCE)
        over.set()
        for connection, answer in streams:
            assert answer.read().endswith(b"data: [DONE]\n\n")
            connection.close()
        caller.more(503)
        caller.end()
        assert small.ready()[0] == "503"
        small.free()
        assert wait_until(lambda: small.ready()[0] == "200", PATIENCE)
        rows, missing, passed = rows_of(tenant, STREAMS + sum(caller.answers.values()))
        assert (sum(row["stream"] for row in rows), passed) == (STREAMS, 0)
        assert missing > 0
        assert "the snapshot cannot be kept on disk" in house.log


def streaming(
    tenant: Tenant,
) -> tuple[http.client.HTTPSConnection, http.client.HTTPResponse]:
    """A call whose answer has begun."""
    connection = connected(tenant)
    call = message("hello there", stream=True)
    connection.request("POST", "/v1/chat/completions", call, JSON)
    answer = connection.getresponse()
    assert answer.status == 200
    return connection, answer
