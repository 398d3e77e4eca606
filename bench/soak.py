"""python -m bench.soak [CALLS]: the memory of a proxy while it judges a million calls, most of them with new texts.

Prints megabytes after each twentieth of them. What it keeps of clean texts, models and
conversations is full long before the end, so the last tenths show what grows.
"""

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from random import Random

import uvloop

from bench import streams, texts
from bench.contest import CONNECTIONS, chat, conversation
from bench.entrants import load
from bench.load import Client, request, settings_for, upstream
from bench.process import resident
from cli import ca_folder
from cli.settings import settings_of
from cli.stack import Stack
from cli.state_folder import claim
from cli.trust import bundle_path

CALLS, STEPS = 1_000_000, 20
BATCH = 1_000  # calls that are made ready at once
LIVES = 50  # batches of a connection


def batch(rng: Random) -> Sequence[bytes]:
    """Calls of a thousand characters, and now and then a long one, a conversation, or one with secrets."""
    made = [chat(texts.text(rng, 1_000)) for _ in range(BATCH - 21)]
    made += [chat(texts.text(rng, 20_000)) for _ in range(5)]
    said = [texts.text(rng, 300) for _ in range(40)]
    made += [request(conversation([*said, texts.text(rng, 100)])) for _ in range(15)]
    return [*made, chat(f"{texts.text(rng, 300)} ana.{rng.randrange(10**6)}@firma.example")]  # fmt: skip


async def run(home: Path, calls: int) -> None:
    """Make them, and print."""
    server, roots = await upstream(home, streams.answer)
    with Stack(settings_of(home), lambda _: None, settings_for(server, roots)) as stack:
        pid = stack.services["proxy"].process.pid
        client = Client(stack.port, stack.new_key or "", bundle_path(home))
        await client.connect(CONNECTIONS)
        rng, step = Random(calls), max(1, calls // BATCH // STEPS)
        for number in range(calls // BATCH):
            if number % LIVES == LIVES - 1:
                client.close()
                await client.connect(CONNECTIONS)
            await client.send(batch(rng))
            if number % step == step - 1:
                print(f"{(number + 1) * BATCH:>9,} calls: {resident(pid) / 1e6:.0f} MB, load {load()}", flush=True)  # fmt: skip
        client.close()
    server.close()


def main() -> None:
    """Read the command line."""
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else CALLS
    with tempfile.TemporaryDirectory(prefix="earthflow-soak-", ignore_cleanup_errors=True) as folder:  # fmt: skip
        home = Path(folder)
        ca_folder.write_local(claim(home).folder / "ca")
        uvloop.run(run(home, calls))


if __name__ == "__main__":
    main()
