"""Proxies that are measured side by side: what each call costs each of them, in turns over one upstream.

A machine is never quiet, so no time stands alone: each round measures every contestant one
after the other on the same work, and a ratio is that of one round.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from bench import http2, streams, texts, websocket
from bench.load import CALL, CHAT, HOST, Client, GatewayClient, request
from bench.process import cpu_nanoseconds

CONNECTIONS = 8
START_SECONDS = 60.0
WORK_SECONDS = 40.0  # one turn of one row; who takes longer is left out of it
DIRECT = 0  # no proxy's process
TUNNEL, HTTP2 = "tunnel", "http2"  # what a row may need


@dataclass(frozen=True, slots=True)
class Contestant:
    """A proxy: its process, the keys of its callers, and the roots that they trust.

    With `heads` it is a gateway, which wants these lines in each call. `to_port` is where
    it is told that the provider is. `lacks` are needs of rows that it does not meet.
    """

    name: str
    pid: int
    port: int
    keys: tuple[str, ...]
    trust: Path
    heads: str = ""
    to_port: int = 443
    lacks: tuple[str, ...] = ()

    def client(self, alpn: str = "http/1.1") -> Client:
        """A client of it, without a connection yet."""
        if self.heads:
            return GatewayClient(self.port, self.heads)
        proxied = self.pid != DIRECT
        return Client(self.port, self.keys, self.trust, proxied=proxied, alpn=alpn, to_port=self.to_port)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of work. `prepare` makes the requests of a round, the same for everybody.

    What is `seen` by a client is measured without a proxy, too.
    """

    name: str
    prepare: Callable[[Random], Sequence[bytes]]
    work: Callable[[Contestant, Client, Sequence[bytes]], Awaitable[float]]
    needs: str = ""
    seen: bool = False

    def is_for(self, who: Contestant) -> bool:
        """Whether it can be measured of a contestant."""
        return self.needs not in who.lacks and (self.seen or who.pid != DIRECT)


async def calls(who: Contestant, client: Client, requests: Sequence[bytes]) -> float:
    """CPU milliseconds for each call on connections that stay open."""
    before = cpu_nanoseconds(who.pid)
    await client.send(requests)
    return (cpu_nanoseconds(who.pid) - before) / 1e6 / len(requests)


async def next_turns(
    who: Contestant, client: Client, requests: Sequence[bytes]
) -> float:
    """The same, for calls that continue the conversation of the first one."""
    count = len(client.streams)
    await client.send([requests[0]] * count)
    return await calls(who, client, requests[1:])


def _chunks(tokens: int) -> Callable[[Contestant, Client, Sequence[bytes]], Awaitable[float]]:  # fmt: skip
    """CPU milliseconds for each chunk of streams of this many tokens."""

    async def chunks(who: Contestant, client: Client, _: Sequence[bytes]) -> float:
        before = cpu_nanoseconds(who.pid)
        await streams.read_all(client, tokens)
        spent = cpu_nanoseconds(who.pid) - before
        return spent / 1e6 / (len(client.streams) * tokens)

    return chunks


async def http2_calls(
    who: Contestant, client: Client, requests: Sequence[bytes]
) -> float:
    """CPU milliseconds for each call on connections of HTTP/2 that stay open."""
    own, count = who.client(http2.ALPN), len(client.streams)
    await own.connect(count)
    bodies = [one.split(b"\r\n\r\n", 1)[1] for one in requests]
    before = cpu_nanoseconds(who.pid)
    await asyncio.gather(
        *(
            http2.calls(*stream, HOST, CHAT, bodies[number::count])
            for number, stream in enumerate(own.streams)
        )
    )
    spent = cpu_nanoseconds(who.pid) - before
    own.close()
    return spent / 1e6 / len(requests)


async def messages(who: Contestant, client: Client, texts: Sequence[bytes]) -> float:
    """CPU milliseconds for each message of a WebSocket, and the answer to it."""
    sockets = who.client()
    await sockets.connect(len(client.streams))
    for reader, writer in sockets.streams:
        writer.write(sockets.written(websocket.OPEN))
        head = await reader.readuntil(b"\r\n\r\n")
        if b" 101 " not in head:
            raise ConnectionError(head.decode())
    before = cpu_nanoseconds(who.pid)
    await asyncio.gather(*(websocket.talk(*one, list(texts)) for one in sockets.streams))  # fmt: skip
    spent = cpu_nanoseconds(who.pid) - before
    sockets.close()
    return spent / 1e6 / (len(texts) * len(client.streams))


async def connections(
    who: Contestant, client: Client, requests: Sequence[bytes]
) -> float:
    """CPU milliseconds for a connection of its own, and a call on it."""
    before = cpu_nanoseconds(who.pid)
    for one in requests:
        fresh = who.client()
        await fresh.connect(1)
        await fresh.send([one])
        fresh.close()
    # What follows a close is part of its price.
    await asyncio.sleep(0.05)
    return (cpu_nanoseconds(who.pid) - before) / 1e6 / len(requests)


async def first_token(
    who: Contestant, client: Client, requests: Sequence[bytes]
) -> float:
    """Milliseconds until the first token of a stream; the median of some."""
    taken = sorted([await streams.first_token(client) for _ in requests])
    return taken[len(taken) // 2] * 1000


def chat(text: str) -> bytes:
    """A call that says this."""
    messages = [{"role": "user", "content": text}]
    return request(json.dumps({"model": "gpt-5.2", "messages": messages}).encode())


def _new(size: int, count: int) -> Callable[[Random], Sequence[bytes]]:
    return lambda rng: [chat(texts.text(rng, size)) for _ in range(count)]


def _same(size: int, count: int) -> Callable[[Random], Sequence[bytes]]:
    def prepare(rng: Random) -> Sequence[bytes]:
        return [chat(texts.text(Random(size), size))] * count

    return prepare


def conversation(said: Sequence[str]) -> bytes:
    """A chat call in which this was said in turns, the last by the user."""
    roles = ("user", "assistant")
    messages = [
        {"role": roles[(len(said) - number - 1) % 2], "content": one}
        for number, one in enumerate(said)
    ]
    return json.dumps({"model": "gpt-5.2", "messages": messages}).encode()


def _turns(turns: int, count: int) -> Callable[[Random], Sequence[bytes]]:
    """Calls that say all that one conversation has said, and something new."""

    def prepare(rng: Random) -> Sequence[bytes]:
        said = [f"{texts.text(rng, 500)}." for _ in range(turns)]
        ends = (f"{texts.text(rng, 500)}." for _ in range(count + 1))
        return [request(conversation([*said, end])) for end in ends]

    return prepare


def _messages(rng: Random) -> Sequence[bytes]:
    return [websocket.message(f"{texts.text(rng, 300)}.") for _ in range(50)]


ROWS = (
    Row("1 KB, the same text", lambda rng: [request(CALL)] * 300, calls),
    Row("1 KB, new texts", _new(900, 300), calls),
    Row("1 KB over HTTP/2, new texts", _new(900, 300), http2_calls, needs=HTTP2),
    Row("16 KB, new texts", _new(16_000, 100), calls),
    Row("256 KB, new texts", _new(256_000, 10), calls),
    Row("2 MB, new texts", _new(2_000_000, 2), calls),
    Row("256 KB, the same text", _same(256_000, 20), calls),
    *(Row(f"next turn of {turns}", _turns(turns, 60), next_turns) for turns in (10, 100, 200, 500)),
    Row("chunk of a stream", lambda rng: [b""], _chunks(streams.LONG)),
    Row("chunk of a long stream", lambda rng: [b""], _chunks(streams.VERY_LONG)),
    Row("message of a WebSocket", _messages, messages, needs=TUNNEL),
    Row("new connection, a call", lambda rng: [request(CALL)] * 40, connections),
    Row("first token, ms", lambda rng: [b""] * 40, first_token, seen=True),
)  # fmt: skip


async def _connect(client: Client) -> None:
    """Open the connections, once the proxy knows the key, and has compiled its tenant's rules."""
    until = time.monotonic() + START_SECONDS
    while True:
        try:
            await client.connect(CONNECTIONS)
            return
        except ConnectionError:
            if time.monotonic() > until:
                raise
            await asyncio.sleep(0.2)


async def contest(
    contestants: Sequence[Contestant],
    rows: Sequence[Row],
    rounds: int,
    say: Callable[[str], None],
) -> Mapping[str, Mapping[str, list[float]]]:
    """What each took, by row and name, one value a round."""
    clients = {one.name: one.client() for one in contestants}
    for client in clients.values():
        await _connect(client)
    taken: dict[str, dict[str, list[float]]] = {}
    for row in rows:
        rng, began = Random(row.name), time.monotonic()
        able = [one for one in contestants if row.is_for(one)]
        of_row = taken[row.name] = {one.name: [] for one in able}
        # The first round is to warm up.
        for number in range(rounds + 1):
            requests = row.prepare(rng)
            for one in able:
                client = clients[one.name]
                if one.heads:  # gateways close connections that rest
                    client.close()
                    await client.connect(CONNECTIONS)
                try:
                    async with asyncio.timeout(WORK_SECONDS):
                        spent = await row.work(one, client, requests)
                except (OSError, asyncio.IncompleteReadError) as error:
                    say(f"{row.name}: {one.name} fails: {type(error).__name__}")
                    able = [other for other in able if other is not one]
                    del of_row[one.name]
                    client.close()
                    await client.connect(CONNECTIONS)
                    continue
                if number:
                    of_row[one.name].append(spent)
        say(f"{row.name}: {rounds} rounds, {time.monotonic() - began:.0f} s")
    for client in clients.values():
        client.close()
    return taken
