"""deploy/grafana/earthflow.json: Prometheus understands each of its questions, they name metrics and labels that exist, and no panel hides another."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.test_prometheus import promtool
from tests.support.metric_names import labels_of, metric_names
from tests.support.module_map import ROOT

BOARD: dict[str, Any] = json.loads((ROOT / "deploy" / "grafana" / "earthflow.json").read_text())  # fmt: skip
PANELS = [panel for panel in BOARD["panels"] if panel["type"] != "row"]
QUESTIONS = [(panel["title"], target["expr"]) for panel in PANELS for target in panel["targets"]]  # fmt: skip


def test_prometheus_understands_each_question(tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:{number}", "expr": asked.replace("$__rate_interval", "5m").replace("$tenant", ".*")}
        for number, (_, asked) in enumerate(QUESTIONS)
    ]  # fmt: skip
    file = tmp_path / "questions.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "board", "rules": rules}]}))
    assert f"{len(rules)} rules found" in promtool("check", "rules", file)


@pytest.mark.parametrize(("title", "asked"), QUESTIONS)
def test_a_question_names_metrics_and_labels_that_exist(title: str, asked: str) -> None:
    names = re.findall(r"\bearthflow_\w+", asked)
    assert names
    for name in names:
        assert re.sub(r"_(total|count|bucket)$", "", name) in metric_names(), (title, name)  # fmt: skip
    grouped = re.findall(r"by \(([a-z, ]+)\)", asked)
    for label in {label.strip() for group in grouped for label in group.split(",")} - {"instance"}:  # fmt: skip
        assert label in labels_of(names[0]), (title, label)


def test_the_board_is_one() -> None:
    assert BOARD["uid"] == "earthflow"
    ids = [panel["id"] for panel in BOARD["panels"]]
    assert len(set(ids)) == len(ids)
    assert {variable["name"] for variable in BOARD["templating"]["list"]} == {"source", "tenant"}  # fmt: skip
    taken: set[tuple[int, int]] = set()
    for panel in BOARD["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}  # fmt: skip
        assert not cells & taken, panel["title"]
        taken |= cells
    assert all(panel["description"].endswith(".") for panel in PANELS)
