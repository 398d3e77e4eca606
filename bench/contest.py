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

from bench import streams, texts
from bench.load import CALL, Client, request
from bench.process import cpu_nanoseconds

CONNECTIONS = 8
START_SECONDS = 60.0
TURNS = 200  # of a long conversation


@dataclass(frozen=True, slots=True)
class Contestant:
    """A proxy: its process, the key of its caller, and the roots that its callers trust."""

    name: str
    pid: int
    port: int
    key: str
    trust: Path

    def client(self) -> Client:
        """A client of it, without a connection yet."""
        return Client(self.port, self.key, self.trust)


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of work. `prepare` makes the requests of a round, the same for everybody."""

    name: str
    prepare: Callable[[Random], Sequence[bytes]]
    work: Callable[[Contestant, Client, Sequence[bytes]], Awaitable[float]]


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


async def chunks(who: Contestant, client: Client, requests: Sequence[bytes]) -> float:
    """CPU milliseconds for each chunk of streamed answers."""
    before = cpu_nanoseconds(who.pid)
    await streams.read_all(client, 1)
    spent = cpu_nanoseconds(who.pid) - before
    return spent / 1e6 / (len(client.streams) * streams.LONG)


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
    taken = sorted([await streams.first_token(*client.streams[0]) for _ in requests])
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


ROWS = (
    Row("1 KB, the same text", lambda rng: [request(CALL)] * 600, calls),
    Row("1 KB, new texts", _new(900, 400), calls),
    Row("16 KB, new texts", _new(16_000, 100), calls),
    Row("256 KB, new texts", _new(256_000, 10), calls),
    Row("2 MB, new texts", _new(2_000_000, 2), calls),
    Row("256 KB, the same text", _same(256_000, 20), calls),
    Row("next turn of 10", _turns(10, 200), next_turns),
    Row(f"next turn of {TURNS}", _turns(TURNS, 100), next_turns),
    Row("chunk of a stream", lambda rng: [b""], chunks),
    Row("new connection, a call", lambda rng: [request(CALL)] * 40, connections),
    Row("first token, ms", lambda rng: [b""] * 40, first_token),
)


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
        of_row = taken[row.name] = {one.name: [] for one in contestants}
        # The first round is to warm up.
        for number in range(rounds + 1):
            requests = row.prepare(rng)
            for one in contestants:
                spent = await row.work(one, clients[one.name], requests)
                if number:
                    of_row[one.name].append(spent)
        say(f"{row.name}: {rounds} rounds, {time.monotonic() - began:.0f} s")
    for client in clients.values():
        client.close()
    return taken
