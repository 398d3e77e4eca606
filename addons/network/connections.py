"""The connections of clients: how many there are, how old, and what each must send soon. Ends those over a limit; no I/O.

A connection has at most one thing that must arrive soon: its first call, the rest of a head, or
an inner handshake. Between calls it may rest. An old one is ended once no call is on it.
"""

import asyncio
import resource
import time
from collections import Counter
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from weakref import WeakSet

from addons.settings import Limits
from contract.addresses import is_in

# An upload may take this many seconds at any rate. After that it must average this many bytes
# a second: 1 KB/s is a 32 MB body in nine hours, and a modem from 1990.
GRACE = 30.0
SLOWEST = 1024
# Timeouts are given in whole seconds.
SWEEP_SECONDS = 1.0
# File descriptors for everything but connections. Each connection may need two: its own and
# one upstream.
SPARE_FILES = 128


@dataclass(slots=True)
class ClientConnection:
    """One connection. `expected_since`: since when something must arrive; None where nothing must.

    `tunnel`: it is not opened, so nobody knows when it rests. `under_way` counts its calls.
    """

    address: str
    since: float
    expected_since: float | None
    under_way: int = 0
    tunnel: bool = False


@dataclass(eq=False)
class Upload:
    """A request's body that is arriving. `last_byte` is when its last byte did."""

    client: Hashable
    began: float
    last_byte: float
    received: int = 0
    done: bool = False

    def is_slow(self, now: float, arrived: int) -> bool:
        """Count bytes that arrived now; whether the body trickles in."""
        self.received += arrived
        self.last_byte = now
        spent = now - self.began - GRACE
        return spent > 0 and self.received < spent * SLOWEST


@dataclass
class Connections:
    """The connections of one proxy. `end` closes a client's connection.

    `refused` counts by reason: crowded, files, late, old, stalled, stranger.
    """

    limits: Limits
    end: Callable[[Hashable], None]
    refused: Counter[str] = field(default_factory=Counter)
    _connections: dict[Hashable, ClientConnection] = field(default_factory=dict)
    _by_address: Counter[str] = field(default_factory=Counter)
    _uploads: WeakSet[Upload] = field(default_factory=WeakSet)

    def __post_init__(self) -> None:
        self._most = max(64, (_open_files() - SPARE_FILES) // 2)

    def __len__(self) -> int:
        return len(self._connections)

    def open(self, client: Hashable, address: str) -> bool:
        """Count a client that connects; whether it may."""
        if not self._may_come(address):
            self.refused["stranger"] += 1
            return False
        if len(self._connections) >= self._most:
            self.refused["files"] += 1
            return False
        if self._by_address[address] >= self.limits.connections_per_address:
            self.refused["crowded"] += 1
            return False
        now = time.monotonic()
        self._connections[client] = ClientConnection(address, now, now)
        self._by_address[address] += 1
        return True

    def _may_come(self, address: str) -> bool:
        """Whether EARTHFLOW_ALLOWED_CLIENTS has this address, or is empty."""
        return not self.limits.allowed_clients or is_in(
            address, self.limits.allowed_clients
        )

    def close(self, client: Hashable) -> None:
        """The connection is closed."""
        connection = self._connections.pop(client, None)
        if connection is not None:
            self._by_address[connection.address] -= 1
            if not self._by_address[connection.address]:
                del self._by_address[connection.address]

    def expect(self, client: Hashable) -> None:
        """Something must arrive within the handshake timeout."""
        connection = self._connections.get(client)
        if connection is not None and connection.expected_since is None:
            connection.expected_since = time.monotonic()

    def arrived(self, client: Hashable) -> None:
        """What had to arrive has arrived."""
        connection = self._connections.get(client)
        if connection is not None:
            connection.expected_since = None

    def mark_tunnel(self, client: Hashable) -> None:
        """It is an unopened tunnel from now on, and may last."""
        connection = self._connections.get(client)
        if connection is not None:
            connection.expected_since, connection.tunnel = None, True

    def is_old(self, client: Hashable) -> bool:
        """Whether it should be closed after its current call."""
        connection = self._connections.get(client)
        return (
            connection is not None
            and time.monotonic() - connection.since > self.limits.connection_seconds
        )

    def begin_call(self, client: Hashable) -> None:
        """A call began."""
        connection = self._connections.get(client)
        if connection is not None:
            connection.expected_since = None
            connection.under_way += 1

    def end_call(self, client: Hashable) -> None:
        """A call ended."""
        connection = self._connections.get(client)
        if connection is not None:
            connection.under_way -= 1

    def upload(self, client: Hashable) -> Upload:
        """A request's body begins to arrive."""
        now = time.monotonic()
        upload = Upload(client, now, now)
        self._uploads.add(upload)
        return upload

    def sweep(self, now: float) -> None:
        """End connections that are late, old and at rest, or stalled in an upload."""
        for client, connection in list(self._connections.items()):
            late = (
                connection.expected_since is not None
                and now - connection.expected_since > self.limits.handshake_seconds
            )
            age = now - connection.since
            old = age > self.limits.connection_seconds and (
                connection.under_way <= 0 or age > self.limits.connection_seconds * 2
            )
            old = old and not connection.tunnel
            if late or old:
                self.refused["late" if late else "old"] += 1
                self.end(client)
        for upload in [
            one for one in self._uploads if not one.done and now - one.last_byte > GRACE
        ]:
            others = (
                self._connections[upload.client].under_way - 1
                if upload.client in self._connections
                else 0
            )
            # an HTTP/2 connection may carry other calls that are not stalled
            if others <= 0:
                upload.done = True
                self.refused["stalled"] += 1
                self.end(upload.client)

    async def run(self) -> None:
        """Sweep every second, until cancelled."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            self.sweep(time.monotonic())


def _open_files() -> int:
    """Raise the limit of open files as far as the system allows, and give it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 1_048_576 if hard == resource.RLIM_INFINITY else hard
    if soft == resource.RLIM_INFINITY or soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted
