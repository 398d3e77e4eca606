"""`python -m bench.fleet`: what control takes for thousands of tenants: applied, applied again, listed in pages, made one by one."""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.process import cpu_seconds
from cli.settings import settings_of
from cli.stack import Stack

COUNT, STEP = 5_000, 500
PAGES = 20


def main() -> None:
    """Print the figures, one a line."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Stack(settings_of(Path(folder)), lambda _: None) as stack,
    ):
        control = stack.services["control"].process.pid
        _fleet(stack, lambda: cpu_seconds(control))


def _fleet(stack: Stack, spent: Callable[[], float]) -> None:
    file = stack.settings.state_dir / "tenants.json"
    wanted = [{"id": f"t{number:05}", "name": f"Tenant {number}", "labels": {"team": str(number % 50)}} for number in range(COUNT)]  # fmt: skip
    _one_by_one(stack, spent, "alone")
    for count in range(STEP, COUNT + 1, STEP):
        file.write_text(json.dumps({"tenants": wanted[count - STEP : count]}))
        before, began = spent(), time.monotonic()
        _apply(stack, file)
        took = f"{spent() - before:.2f} CPU-s, {time.monotonic() - began:.1f} s"
        print(f"apply tenants {count - STEP + 1:,} to {count:,}: {took}", flush=True)
    file.write_text(json.dumps({"tenants": wanted}))
    before = spent()
    said = _apply(stack, file)
    print(f"a second apply: {said['create']} made, {said['change']} changed, {said['same']:,} the same, {spent() - before:.2f} CPU-s")  # fmt: skip
    before, after = spent(), ""
    for _ in range(PAGES):
        page = stack.control.get(f"/v1/tenants?limit=100{after}")
        after = f"&after={page['next']}"
    print(f"a page of 100: {(spent() - before) / PAGES * 1000:.1f} CPU-ms")
    before, began = spent(), time.monotonic()
    count = len(stack.control.get("/v1/tenants")["tenants"])
    print(f"all {count:,}: {spent() - before:.2f} CPU-s, {time.monotonic() - began:.2f} s")  # fmt: skip
    _one_by_one(stack, spent, f"beside {COUNT:,}")


def _one_by_one(stack: Stack, spent: Callable[[], float], where: str) -> None:
    before, began = spent(), time.monotonic()
    for number in range(100):
        stack.control.post("/v1/tenants", {"name": f"One {number}"})
    print(f"made one by one, {where}: {(spent() - before) * 10:.1f} CPU-ms, {(time.monotonic() - began) * 10:.1f} ms each", flush=True)  # fmt: skip


def _apply(stack: Stack, file: Path) -> dict[str, int]:
    told = stack.environment(EARTHFLOW_URL=stack.control.url)
    words = ["apply", "-f", str(file), "--yes", "-o", "json"]
    done = subprocess.run([sys.executable, "-m", "cli", *words], env=told, capture_output=True, check=True)  # fmt: skip
    said: dict[str, int] = json.loads(done.stdout)
    return said


if __name__ == "__main__":
    main()
