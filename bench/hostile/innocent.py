"""A caller who means well and its provider, in a process of their own, so that nobody else's work is in their times.

`python -m bench.hostile.innocent FOLDER` prints the provider's port, reads a line `port key trust`, and then prints for each call when it
ended (CLOCK_MONOTONIC, seconds) and how long it took, ms. Ends when its standard input does.
"""

import asyncio
import sys
import time
from pathlib import Path

from bench.load import ANSWER, CALL, Client, request, upstream

RATE = 50  # calls a second


async def _no_stream(writer: asyncio.StreamWriter, tokens: int) -> None:
    """This caller asks for none."""


async def _call(client: Client) -> None:
    reader, writer = client.streams[0]
    due = time.monotonic()
    while True:
        writer.write(request(CALL))
        await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(len(ANSWER))
        now = time.monotonic()
        # A call that had to wait for the one before is late by that, too.
        print(now, (now - due) * 1000, flush=True)
        due = max(due + 1 / RATE, now)
        await asyncio.sleep(due - time.monotonic())


async def run(folder: Path) -> None:
    """Until standard input ends."""
    server, _ = await upstream(folder, _no_stream)
    print(server.sockets[0].getsockname()[1], flush=True)
    port, key, trust = (await asyncio.to_thread(sys.stdin.readline)).split()
    client = Client(int(port), key, Path(trust))
    await client.connect(1)
    calling = asyncio.create_task(_call(client))
    ended = asyncio.create_task(asyncio.to_thread(sys.stdin.readline))
    await asyncio.wait([calling, ended], return_when=asyncio.FIRST_COMPLETED)
    calling.cancel()
    if calling.done() and (error := calling.exception()):
        print(f"the innocent caller ended: {error!r}", file=sys.stderr)


if __name__ == "__main__":
    asyncio.run(run(Path(sys.argv[1])))
