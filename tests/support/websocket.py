"""A WebSocket through a house's proxy, for tests that are not asynchronous.

The synchronous client of `websockets` reads in a thread while another writes to the same
TLS connection. Under load that loses bytes, with or without a proxy: an opening then waits
for ever. Here one thread does both.
"""

import asyncio
import ssl
import threading
from collections.abc import Coroutine
from typing import Any, Self

from websockets.asyncio.client import ClientConnection, connect

from tests.support.house import PATIENCE, Tenant


class WebSocket:
    """Open while its context is. Raises what `websockets` raises."""

    def __init__(self, tenant: Tenant, url: str):
        self._tenant, self._url = tenant, url
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._connection: ClientConnection | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            self._connection = self._wait(self._open())
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._wait(self._opened.close())
        finally:
            self._stop()

    def send(self, message: str | bytes) -> None:
        """Send one message."""
        self._wait(self._opened.send(message))

    def recv(self, timeout: float = PATIENCE) -> str | bytes:
        """The next message. Raises TimeoutError after so many seconds without one."""
        return self._wait(asyncio.wait_for(self._opened.recv(), timeout))

    def ping(self, payload: bytes) -> float:
        """Send a ping; seconds until it is answered."""

        async def ping() -> float:
            return await asyncio.wait_for(await self._opened.ping(payload), PATIENCE)

        return self._wait(ping())

    @property
    def _opened(self) -> ClientConnection:
        assert self._connection is not None
        return self._connection

    async def _open(self) -> ClientConnection:
        return await connect(
            self._url,
            ssl=ssl.create_default_context(cafile=str(self._tenant.house.bundle)),
            proxy=self._tenant.proxy(),
            max_size=None,
            open_timeout=PATIENCE,
            close_timeout=1,
        )

    def _wait[T](self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(2 * PATIENCE)

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
