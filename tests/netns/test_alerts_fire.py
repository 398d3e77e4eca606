"""A real Prometheus with deploy/prometheus scrapes a fleet and a proxy; a storm of blocked calls and a full disk make it raise their alerts."""

import json
import re
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from cli.processes import wait_until
from tests.netns.test_full_disk import Small, own_ca, small_house
from tests.support.house import PATIENCE, RESTRICTED, Tenant, curl, message
from tests.support.metric_names import metric_names
from tests.support.module_map import ROOT
from tests.support.ports import free_ports

__all__ = ["own_ca"]  # a fixture of this module, too
FOLDER = ROOT / "deploy" / "prometheus"


@dataclass
class Watched:
    """A house on a small disk, and the Prometheus that watches it."""

    small: Small
    tenant: Tenant
    url: str

    def ask(self, path: str) -> object:
        return json.loads(curl("-sS", f"{self.url}/api/v1/{path}").stdout)["data"]

    def firing(self) -> set[str]:
        alerts = self.ask("alerts")
        assert isinstance(alerts, dict)
        return {one["labels"]["alertname"] for one in alerts["alerts"] if one["state"] == "firing"}  # fmt: skip


def configuration(small: Small, folder: Path) -> Path:
    """The guide's own, with where this house is, and a second in place of fifteen."""
    key = small.house.stack.control.post("/v1/keys", {"role": "metrics", "name": "prometheus"})["api_key"]  # fmt: skip
    (folder / "key").write_text(key)
    [own] = re.findall(r"metrics on port (\d+)", small.house.log)
    text = (FOLDER / "prometheus.yml").read_text()
    for written, here in {
        "earthflow-proxy:8443": f"127.0.0.1:{small.house.stack.port}",
        "earthflow-proxy:9090": f"127.0.0.1:{own}",
        "/etc/prometheus/earthflow-key": str(folder / "key"),
        "[alerts.yml]": f"[{FOLDER / 'alerts.yml'}]",
        ": 15s": ": 1s",
    }.items():
        assert written in text
        text = text.replace(written, here)
    (folder / "prometheus.yml").write_text(text)
    return folder / "prometheus.yml"


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("prometheus")
    patch = pytest.MonkeyPatch()
    own_ca.__wrapped__(patch)
    with small_house("durable") as small:
        [port] = free_ports(1)
        command = ["prometheus", f"--config.file={configuration(small, folder)}", f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"]  # fmt: skip
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as prometheus:
            made = Watched(small, small.house.tenant(), f"http://127.0.0.1:{port}")
            try:
                assert wait_until(lambda: curl("-sS", f"{made.url}/-/ready").returncode == 0, PATIENCE)  # fmt: skip
                yield made
            finally:
                prometheus.terminate()
    patch.undo()


def test_both_are_scraped_and_nothing_fires_in_the_calm(watched: Watched) -> None:
    def up() -> bool:
        targets = watched.ask("targets")
        assert isinstance(targets, dict)
        return {one["labels"]["job"]: one["health"] for one in targets["activeTargets"]} == {"earthflow": "up", "earthflow-proxy": "up"}  # fmt: skip

    assert wait_until(up, PATIENCE)
    assert watched.tenant.post(message("what is 2 + 2?"))[0] == 200
    names = watched.ask("label/__name__/values")
    assert isinstance(names, list)
    ours = {re.sub(r"_(total|count|bucket|sum|created)$", "", name) for name in names if name.startswith("earthflow_")}  # fmt: skip
    assert len(ours) >= 20
    assert ours <= metric_names()
    assert watched.firing() == set()


def test_a_storm_of_blocked_calls_is_critical(watched: Watched) -> None:
    until = time.monotonic() + PATIENCE
    while "EarthflowBlockRateCritical" not in watched.firing():
        assert time.monotonic() < until
        assert watched.tenant.post(message(RESTRICTED))[0] == 400


def test_a_full_disk_is_critical_until_there_is_room(watched: Watched) -> None:
    watched.small.fill()
    until = time.monotonic() + PATIENCE
    while "EarthflowSpoolFull" not in watched.firing():
        assert time.monotonic() < until
        watched.tenant.post(message("what is 3 + 3?"))
    watched.small.free()
    assert wait_until(lambda: "EarthflowSpoolFull" not in watched.firing(), PATIENCE)
    assert watched.tenant.post(message("what is 4 + 4?"))[0] == 200
