"""`make bench`: proxy CPU per keep-alive call of 1 KB, Earthflow with everything on against bare mitmproxy, interleaved."""

import asyncio
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from random import Random

import uvloop

from bench import streams, texts
from bench.load import CALL, Client, request, settings_for, spread, upstream
from bench.process import cpu_seconds
from cli import ca_folder
from cli.ca_folder import CA_FILE
from cli.processes import start, stop
from cli.settings import environment, settings_of
from cli.stack import Stack
from cli.state_folder import claim
from cli.trust import bundle_path

TURNS, NEXT_TURNS = (10, 200), 200
CONNECTIONS, CALLS, ROUNDS, WARM_UP = 8, 2000, 7, 1000


async def measure(client: Client, pid: int, requests: Sequence[bytes]) -> float:
    """CPU milliseconds of the proxy per call."""
    before = cpu_seconds(pid)
    await client.send(requests)
    return (cpu_seconds(pid) - before) * 1000 / len(requests)


async def run(folder: Path) -> None:
    """Both proxies over the same upstream and the same CA, in turns."""
    server, roots = await upstream(folder, streams.answer)
    port = server.sockets[0].getsockname()[1]
    extra = settings_for(server, roots)
    with Stack(
        settings_of(folder), lambda line: print(line, file=sys.stderr), extra
    ) as stack:
        command = [
            sys.executable,
            "-m",
            "bench.bare",
            str(folder / "ca"),
            str(roots),
            str(port),
        ]
        bare = start(command, environment(), subprocess.PIPE)
        try:
            assert bare.stdout is not None
            bare_port = int(
                (await asyncio.to_thread(bare.stdout.readline)).rsplit(b" ", 1)[1]
            )
            trust = bundle_path(folder)
            ours = Client(stack.port, stack.new_key or "", trust)
            theirs = Client(bare_port, "none", folder / "ca" / CA_FILE)
            await compare(
                ours,
                stack.services["proxy"].process.pid,
                theirs,
                bare.pid,
            )
            await conversations(
                ours,
                stack.services["proxy"].process.pid,
                theirs,
                bare.pid,
            )
            direct = Client(port, "", roots, proxied=False)
            await direct.connect(1)
            await streams.first_tokens(
                {
                    "direct": direct,
                    "bare mitmproxy": theirs,
                    "Earthflow": ours,
                }
            )
            await streams.each_chunk(
                ours,
                stack.services["proxy"].process.pid,
                theirs,
                bare.pid,
            )
            for client in (ours, theirs, direct):
                client.close()
        finally:
            stop(bare)
    server.close()


async def compare(ours: Client, our_pid: int, theirs: Client, their_pid: int) -> None:
    """Warm up, then take turns; print both and the ratio of each pair."""
    for client in (ours, theirs):
        await client.connect(CONNECTIONS)
        await client.send([request(CALL)] * WARM_UP)
    earthflow, bare = [], []
    for number in range(ROUNDS):
        bare.append(await measure(theirs, their_pid, [request(CALL)] * CALLS))
        earthflow.append(await measure(ours, our_pid, [request(CALL)] * CALLS))
        print(f"round {number + 1} of {ROUNDS}", file=sys.stderr)
    print(
        f"proxy CPU per keep-alive call, {len(CALL)} B up, {CONNECTIONS} connections, {CALLS} calls a round, {ROUNDS} rounds in turns"
    )
    print("                                     min / median / max")
    print(f"bare mitmproxy, ms                 {spread(bare)}")
    print(f"Earthflow, everything on, ms       {spread(earthflow)}")
    print(
        f"ratio, each pair of rounds         {spread([ours / theirs for ours, theirs in zip(earthflow, bare, strict=True)])}"
    )


async def conversations(
    ours: Client, our_pid: int, theirs: Client, their_pid: int
) -> None:
    """What the next turn of a short and of a long conversation costs, in turns; each call says something new."""
    rng = Random(7)
    proxies = {
        "bare mitmproxy": (theirs, their_pid),
        "Earthflow": (ours, our_pid),
    }
    taken: dict[tuple[str, int], list[float]] = {
        (name, turns): [] for name in proxies for turns in TURNS
    }
    for _ in range(ROUNDS):
        for turns in TURNS:
            said = [f"{texts.text(rng, 500)}." for _ in range(turns)]
            calls = [
                request(conversation([*said, f"{texts.text(rng, 500)}."]))
                for _ in range(NEXT_TURNS + 1)
            ]
            for name, (client, pid) in proxies.items():
                await client.send(calls[:1])
                taken[name, turns].append(await measure(client, pid, calls[1:]))
    print(
        f"proxy CPU per next turn of a conversation, 500 characters a turn, {NEXT_TURNS} calls a round, {ROUNDS} rounds in turns"
    )
    for name in proxies:
        short, long = (taken[name, turns] for turns in TURNS)
        print(f"{name}, {TURNS[0]} turns, ms".ljust(35) + spread(short))
        print(f"{name}, {TURNS[1]} turns, ms".ljust(35) + spread(long))
        print(
            "ratio, each pair of rounds".ljust(35)
            + spread([many / few for few, many in zip(short, long, strict=True)])
        )


def conversation(said: Sequence[str]) -> bytes:
    """A chat call in which this was said in turns, the last by the user."""
    roles = ("user", "assistant")
    messages = [
        {"role": roles[(len(said) - number - 1) % 2], "content": one}
        for number, one in enumerate(said)
    ]
    return json.dumps({"model": "gpt-5.2", "messages": messages}).encode()


def main() -> None:
    """Run it in a folder of its own."""
    with tempfile.TemporaryDirectory(
        prefix="earthflow-bench-", ignore_cleanup_errors=True
    ) as folder:
        ca_folder.write_local(claim(Path(folder)).folder / "ca")
        uvloop.run(run(Path(folder)))


if __name__ == "__main__":
    main()
