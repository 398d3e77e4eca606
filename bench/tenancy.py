"""python -m bench.tenancy [COUNT …]: what a call costs a proxy that knows one tenant, a hundred, ten thousand, beside one another and bare mitmproxy.

Each proxy's calls come from as many of its tenants as there are connections. Tenants have keys
and limits of their own, and the same rules.
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

from bench.contest import CONNECTIONS, ROWS, Contestant
from bench.entrants import BARE, HERE, Entrants, load, measured
from bench.load import spread
from bench.process import resident
from cli import ca_folder
from cli.settings import settings_of
from cli.stack import Stack
from cli.state_folder import claim
from cli.trust import bundle_path

COUNTS = (1, 100, 10_000)
APPLIED = 500  # tenants of one file
ROUNDS = 7
WORDS = ("1 KB", "new connection")


def name_of(count: int) -> str:
    """A contestant's name."""
    return f"{count:,} tenant{'s' if count > 1 else ''}"


def with_tenants(entrants: Entrants, exit: ExitStack, count: int) -> None:
    """Start one more Earthflow, with this many tenants."""
    folder = entrants.folder / f"tenants-{count}"
    ca_folder.write_local(claim(folder).folder / "ca")
    stack = exit.enter_context(Stack(settings_of(folder), lambda _: None, entrants.settings))  # fmt: skip
    ids = [f"t{number:05}" for number in range(count)]
    for first in range(0, count, APPLIED):
        some = [{"id": id, "name": id, "max_requests_per_minute": 1_000_000} for id in ids[first : first + APPLIED]]  # fmt: skip
        file = stack.settings.state_dir / "tenants.json"
        file.write_text(json.dumps({"tenants": some}))
        words = ["apply", "-f", str(file), "--yes"]
        told = stack.environment(EARTHFLOW_URL=stack.control.url)
        subprocess.run([sys.executable, "-m", "cli", *words], cwd=HERE, env=told, check=True, capture_output=True)  # fmt: skip
    step = max(1, count // CONNECTIONS)
    keys = tuple(_keys(stack, ids[::step][:CONNECTIONS]))
    pid = stack.services["proxy"].process.pid
    entrants.enter(Contestant(name_of(count), pid, stack.port, keys, bundle_path(folder)))  # fmt: skip


def _keys(stack: Stack, ids: Sequence[str]) -> Iterator[str]:
    for id in ids:
        yield stack.control.post(f"/v1/tenants/{id}/keys", {})["api_key"]


def main() -> None:
    """Measure and print."""
    counts = [int(word) for word in sys.argv[1:]] or list(COUNTS)
    rows = [row for row in ROWS if row.name.startswith(WORDS)]
    memory: dict[str, float] = {}
    with ExitStack() as exit:

        def enter(entrants: Entrants) -> None:
            entrants.bare()
            for count in counts:
                with_tenants(entrants, exit, count)
            for one in entrants.contestants:
                memory[one.name] = resident(one.pid) / 1e6

        taken = measured(enter, rows, ROUNDS)
    first = name_of(counts[0])
    print(f"load {load()}; min / median / max of {ROUNDS} rounds, CPU ms; × bare; × {first}")  # fmt: skip
    for name, of_row in taken.items():
        print(name)
        for who, values in of_row.items():
            beside = "   × ".join(
                _ratios(values, of_row[base]) for base in (BARE, first)
            )
            print(f"    {who:16} {spread(values)}   × {beside}   {memory[who]:.0f} MB")


def _ratios(values: Sequence[float], others: Sequence[float]) -> str:
    return spread([one / other for one, other in zip(values, others, strict=True)])


if __name__ == "__main__":
    main()
