"""A small upstream and a small client, fast enough to stay out of the picture."""

import asyncio
import json
import os
import ssl
from base64 import b64encode
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from itertools import cycle
from pathlib import Path

from bench import http2, websocket
from contract.authority import issue, make_root

HOST = "api.openai.com"
CHAT = "/v1/chat/completions"
PROSE = (
    "The river rises in the hills and runs past three towns before it meets the sea. "
)
CALL = json.dumps(
    {"model": "gpt-5.2", "messages": [{"role": "user", "content": (PROSE * 20)[:900]}]}
).encode()
ANSWER = json.dumps(
    {
        "id": "chatcmpl-1", "object": "chat.completion", "created": 0, "model": "gpt-5.2",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": (PROSE * 20)[:700]}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 200, "completion_tokens": 150, "total_tokens": 350},
    }
).encode()  # fmt: skip
HEAD = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(ANSWER)}\r\n"


def response() -> bytes:
    """The answer to a call. As a provider's, each head has lines that no other has."""
    told = f"x-request-id: req_{os.urandom(12).hex()}\r\nopenai-processing-ms: {os.urandom(1)[0]}\r\n\r\n"
    return (HEAD + told).encode() + ANSWER


NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"


def length_in(head: bytes) -> int:
    """The length of the body that a head announces."""
    return next(
        int(line[15:])
        for line in head.split(b"\r\n")
        if line[:15].lower() == b"content-length:"
    )


Streamer = Callable[[asyncio.StreamWriter, int], Awaitable[None]]  # of how many tokens


def request(
    body: bytes, host: str = HOST, encoding: str = "", path: str = CHAT
) -> bytes:
    """A call with this body, as HTTP/1.1 writes it."""
    head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nAuthorization: Bearer sk-bench\r\n"
    head += f"Content-Encoding: {encoding}\r\n" if encoding else ""
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def _answer(
    stream: Streamer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    try:
        if writer.get_extra_info("ssl_object").selected_alpn_protocol() == http2.ALPN:
            await http2.serve(reader, writer, response)
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            if b"websocket" in head:
                await websocket.serve(head, reader, writer)
                return
            if not head.startswith(b"POST "):  # a gateway asks for models
                writer.write(NOT_FOUND)
                continue
            call = json.loads(await reader.readexactly(length_in(head)))
            if call.get("stream"):
                tokens = call.get("max_tokens") or call["max_completion_tokens"]
                await stream(writer, tokens)
            else:
                writer.write(response())
    except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
        writer.close()


async def upstream(folder: Path, stream: Streamer) -> tuple[asyncio.Server, Path]:
    """A TLS server that answers every call with about 1 KB, or as `stream` does; and the CA to trust for it."""
    authority = make_root("Bench upstream", days=2)
    # Gateways know the provider by its address.
    chain, key = issue(authority, [HOST, "127.0.0.1"], days=2)
    pair, roots = folder / "upstream.pem", folder / "upstream-ca.pem"
    pair.write_bytes(key + chain)
    roots.write_bytes(authority.pem)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair)
    context.set_alpn_protocols([http2.ALPN, "http/1.1"])
    return await asyncio.start_server(
        partial(_answer, stream), "127.0.0.1", 0, ssl=context
    ), roots


def settings_for(server: asyncio.Server, roots: Path) -> dict[str, str]:
    """The variables by which Earthflow takes such an upstream for a provider, and holds nobody back."""
    port = server.sockets[0].getsockname()[1]
    return {
        "EARTHFLOW_UPSTREAM_MAP": f"{HOST}=127.0.0.1:{port}",
        "EARTHFLOW_UPSTREAM_CA": str(roots),
        "RATE_LIMIT_DEFAULT_RPM": "1000000",
    }


class Client:
    """Keep-alive connections through a proxy, each a CONNECT and a TLS session opened once; or, not `proxied`, straight to an upstream."""

    def __init__(
        self,
        port: int,
        keys: str | Sequence[str],
        trust: Path,
        *,
        proxied: bool = True,
        host: str = HOST,
        alpn: str = "http/1.1",
        to_port: int = 443,
    ):
        """Connections take `keys` in turn. `to_port` is the one that the proxy is told to connect to."""
        self._port, self._proxied, self._host = port, proxied, host
        self._keys = cycle([keys] if isinstance(keys, str) else keys)
        self._to_port = to_port
        self._context = ssl.create_default_context(cafile=str(trust))
        # Bare mitmproxy shows a leaf alone: what is trusted then is its issuer.
        self._context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        self._context.set_alpn_protocols([alpn])
        self.streams: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def connect(self, connections: int) -> None:
        """Open them."""
        for _ in range(connections):
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            if self._proxied:
                await self._tunnel(reader, writer)
            await writer.start_tls(self._context, server_hostname=self._host)
            self.streams.append((reader, writer))

    async def _tunnel(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        auth = b64encode(f"key:{next(self._keys)}".encode()).decode()
        writer.write(
            f"CONNECT {self._host}:{self._to_port} HTTP/1.1\r\nHost: {self._host}:{self._to_port}\r\nProxy-Authorization: Basic {auth}\r\n\r\n".encode()
        )
        head = await reader.readuntil(b"\r\n\r\n")
        if b" 200 " not in head:
            raise ConnectionError(head.decode())

    def written(self, request: bytes) -> bytes:
        """A request as it is sent on these connections."""
        if self._to_port == 443:
            return request
        host = f"Host: {self._host}".encode()
        return request.replace(host, b"%s:%d" % (host, self._to_port), 1)

    async def send(self, requests: Sequence[bytes]) -> None:
        """These calls, spread over the connections."""
        count = len(self.streams)
        await asyncio.gather(
            *(
                self._calls(*stream, requests[number::count])
                for number, stream in enumerate(self.streams)
            )
        )

    async def _calls(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        requests: Sequence[bytes],
    ) -> None:
        for request in requests:
            writer.write(self.written(request))
            head = await reader.readuntil(b"\r\n\r\n")
            if b" 200 " not in head.split(b"\r\n", 1)[0]:
                raise ConnectionError(head.decode())
            await reader.readexactly(length_in(head))

    def close(self) -> None:
        """Close them."""
        for _, writer in self.streams:
            writer.close()
        self.streams.clear()


class GatewayClient(Client):
    """Keep-alive connections to a gateway, which is the provider to its callers: no tunnel, no TLS, and `heads` in each call."""

    def __init__(self, port: int, heads: str):
        self._port, self._heads = port, heads.encode()
        self.streams = []

    async def connect(self, connections: int) -> None:
        """Open them."""
        for _ in range(connections):
            self.streams.append(await asyncio.open_connection("127.0.0.1", self._port))

    def written(self, request: bytes) -> bytes:
        """A request with the lines that the gateway wants."""
        line, rest = request.split(b"\r\n", 1)
        return line + b"\r\n" + self._heads + rest


def spread(values: Sequence[float]) -> str:
    """min / median / max."""
    ordered = sorted(values)
    return f"{ordered[0]:.3f} / {ordered[len(ordered) // 2]:.3f} / {ordered[-1]:.3f}"
