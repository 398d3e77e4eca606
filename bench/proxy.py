"""`make bench`: proxy CPU per keep-alive call of 1 KB, Earthflow with everything on against bare mitmproxy, interleaved."""

import asyncio
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import uvloop

from bench.load import CALL, Client, spread, upstream
from cli import ca
from cli.children import start, stop
from cli.home import claim
from cli.settings import environment, settings_of
from cli.stack import Stack
from cli.trust import bundle_path

CONNECTIONS, CALLS, ROUNDS, WARM_UP = 8, 2000, 7, 1000
TICK = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


async def measure(client: Client, pid: int) -> float:
    """CPU milliseconds of the proxy per call."""
    before = cpu_seconds(pid)
    await client.send(CALLS)
    return (cpu_seconds(pid) - before) * 1000 / CALLS


async def run(folder: Path) -> None:
    """Both proxies over the same upstream and the same CA, in turns."""
    server, roots = await upstream(folder)
    port = server.sockets[0].getsockname()[1]
    extra = {"EARTHFLOW_UPSTREAM_MAP": f"api.openai.com=127.0.0.1:{port}", "EARTHFLOW_UPSTREAM_CA": str(roots)}
    with Stack(settings_of(folder), lambda line: print(line, file=sys.stderr), extra) as stack:
        command = [sys.executable, "-m", "bench.bare", str(folder / "ca"), str(roots), str(port)]
        bare = start(command, environment(), subprocess.PIPE)
        try:
            assert bare.stdout is not None
            bare_port = int((await asyncio.to_thread(bare.stdout.readline)).rsplit(b" ", 1)[1])
            trust = bundle_path(folder)
            ours, theirs = Client(stack.port, stack.new_key or "", trust), Client(bare_port, "none", trust)
            await compare(ours, stack.services["proxy"].process.pid, theirs, bare.pid)
            ours.close()
            theirs.close()
        finally:
            stop(bare)
    server.close()


async def compare(ours: Client, our_pid: int, theirs: Client, their_pid: int) -> None:
    """Warm up, then take turns; print both and the ratio of each pair."""
    for client in (ours, theirs):
        await client.connect(CONNECTIONS)
        await client.send(WARM_UP)
    earthflow, bare = [], []
    for number in range(ROUNDS):
        bare.append(await measure(theirs, their_pid))
        earthflow.append(await measure(ours, our_pid))
        print(f"round {number + 1} of {ROUNDS}", file=sys.stderr)
    print(f"proxy CPU per keep-alive call, {len(CALL)} B up, {CONNECTIONS} connections, {CALLS} calls a round, {ROUNDS} rounds in turns")
    print("                                     min / median / max")
    print(f"bare mitmproxy, ms                 {spread(bare)}")
    print(f"Earthflow, everything on, ms       {spread(earthflow)}")
    print(f"ratio, each pair of rounds         {spread([ours / theirs for ours, theirs in zip(earthflow, bare, strict=True)])}")


def main() -> None:
    """Run it in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="earthflow-bench-", ignore_cleanup_errors=True) as folder:
        ca.write_authority(claim(Path(folder)).folder / "ca")
        uvloop.run(run(Path(folder)))


if __name__ == "__main__":
    main()
