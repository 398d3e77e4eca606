"""Control's port. With TLS_CERT_PATH it speaks HTTPS to whoever begins with TLS, and HTTP to others on the same port: proxies and
probes keep their addresses, and only the dashboard insists (control/sessions.py).

    first byte 0x16 (a TLS handshake, RFC 8446 5.1)  ->  HTTPS
    any other                                        ->  HTTP
"""

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

from aiohttp import web

HANDSHAKE = 0x16
PATIENCE = 10.0  # seconds for the first byte, and for the handshake
MOST_GREETED = (
    500  # connections that have not said a byte; for one more the oldest is closed
)
BACKLOG = 128

logger = logging.getLogger("earthflow.tls")


class BadCertificate(Exception):
    """The certificate cannot be used; the sentence says why."""


class Certificate:
    """The certificate of control's port, as its files have it: renewed ones are taken up while it serves. For new connections only."""

    def __init__(self, chain: Path, key: Path):
        """Raises BadCertificate."""
        self._chain, self._key = chain, key
        self._seen = self._looked()
        self._context = self._read()

    def context(self) -> ssl.SSLContext:
        """What a new connection is opened with."""
        seen = self._looked()
        if seen != self._seen:
            self._seen = seen
            try:
                self._context = self._read()
            except BadCertificate as error:
                logger.error("%s; the one before is still shown", error)
        return self._context

    def _read(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(self._chain, self._key)
        except (OSError, ssl.SSLError) as error:
            why = error.strerror or type(error).__name__
            raise BadCertificate(
                f"TLS_CERT_PATH ({self._chain}) and TLS_KEY_PATH cannot be used: {why}"
            ) from None
        return context

    def _looked(self) -> tuple[tuple[int, int] | None, ...]:
        return tuple(_signature(file) for file in (self._chain, self._key))


def _signature(file: Path) -> tuple[int, int] | None:
    try:
        there = file.stat()
    except OSError:
        return None
    return there.st_mtime_ns, there.st_ino


class EitherSite(web.BaseSite):
    """A port for HTTPS and HTTP."""

    def __init__(
        self, runner: web.AppRunner, host: str, port: int, certificate: Certificate
    ):
        super().__init__(runner)
        self._host, self._port, self._certificate = host, port, certificate
        self._accepting: asyncio.Task[None] | None = None
        self._greeted: dict[asyncio.Task[None], None] = {}  # the oldest first
        self._socket: socket.socket | None = None
        assert runner.server is not None
        self._protocol: Callable[[], asyncio.BaseProtocol] = runner.server

    @property
    def name(self) -> str:
        """Its address."""
        return f"https://{self._host}:{self.port}"

    @property
    def port(self) -> int:
        """The port that it has."""
        port: int = self._socket.getsockname()[1] if self._socket else self._port
        return port

    async def start(self) -> None:
        """Listen. Raises OSError."""
        await super().start()
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        self._socket = socket.create_server((self._host, self._port), family=family, backlog=BACKLOG)  # fmt: skip
        self._socket.setblocking(False)
        self._accepting = asyncio.create_task(self._accept(self._socket))

    async def stop(self) -> None:
        """Take no new connections."""
        await super().stop()
        if self._accepting is not None:
            self._accepting.cancel()
        for one in [*self._greeted]:
            one.cancel()
        if self._socket is not None:
            self._socket.close()

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(listening)
            except OSError as error:  # such as no more files
                logger.error("a connection was not taken (%s)", error.strerror)
                await asyncio.sleep(1)
                continue
            if len(self._greeted) >= MOST_GREETED:
                oldest = next(iter(self._greeted))
                del self._greeted[oldest]
                oldest.cancel()
            task = asyncio.create_task(self._greet(connection))
            self._greeted[task] = None
            task.add_done_callback(lambda one: self._greeted.pop(one, None))

    async def _greet(self, connection: socket.socket) -> None:
        """Hand a connection on, once it has said what it speaks."""
        connection.setblocking(False)
        context = None
        try:
            async with asyncio.timeout(PATIENCE):
                if await _first_byte(connection) == HANDSHAKE:
                    context = self._certificate.context()
            await asyncio.get_running_loop().connect_accepted_socket(
                self._protocol,
                connection,
                ssl=context,
                ssl_handshake_timeout=PATIENCE if context is not None else None,
            )
        except (OSError, TimeoutError, EOFError):
            connection.close()
        except BaseException:
            connection.close()
            raise


async def _first_byte(connection: socket.socket) -> int:
    """The first byte of a connection, which stays in it. Raises EOFError, OSError."""
    loop, readable = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(connection.fileno(), readable.set)
    try:
        await readable.wait()
    finally:
        with contextlib.suppress(OSError, ValueError):
            loop.remove_reader(connection.fileno())
    first = connection.recv(1, socket.MSG_PEEK)
    if not first:
        raise EOFError
    return first[0]
