"""Who is connected, since when, and what is waited for. Ends what takes too long; refuses what is too much. No I/O of its own.

Every connection has at most one thing that must come soon: its first call, the rest of a head, an inner handshake. Between calls it
may rest; when it is old it is ended, as soon as nothing is under way on it.
"""

import asyncio
import resource
import time
from collections import Counter
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from weakref import WeakSet

from addons.settings import Limits

GRACE = 30.0  # seconds in which a body may come as slowly as it likes; then
SLOWEST = 1024  # bytes a second, on the average
EVERY = 1.0  # seconds between looks
SPARE_FILES = (
    128  # descriptors for everything but connections; each of those may need two, its own and one upstream
)


@dataclass(slots=True)
class Line:
    """One client's connection."""

    address: str
    since: float
    expected_since: float | None  # when what must come soon began to be waited for
    under_way: int = 0
    tunnel: bool = False  # it is not opened, so nobody knows when it rests


@dataclass(eq=False)
class Upload:
    """A body on its way in; `rested` is when a byte of it came last."""

    client: Hashable
    began: float
    rested: float
    received: int = 0
    done: bool = False

    def is_slow(self, now: float, came: int) -> bool:
        """Whether it trickles in; so many bytes came just now."""
        self.received += came
        self.rested = now
        spent = now - self.began - GRACE
        return spent > 0 and self.received < spent * SLOWEST


@dataclass
class Connections:
    """All of them. `end` closes a client's connection."""

    limits: Limits
    end: Callable[[Hashable], None]
    refused: Counter[str] = field(default_factory=Counter)  # by reason: crowded, files, late, old, stalled
    _lines: dict[Hashable, Line] = field(default_factory=dict)
    _by_address: Counter[str] = field(default_factory=Counter)
    _uploads: WeakSet[Upload] = field(default_factory=WeakSet)

    def __post_init__(self) -> None:
        self._most = max(64, (_open_files() - SPARE_FILES) // 2)

    def __len__(self) -> int:
        return len(self._lines)

    def open(self, client: Hashable, address: str) -> bool:
        """A client connects; whether it may."""
        if len(self._lines) >= self._most:
            self.refused["files"] += 1
            return False
        if self._by_address[address] >= self.limits.connections_per_address:
            self.refused["crowded"] += 1
            return False
        now = time.monotonic()
        self._lines[client] = Line(address, now, now)
        self._by_address[address] += 1
        return True

    def close(self, client: Hashable) -> None:
        """It is gone."""
        line = self._lines.pop(client, None)
        if line is not None:
            self._by_address[line.address] -= 1
            if not self._by_address[line.address]:
                del self._by_address[line.address]

    def expect(self, client: Hashable) -> None:
        """Something must come soon."""
        line = self._lines.get(client)
        if line is not None and line.expected_since is None:
            line.expected_since = time.monotonic()

    def came(self, client: Hashable) -> None:
        """What was waited for has come."""
        line = self._lines.get(client)
        if line is not None:
            line.expected_since = None

    def tunnels(self, client: Hashable) -> None:
        """It is a tunnel from now on, and may last."""
        line = self._lines.get(client)
        if line is not None:
            line.expected_since, line.tunnel = None, True

    def is_old(self, client: Hashable) -> bool:
        """Whether it should end with the call that is under way."""
        line = self._lines.get(client)
        return line is not None and time.monotonic() - line.since > self.limits.connection_seconds

    def begin(self, client: Hashable) -> None:
        """A call is under way."""
        line = self._lines.get(client)
        if line is not None:
            line.expected_since = None
            line.under_way += 1

    def over(self, client: Hashable) -> None:
        """A call is over."""
        line = self._lines.get(client)
        if line is not None:
            line.under_way -= 1

    def upload(self, client: Hashable) -> Upload:
        """A body begins to come."""
        now = time.monotonic()
        upload = Upload(client, now, now)
        self._uploads.add(upload)
        return upload

    def look(self, now: float) -> None:
        """End what has been waited for too long, and what is old and at rest."""
        for client, line in list(self._lines.items()):
            late = (
                line.expected_since is not None and now - line.expected_since > self.limits.handshake_seconds
            )
            age = now - line.since
            old = age > self.limits.connection_seconds and (
                line.under_way <= 0 or age > self.limits.connection_seconds * 2
            )
            old = old and not line.tunnel
            if late or old:
                self.refused["late" if late else "old"] += 1
                self.end(client)
        for upload in [one for one in self._uploads if not one.done and now - one.rested > GRACE]:
            others = self._lines[upload.client].under_way - 1 if upload.client in self._lines else 0
            if others <= 0:  # else it is one of several over HTTP/2, and those go on
                upload.done = True
                self.refused["stalled"] += 1
                self.end(upload.client)

    async def run(self) -> None:
        """Look, for ever."""
        while True:
            await asyncio.sleep(EVERY)
            self.look(time.monotonic())


def _open_files() -> int:
    """How many files this process may have open: as many as it may allow itself."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 1_048_576 if hard == resource.RLIM_INFINITY else hard
    if soft == resource.RLIM_INFINITY or soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted
