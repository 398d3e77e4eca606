"""The loopback relay of `earthflow run`: takes a program's calls on 127.0.0.1 and
passes them to the proxy with the key, by TLS if needed.

So the key is in no environment, and clients that cannot use an https:// proxy, or a
password in a proxy's URL, work, too. `python -m cli.relay` reads a `Way` from standard
input, prints its port, detaches from its parent, and ends when the program that it
serves has ended.
"""

import asyncio
import base64
import contextlib
import os
import re
import socket
import ssl
import sys
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from cli.processes import alive

MAX_HEAD = 64 * 1024
HEAD_SECONDS, CONNECT_SECONDS, LOOK_SECONDS = 30.0, 10.0, 0.5
OURS = re.compile(rb"(?im)^(?:proxy-authorization|proxy-connection):[^\r\n]*\r\n")
CONNECTION = re.compile(rb"(?im)^connection:[^\r\n]*\r\n")


class Way(msgspec.Struct, frozen=True):
    """The way to the proxy: its address, the key, and how its certificate is checked,
    where it uses TLS.

    The relay serves `program`; it and its children hold the pipe `held` open. 0: the
    relay runs inside its caller.
    """

    host: str
    port: int
    key: str
    tls: bool = False
    roots: str | None = None
    certificate: str | None = None
    certificate_key: str | None = None
    program: int = 0
    held: int = 0

    @property
    def context(self) -> ssl.SSLContext | None:
        """The TLS context for the proxy.

        Raises OSError (ssl.SSLError is one) where a file cannot be used.
        """
        if not self.tls:
            return None
        context = ssl.create_default_context(cafile=self.roots)
        if self.certificate:
            context.load_cert_chain(self.certificate, self.certificate_key)
        return context


@dataclass
class Relay:
    """Use `start`, then let the loop run. `seen` gets the host of each CONNECT."""

    way: Way
    seen: Callable[[str], None] = lambda host: None

    async def start(self) -> int:
        """Listen on a free port of 127.0.0.1."""
        self._context = self.way.context
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", 0, limit=MAX_HEAD
        )
        return int(self._server.sockets[0].getsockname()[1])

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if not _is_ours(*writer.get_extra_info("peername")):
            writer.close()
            return
        try:
            await self._pass(reader, writer)
        except (
            OSError,
            TimeoutError,
            asyncio.IncompleteReadError,
            asyncio.LimitOverrunError,
        ):
            pass  # one side left or never arrived; the other one sees the end
        finally:
            writer.close()

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), HEAD_SECONDS)
        first, rest = head.split(b"\r\n", 1)
        method, _, target = first.partition(b" ")
        if method == b"CONNECT":
            self.seen(target.rpartition(b":")[0].decode("latin-1"))
        try:
            opening = asyncio.open_connection(
                self.way.host, self.way.port, ssl=self._context
            )
            up_reader, up_writer = await asyncio.wait_for(opening, CONNECT_SECONDS)
        except (OSError, TimeoutError) as error:
            why = f"Earthflow's proxy at {self.way.host}:{self.way.port} does not answer ({type(error).__name__})."
            writer.write(
                f"HTTP/1.1 502 Bad Gateway\r\nContent-Length: {len(why)}\r\nConnection: close\r\n\r\n{why}".encode()
            )
            await writer.drain()
            return
        with contextlib.closing(up_writer):
            up_writer.write(
                first + b"\r\n" + self._with_key(rest, plain=method != b"CONNECT")
            )
            await asyncio.gather(_pump(reader, up_writer), _pump(up_reader, writer))

    def _with_key(self, rest: bytes, *, plain: bool) -> bytes:
        """The other lines of a head, with our key in place of any other.

        A call without a tunnel is the last one of its connection.
        """
        rest = OURS.sub(b"", rest)
        key = base64.b64encode(f"key:{self.way.key}".encode())
        ours = b"Proxy-Authorization: Basic " + key + b"\r\n"
        return ours + (
            b"Connection: close\r\n" + CONNECTION.sub(b"", rest) if plain else rest
        )


def _is_ours(host: str, port: int) -> bool:
    """Whether a program of our own user, or of root, is at the other end; True where
    the system cannot tell.
    """
    if sys.platform != "linux":
        return True
    wanted = f"{int.from_bytes(socket.inet_aton(host), sys.byteorder):08X}:{port:04X}"
    try:
        with open("/proc/net/tcp") as table:
            owners = [
                int(fields[7])
                for fields in map(str.split, table)
                if fields[1] == wanted
            ]
    except OSError:
        return True
    return bool(owners) and set(owners) <= {0, os.getuid()}


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()
    else:  # TLS has no half-close
        writer.close()


async def _until_over(way: Way) -> None:
    """Wait until the program has ended, and no process that it started holds the pipe."""
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(way.held, over.set)
    await over.wait()
    loop.remove_reader(way.held)
    while alive(way.program):  # noqa: ASYNC110  (nothing tells of another process's end everywhere)
        await asyncio.sleep(LOOK_SECONDS)


async def _serve_program(way: Way) -> None:
    port = await Relay(way).start()
    print(port, flush=True)
    _go_silent()
    await _until_over(way)


def _go_silent() -> None:
    """Close standard input, output and error: whoever reads them to their end must not
    wait for us.
    """
    with open(os.devnull, "r+b") as nowhere:
        for descriptor in (0, 1, 2):
            os.dup2(nowhere.fileno(), descriptor)


def main() -> None:
    """`python -m cli.relay`."""
    way = msgspec.json.decode(sys.stdin.buffer.read(), type=Way)
    if os.fork():  # detach: the program would find a child that it never started
        os._exit(0)
    asyncio.run(_serve_program(way))


if __name__ == "__main__":
    main()
