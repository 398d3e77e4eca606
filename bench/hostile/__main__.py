"""`make hostile`: each attack beside a calm while without it. Memory, the event loop's longest stall, what stays open, an innocent caller's waits.

Everything goes to loopback and ends by itself. Ends with 1 where a figure or an outcome is out of bounds. `python -m bench.hostile WORD`: those
attacks alone whose name has the word.
"""

import asyncio
import json
import socket
import sys
import tempfile
from pathlib import Path

from bench.hostile import bodies, turns
from bench.hostile.target import HOST, Attack, Target
from bench.hostile.watch import Innocent, Seen, Watch
from bench.load import ANSWER
from bench.load import HOST as INNOCENT_HOST
from cli.pretend import Providers
from cli.settings import settings_of
from cli.stack import Stack
from cli.state_folder import claim
from cli.trust import bundle_path

CALM_SECONDS = 4.0
WARM_SECONDS = 30.0  # in which a proxy compiles what only hostile texts need
# What an attack may cost others: MB, seconds, ms beyond the longest wait in the calm while before.
MOST_GROWTH, MOST_STALL, MOST_WAIT = 128.0, 0.1, 250.0
# Names that begin with `silent` are never answered by the proxy's name server; those with `nobody` do not exist.
PROXY = """
import socket, threading
real = socket.getaddrinfo
def look_up(host, *more, **named):
    if str(host).startswith("silent"):
        threading.Event().wait(30)
    if str(host).startswith(("silent", "nobody")):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    return real(host, *more, **named)
socket.getaddrinfo = look_up
from addons.run import main
from addons.status import loop_watch
loop_watch.LOUD = 0.1
main()
"""
COLUMNS = (
    "attack",
    "what came of it",
    "memory, MB more at most",
    "loop's longest stall, s",
    "others' longest wait, ms: calm, attacked",
    "left open",
    "in bounds",
)


async def run(folder: Path, word: str) -> int:
    """All of it; the exit status."""
    with (
        Innocent(folder) as innocent,
        Providers(
            folder,
            reply=bodies.reply,
            answer=lambda *told: turns.given(*told) or json.loads(ANSWER),
            hosts=(HOST,),
        ) as providers,
    ):
        metrics = _free_port()
        roots = folder / "all-ca.pem"
        own = folder / "upstream-ca.pem"
        roots.write_bytes(providers.ca_file.read_bytes() + own.read_bytes())
        extra = {
            "EARTHFLOW_UPSTREAM_MAP": f"{providers.upstream_map},{INNOCENT_HOST}=127.0.0.1:{innocent.provider}",
            "EARTHFLOW_UPSTREAM_CA": str(roots),
            "EARTHFLOW_METRICS_PORT": str(metrics),
            "RATE_LIMIT_DEFAULT_RPM": "1000000",
        }
        programs = {"proxy": [sys.executable, "-c", PROXY]}
        with Stack(
            settings_of(folder),
            lambda line: print(line, file=sys.stderr),
            extra,
            programs,
        ) as stack:
            trust, key = bundle_path(folder), stack.new_key or ""
            innocent.call(stack.port, key, trust)
            attacker = stack.control.post("/v1/tenants", {"name": "attacker"})
            target = Target(stack.port, attacker["api_key"], trust)
            pid = stack.services["proxy"].process.pid
            watch = Watch(pid, f"http://127.0.0.1:{metrics}/metrics", innocent)
            chosen = [
                one for one in (*turns.ATTACKS, *bodies.ATTACKS) if word in one.name
            ]
            failed = await _attack(target, watch, chosen)
            for line in stack.log.read_text().splitlines():
                if "stands still" in line:  # where the loop stood
                    print(line, file=sys.stderr)
            return failed


async def _attack(target: Target, watch: Watch, attacks: list[Attack]) -> int:
    await asyncio.sleep(WARM_SECONDS)
    print(f"| {' | '.join(COLUMNS)} |")
    print("|---" * len(COLUMNS) + "|", flush=True)
    failed = 0
    for attack in attacks:
        async with watch.running() as calm:
            await asyncio.sleep(CALM_SECONDS)
        async with watch.running() as seen:
            outcome, right = await attack.run(target)
        fine = right and _in_bounds(calm, seen)
        failed += not fine
        row = (
            attack.name,
            outcome,
            f"{seen.growth:.0f}",
            f"≤ {seen.stall}",
            f"{calm.longest:.0f}, {seen.longest:.0f}",
            ", ".join(f"{count:.0f} {name}" for name, count in seen.left.items()),
            "yes" if fine else "NO",
        )
        print(f"| {' | '.join(row)} |", flush=True)
    print(f"\n{len(attacks) - failed} of {len(attacks)} in bounds")
    return 1 if failed else 0


def _in_bounds(calm: Seen, seen: Seen) -> bool:
    return (
        seen.growth <= MOST_GROWTH
        and float(seen.stall) <= MOST_STALL
        and seen.longest <= calm.longest + MOST_WAIT
        and not seen.left
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main() -> None:
    """Run it in a folder of its own."""
    socket.setdefaulttimeout(60)
    word = sys.argv[1] if len(sys.argv) > 1 else ""
    with tempfile.TemporaryDirectory(
        prefix="earthflow-hostile-", ignore_cleanup_errors=True
    ) as folder:
        claim(Path(folder))
        sys.exit(asyncio.run(run(Path(folder), word)))


if __name__ == "__main__":
    main()
