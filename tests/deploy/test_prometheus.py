"""What deploy/prometheus has is what Prometheus takes, is proven, names metrics that exist, and has a section in the runbook."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.support.metric_names import metric_names
from tests.support.module_map import ROOT

FOLDER = ROOT / "deploy" / "prometheus"
ALERTS = [rule for group in yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"] for rule in group["rules"]]  # fmt: skip
NAMES = re.compile(r"\bearthflow_[a-z0-9_]+")


def promtool(*words: str | Path) -> str:
    done = subprocess.run(["promtool", *map(str, words)], cwd=FOLDER, capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_prometheus_takes_the_files() -> None:
    promtool("check", "config", "--syntax-only", "prometheus.yml")
    assert f"{len(ALERTS)} rules found" in promtool("check", "rules", "alerts.yml")


def test_each_alert_fires_in_its_storm_and_none_in_the_calm() -> None:
    promtool("test", "rules", "alerts.test.yml")
    proof = (FOLDER / "alerts.test.yml").read_text()
    assert [rule["alert"] for rule in ALERTS if f'"{rule["alert"]}"' not in proof] == []


def test_alerts_name_metrics_that_exist() -> None:
    for rule in ALERTS:
        for name in NAMES.findall(rule["expr"]):
            plain = re.sub(r"_(total|count|bucket)$", "", name)
            assert plain in metric_names(), (rule["alert"], name)


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_each_alert_says_how_bad_what_and_what_to_do(rule: dict[str, dict[str, str]]) -> None:  # fmt: skip
    assert rule["labels"]["severity"] in ("info", "warning", "critical")
    assert rule["annotations"]["summary"].endswith(".")
    headings = re.findall(r"^## (.*)$", (ROOT / "deploy" / "runbook.md").read_text(), re.MULTILINE)  # fmt: skip
    assert any(rule["alert"] in re.split(r", ", heading) for heading in headings)
