"""The objects that deploy/kubernetes and the chart make, as a cluster would get them.

`python -m tests.support.kubernetes` copies the alerts of deploy/prometheus to where kustomize and Helm can read them.
"""

import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from helm_python.chart import Chart

from tests.support.module_map import ROOT

FOLDER, CHART = ROOT / "deploy" / "kubernetes", ROOT / "deploy" / "helm" / "earthflow"
KUSTOMIZATIONS = ("base", "workloads", "overlays/durable", "overlays/monitored", "overlays/trial")  # fmt: skip
KUBECTL = Path(sys.executable).with_name("kubectl")
ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yml"
OPERATOR_ALERTS = FOLDER / "components" / "monitoring" / "alerts.yaml"
CHART_ALERTS = CHART / "files" / "alerts.yml"
HEAD = """# Made of deploy/prometheus/alerts.yml by `python -m tests.support.kubernetes`.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: earthflow
  labels: {app: earthflow}
spec:
"""

Object = dict[str, Any]


def built(kustomization: str) -> list[Object]:
    """What `kubectl kustomize` makes."""
    folder = FOLDER / kustomization
    done = subprocess.run([KUBECTL, "kustomize", folder], capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return objects(done.stdout)


def rendered(values: Mapping[str, Any]) -> list[Object]:
    """What the chart makes of values; raises HelmError where they are refused."""
    with Chart.load(CHART) as chart:
        files = chart.render(dict(values), name="earthflow", namespace="earthflow")
    return [one for text in files.values() for one in objects(text)]


def objects(text: str) -> list[Object]:
    """The objects of a file of YAML documents."""
    return [one for one in yaml.safe_load_all(text) if one]


def pods(all_of_it: Iterable[Object]) -> dict[str, Object]:
    """The pod's spec of each workload, by its name."""
    return {
        one["metadata"]["name"]: one["spec"]["template"]["spec"]
        for one in all_of_it
        if one["kind"] in ("Deployment", "StatefulSet", "Job")
    }


def operator_alerts() -> str:
    """The PrometheusRule of our alerts."""
    rules = re.sub(r"\A(#.*\n)+", "", ALERTS.read_text())
    return HEAD + "".join(f"  {line}" if line.strip() else line for line in rules.splitlines(True))  # fmt: skip


if __name__ == "__main__":
    OPERATOR_ALERTS.write_text(operator_alerts())
    CHART_ALERTS.write_text(ALERTS.read_text())
