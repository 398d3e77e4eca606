"""CONTRIBUTING.md is run: each worked example is applied to a copy of the tree, and its command must succeed there."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.test_release import outside_make
from tests.test_tree import ROOT, tracked

TEXT = (ROOT / "CONTRIBUTING.md").read_text()
EXAMPLES = {
    found[1]: (found[2], found[3])
    for found in re.finditer(
        r"^### (.+?)\n.*?```diff\n(.*?)```\n\n```sh\n(.*?)```",
        TEXT,
        re.DOTALL | re.MULTILINE,
    )
}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A copy of all that git tracks, with every example applied; its path has a blank in it."""
    copy = tmp_path_factory.mktemp("contributing") / "a tree"
    for _, path in tracked():
        (copy / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, copy / path)
    for change, _ in EXAMPLES.values():
        done = subprocess.run(
            ["git", "apply", "-"],
            cwd=copy,
            input=change,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{done.stderr}\n{change}"
    yield copy
    shutil.rmtree(copy)


def test_each_kind_of_change_has_an_example() -> None:
    assert list(EXAMPLES) == [
        "A provider",
        "A rule",
        "A codec",
        "A setting",
        "A metric",
        "A migration",
    ]


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_does_what_it_is_an_example_of(tree: Path, name: str) -> None:
    told = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("PYTEST_", "COVERAGE_"))
    }
    told["PATH"] = f"{Path(sys.executable).parent}:{told['PATH']}"
    command = ["bash", "-euo", "pipefail", "-c", EXAMPLES[name][1]]
    done = subprocess.run(
        command, cwd=tree, env=told, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"\b[1-9]\d* (?:passed|of [1-9]\d* right)", done.stdout), (
        done.stdout
    )


def test_the_workflow_runs_what_a_checkout_must_pass_and_nothing_else() -> None:
    steps = re.findall(
        r"^\s+(?:- )?run: (.+)$",
        (ROOT / ".github/workflows/ci.yml").read_text(),
        re.MULTILINE,
    )
    assert steps == ["bash .ci/run"]


def test_every_target_that_is_named_is_there_and_help_lists_every_target() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z][a-z-]*):.*## ", makefile, re.MULTILINE))
    shown = subprocess.run(
        ["make", "-s"],
        cwd=ROOT,
        env=outside_make(),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert {line.split()[1] for line in shown.splitlines()} == targets
    assert set(re.findall(r"`make ([a-z-]+)`", TEXT)) <= targets
    phony = re.search(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)
    assert phony is not None
    assert targets <= set(phony[1].split())
