"""`earthflow apply` against a running system: a diff before it acts, secrets to a file, an interruption that a second run mends."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli import apply as command
from cli import output
from cli.__main__ import app
from cli.errors import CommandError
from tests.support.house import EARTHFLOW, House, command_environment

FILE = """
tenants:
  - id: ap-one
    name: One
    max_requests_per_minute: 50
    keys: [laptop]
    webhooks: [{url: "https://hooks.invalid/x"}]
  - {id: ap-two, name: Two}
"""


@pytest.fixture
def applying(house: House, tmp_path: Path) -> Iterator[Any]:
    """Apply a text; its tenants end with the test."""
    told = command_environment(house, EARTHFLOW_URL=house.stack.control.url)

    def run(text: str, *words: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "file.yaml").write_text(text)
        return subprocess.run(
            [EARTHFLOW, "apply", "-f", str(tmp_path / "file.yaml"), *words],
            env=told, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    yield run
    for id in ("ap-one", "ap-two", "ap-three"):
        try:
            house.stack.control.delete(f"/v1/tenants/{id}")
        except CommandError:
            continue


def test_a_file_is_shown_then_applied_then_unchanged(
    applying: Any, tmp_path: Path, house: House
) -> None:
    names = tuple(f"ap-{os.urandom(4).hex()}" for _ in range(2))
    text = FILE.replace("ap-one", names[0]).replace("ap-two", names[1])
    planned = applying(text, "--dry-run")
    assert planned.returncode == 0
    assert f"+ {names[0]}\n    name: One" in planned.stdout
    assert "2 to create, 0 to change, 0 to end, 0 unchanged." in planned.stdout
    asks = applying(text)
    assert (asks.returncode, "use --yes" in asks.stderr) == (2, True)
    keys = tmp_path / "keys.json"
    done = applying(text, "--yes", "--to", str(keys))
    assert (done.returncode, "2 created, 0 changed, 0 ended" in done.stdout) == (0, True)  # fmt: skip
    assert keys.stat().st_mode & 0o777 == 0o600
    one, two = json.loads(keys.read_text())
    assert one["keys"][0]["name"] == "laptop"
    assert one["webhooks"][0]["secret"].startswith("whsec_")
    assert one["keys"][0]["api_key"] not in done.stdout + done.stderr
    assert two["keys"][0]["api_key"].startswith("ef_live_")
    again = applying(text, "--yes", "-o", "json")
    assert json.loads(again.stdout) == {"dry_run": True, "create": 0, "change": 0, "delete": 0, "same": 2, "tenants": []}  # fmt: skip
    changed = applying(text.replace("50", "70"), "--yes")
    assert "max_requests_per_minute: 50 -> 70" in changed.stdout
    exported = house.stack.control.get("/v1/tenants?search=" + names[0])
    assert "1 unchanged" in applying(json.dumps(exported), "--yes").stdout
    pruned = applying(text, "--prune", "--dry-run")
    assert "- default" in pruned.stdout
    for name in names:
        house.stack.control.delete(f"/v1/tenants/{name}")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (FILE.replace("Two", "''"), "ap-two: $.name"), (FILE.replace("50", "0"), "ap-one: $.max_requests_per_minute"),
        (FILE.replace("ap-two", "ap-one"), "the id ap-one stands twice"), ("tenants: [", "line 2"), ("rules: []", "no list of `tenants`"),
        ('{"version": "x", "presets": [], "files": {"own.yaml": ""}}', "own.yaml. Write them into the folder of EARTHFLOW_RULES_DIR"),
    ],
)  # fmt: skip
def test_a_file_that_is_half_wrong_changes_nothing_and_says_where(
    applying: Any, house: House, text: str, why: str
) -> None:
    done = applying(text, "--yes")
    assert (done.returncode != 0, why in done.stderr) == (True, True), done.stderr
    ids = [one["id"] for one in house.stack.control.get("/v1/tenants")["tenants"]]
    assert not {"ap-one", "ap-two"} & set(ids)


def test_what_was_interrupted_is_finished_by_a_second_run(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [f"ap-{os.urandom(4).hex()}" for _ in range(3)]
    file = tmp_path / "file.json"
    file.write_text(json.dumps({"tenants": [{"id": id, "name": id} for id in ids]}))
    told = command_environment(house, EARTHFLOW_URL=house.stack.control.url)
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(command, "MOST_TENANTS", 1)
    ask, calls = command._ask, []

    def failing(*given: Any, **more: Any) -> Any:
        calls.append(more)
        if len(calls) == 6:  # three looks, two tenants
            raise CommandError("PostgreSQL does not answer.")
        return ask(*given, **more)

    monkeypatch.setattr(command, "_ask", failing)
    keys = tmp_path / "keys.json"
    words = ["apply", "-f", str(file), "--yes", "--to", str(keys), "-o", "json"]
    done = CliRunner().invoke(app, words)
    assert isinstance(done.exception, CommandError)
    assert str(done.exception) == "It was interrupted after 2 tenants, which are done. PostgreSQL does not answer. Run it again: it finishes the rest."  # fmt: skip
    assert [one["tenant"] for one in json.loads(keys.read_text())] == ids[:2]
    monkeypatch.setattr(command, "_ask", ask)
    words[5] = str(tmp_path / "more.json")
    done = CliRunner().invoke(app, words)
    assert json.loads(done.stdout)["create"] == 1
    assert [one["tenant"] for one in json.loads((tmp_path / "more.json").read_text())] == ids[2:]  # fmt: skip
    for id in ids:
        house.stack.control.delete(f"/v1/tenants/{id}")


def test_a_narrow_terminal_gets_lines_and_a_wide_one_a_table(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from rich.console import Console

    columns = ("id", "name", "preset", "limit", "keys", "created")
    row = ["acme", "Acme and Sons", "default", "", "k1, k2", "2026-01-01"]
    for width, table in ((40, False), (100, True)):
        monkeypatch.setattr(output, "console", Console(width=width))
        output.emit_table("", columns, [row])
        shown = capsys.readouterr().out
        assert ("┏" in shown) == table
        assert "Acme and Sons" in shown
        assert max(map(len, shown.splitlines())) <= width
    many = [[f"id{number}", *row[1:]] for number in range(output.MOST_ROWS + 1)]
    output.emit_table("", columns, many)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(many) + 1
    assert lines[1].split()[:4] == ["id0", "Acme", "and", "Sons"]
