"""python -m bench.beside [CHECKOUT …] [--rounds N] [ROW …]: this proxy, and those of other checkouts, beside bare mitmproxy.

For whoever changes what a call costs: the figures of one run, before and after. A row is
chosen by a word of its name; each other checkout must have the virtual environment's packages.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import uvloop

from bench import streams
from bench.contest import ROWS, Contestant, contest
from bench.load import settings_for, spread, upstream
from cli import ca_folder
from cli.ca_folder import CA_FILE
from cli.processes import start, stop
from cli.settings import environment, settings_of
from cli.stack import Stack, port_said
from cli.state_folder import claim
from cli.trust import bundle_path

HERE = Path(__file__).resolve().parent.parent


def started(exit: ExitStack, command: list[str], told: dict[str, str], tree: Path = HERE) -> tuple[int, int]:  # fmt: skip
    """Start a proxy of a checkout; its process and its port."""
    code = f"import os,runpy,sys; os.chdir({str(tree)!r}); sys.path.insert(0, {str(tree)!r}); sys.argv={command!r}; runpy.run_module({command[0]!r}, run_name='__main__')"
    process = start([sys.executable, "-c", code], told, subprocess.PIPE)
    exit.callback(stop, process)
    port = port_said(process)
    assert port is not None, command
    return process.pid, port


async def run(folder: Path, trees: list[Path], words: list[str], rounds: int) -> None:
    """Start all of them, measure, print."""
    server, roots = await upstream(folder, streams.answer)
    port = server.sockets[0].getsockname()[1]
    with Stack(settings_of(folder), lambda line: None, settings_for(server, roots)) as stack, ExitStack() as exit:  # fmt: skip
        ca, key = folder / "ca", stack.new_key or ""
        bare = await asyncio.to_thread(started, exit, ["bench.bare", str(ca), str(roots), str(port)], environment())  # fmt: skip
        contestants = [Contestant("bare", *bare, "none", ca / CA_FILE)]
        for tree in (*trees, HERE):
            more = {"EARTHFLOW_PORT": "0", "EARTHFLOW_LISTEN_HOST": ""}
            told = stack.environment(EARTHFLOW_CONTROL_URL=stack.control.url, **more)
            one = await asyncio.to_thread(started, exit, ["addons.run"], told, tree)
            contestants.append(Contestant(tree.name, *one, key, bundle_path(folder)))
        rows = [row for row in ROWS if not words or any(word in row.name for word in words)]  # fmt: skip
        taken = await contest(contestants, rows, rounds, lambda line: print(line, file=sys.stderr))  # fmt: skip
    server.close()
    print(
        f"load {os.getloadavg()[0]:.1f}; min / median / max of {rounds} rounds, CPU ms; × bare"
    )
    for name, of_row in taken.items():
        base = of_row["bare"]
        print(name)
        for who, values in of_row.items():
            ratio = [one / other for one, other in zip(values, base, strict=True)]
            print(f"    {who:12} {spread(values)}   × {spread(ratio)}")


def main() -> None:
    """Read the command line, measure in a folder of its own."""
    words = sys.argv[1:]
    rounds = 7
    if "--rounds" in words:
        at = words.index("--rounds")
        rounds = int(words[at + 1])
        del words[at : at + 2]
    trees = [Path(word).resolve() for word in words if "/" in word]
    rows = [word for word in words if "/" not in word]
    with tempfile.TemporaryDirectory(prefix="earthflow-bench-", ignore_cleanup_errors=True) as folder:  # fmt: skip
        ca_folder.write_local(claim(Path(folder)).folder / "ca")
        uvloop.run(run(Path(folder), trees, rows, rounds))


if __name__ == "__main__":
    main()
