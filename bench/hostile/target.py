"""The proxy under attack, as somebody with a key of it sees it."""

import asyncio
import time
from base64 import b64encode
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from bench.load import CHAT, Client, request

HOST = "us.api.openai.com"  # whose provider answers attackers alone

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass
class Target:
    """Where the proxy is, and a key of it."""

    port: int
    key: str
    trust: Path

    async def post(
        self, body: bytes, encoding: str = "", path: str = CHAT
    ) -> tuple[int, float]:
        """One call on a connection of its own: status, seconds from its last byte to the answer."""
        client = Client(self.port, self.key, self.trust, host=HOST)
        await client.connect(1)
        reader, writer = client.streams[0]
        writer.write(request(body, HOST, encoding, path))
        await writer.drain()
        began = time.perf_counter()
        status = int((await reader.readline()).split()[1])
        client.close()
        return status, time.perf_counter() - began

    async def read(self, body: bytes) -> int:
        """How many bytes the answer to a call has, head included, read to its end."""
        client = Client(self.port, self.key, self.trust, host=HOST)
        await client.connect(1)
        reader, writer = client.streams[0]
        writer.write(request(body, HOST))
        read, last = 0, b""
        while not last.endswith(b"0\r\n\r\n") and (more := await reader.read(65536)):
            read, last = read + len(more), last[-5:] + more
        client.close()
        return read

    async def tunnel(self, host: str) -> int:
        """What a CONNECT is answered."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        auth = b64encode(f"key:{self.key}".encode()).decode()
        head = f"CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\nProxy-Authorization: Basic {auth}\r\n\r\n"
        writer.write(head.encode())
        status = (await reader.readline()).split()
        writer.close()
        return int(status[1]) if status else 0

    async def http2(self) -> Stream:
        """A connection to HOST that speaks HTTP/2."""
        client = Client(self.port, self.key, self.trust, host=HOST, alpn="h2")
        await client.connect(1)
        return client.streams[0]


@dataclass
class Attack:
    """What is done, and what must come of it; `run` says what came, and whether that is right."""

    name: str
    run: Callable[[Target], Awaitable[tuple[str, bool]]]
