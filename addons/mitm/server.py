"""The listening port of `earthflow proxy`, and its end."""

import asyncio
import errno
import logging
import time
from typing import Any

from mitmproxy.addons import proxyserver
from mitmproxy.proxy import mode_specs
from mitmproxy.proxy.mode_servers import ServerInstance

from addons.record.recorder import Recorder

DRAIN_SECONDS = 30.0  # for exchanges in progress at the end; Kubernetes allows 30, too
# Connections that the kernel accepts for us while the event loop is busy; a restart of a
# fleet of clients arrives at once. The kernel lowers it to net.core.somaxconn.
BACKLOG = 4096


class Proxyserver(proxyserver.Proxyserver):
    """mitmproxy's server addon on our address; a port that cannot be opened is a `problem`."""

    name = "proxyserver"

    def __init__(self, host: str, port: int):
        super().__init__()  # type: ignore[no-untyped-call]
        self._host, self._port = host, port
        self.ready = asyncio.Event()
        self.problem = "is not open"

    async def setup_servers(self) -> bool:
        mode = mode_specs.ProxyMode.parse("regular")
        instance: Any = ServerInstance.make(mode, self)
        host = self._host or None
        try:
            server = await asyncio.start_server(
                instance.handle_stream, host, self._port, backlog=BACKLOG
            )
            instance._servers = [server]
        except OSError as error:
            why = error.strerror or error
            taken = error.errno == errno.EADDRINUSE
            self.problem = (
                "is taken" if taken else f"cannot be had on `{self._host}`: {why}"
            )
        self.servers._instances[mode] = instance
        return True

    def running(self) -> None:
        super().running()  # type: ignore[no-untyped-call]
        self.ready.set()

    async def drain(self, recorder: Recorder) -> None:
        """Accept no more connections, and give exchanges in progress time to end."""
        for instance in self.servers:
            await instance.stop()
        deadline = time.monotonic() + DRAIN_SECONDS
        # Polled: this is rare, and an event would cost every call.
        while recorder.under_way and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


class AddonErrors(logging.Handler):
    """Keeps what mitmproxy only logs: the first addon that failed to be set up."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.failed = ""
        logging.getLogger("mitmproxy").addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self.failed = self.failed or record.getMessage()
