"""What is seen from outside while an attack goes on: memory, how late the event loop is, what stays open, how long an innocent caller waits."""

import asyncio
import re
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.request import urlopen

EVERY = 0.02  # seconds between two looks at the memory
OPEN = ("earthflow_connections", "earthflow_requests_in_flight")
STALL = re.compile(
    r'^earthflow_loop_stall_seconds_bucket\{le="([^"]+)"\} (\S+)$', re.MULTILINE
)


class Innocent:
    """The caller who means well, in a process of its own; use as a context manager."""

    def __init__(self, folder: Path):
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.hostile.innocent", str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.provider = int(self._process.stdout.readline())
        self.calls: list[tuple[float, float]] = []  # when it ended, ms

    def call(self, port: int, key: str, trust: Path) -> None:
        """Begin to call through this proxy."""
        assert self._process.stdin is not None
        print(port, key, trust, file=self._process.stdin, flush=True)
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            when, took = map(float, line.split())
            self.calls.append((when, took))

    def __enter__(self) -> "Innocent":
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)


@dataclass
class Seen:
    """What was seen in one period."""

    growth: float = 0.0  # of memory, MB
    stall: str = "0"  # seconds: no stall of the event loop was longer
    left: dict[str, float] = field(default_factory=dict)  # more than before, after 20 s
    waits: list[float] = field(default_factory=list)  # of the innocent caller, ms

    @property
    def longest(self) -> float:
        """Of the waits. Without one, nobody was served: endless."""
        return max(self.waits, default=float("inf"))


@dataclass
class Watch:
    """One proxy's process."""

    pid: int
    metrics: str  # where they are
    innocent: Innocent

    @property
    def memory(self) -> float:
        """Resident, MB."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        kilobytes = next(line.split()[1] for line in lines if line.startswith("VmRSS"))
        return int(kilobytes) / 1024

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Seen]:
        """Look until the end of the block, and then until what was opened in it is closed."""
        seen, memory, began = Seen(), self.memory, time.monotonic()
        before, open_before = await self._stalls(), await self._open()
        looking = asyncio.create_task(self._look(seen, memory))
        yield seen
        ended = time.monotonic()
        for _ in range(40):
            now = await self._open()
            seen.left = {
                name: count - open_before[name]
                for name, count in now.items()
                if count > open_before[name]
            }
            if not seen.left:
                break
            await asyncio.sleep(0.5)
        looking.cancel()
        seen.stall = _longest(before, await self._stalls())
        seen.waits = [
            took for when, took in self.innocent.calls if began <= when <= ended + 1
        ]

    async def _look(self, seen: Seen, before: float) -> None:
        while True:
            seen.growth = max(seen.growth, self.memory - before)
            await asyncio.sleep(EVERY)

    async def _text(self) -> str:
        def read() -> str:
            with urlopen(self.metrics, timeout=60) as answer:
                return str(answer.read().decode())

        return await asyncio.to_thread(read)

    async def _stalls(self) -> dict[str, float]:
        return {
            bound: float(count) for bound, count in STALL.findall(await self._text())
        }

    async def _open(self) -> dict[str, float]:
        text = await self._text()
        return {
            name: float(re.findall(rf"^{name} (\S+)$", text, re.MULTILINE)[0])
            for name in OPEN
        }


def _longest(before: dict[str, float], after: dict[str, float]) -> str:
    """The bound under which all stalls between two looks are; bounds are counted with those below them."""
    new = {bound: after[bound] - before.get(bound, 0) for bound in after}
    return next(bound for bound, count in new.items() if count == new["+Inf"])
