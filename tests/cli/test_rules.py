"""`earthflow rules`: what an author of rules types, on files of his own."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from cli.__main__ import app
from tests.support.house import AWS_KEY

OWN = """earthflow: 1
rules:
  - id: own.quince
    message: A quince
    severity: low
    action: {action}
    match: {{keywords: quince}}
    tests: [{{match: a quince}}, {{ok: an apple}}]
"""


def earthflow(*words: str | Path, said: str = "") -> Result:
    return CliRunner().invoke(app, ["rules", *map(str, words)], input=said)


def told(*words: str | Path, said: str = "") -> Any:
    return json.loads(earthflow(*words, "-o", "json", said=said).stdout)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    (tmp_path / "own.yaml").write_text(OWN.format(action="flag"))
    return tmp_path / "own.yaml"


def test_the_tests_of_a_file_are_run_and_counted(own: Path) -> None:
    assert told("test", own) == {"rules": 1, "passed": 2, "failed": []}
    done = earthflow("test", own)
    assert (
        done.exit_code,
        f"\n{own} ..\n" in done.stdout,
        "2 passed: 1 rule in" in done.stdout,
    ) == (
        0,
        True,
        True,
    )


def test_a_test_that_fails_is_named_with_its_place_and_gives_status_1(
    own: Path,
) -> None:
    own.write_text(own.read_text().replace("ok: an apple", "ok: one quince"))
    done = earthflow("test", own)
    assert (done.exit_code, f"FAILED {own}:8 own.quince: it fired" in done.stdout) == (
        1,
        True,
    ), done.stdout
    assert [one["why"] for one in told("test", own)["failed"]] == ["fired"]


def test_a_glob_that_names_no_rule_is_a_wrong_use(own: Path) -> None:
    done = earthflow("test", own, "--only", "other.*")
    assert (done.exit_code, "No rule matches 'other.*'" in str(done.exception)) == (
        1,
        True,
    )


def test_a_text_is_tried_by_argument_by_standard_input_and_as_an_answer(
    own: Path,
) -> None:
    assert told("try", "one quince", "--rules", own)["rules"][0]["id"] == "own.quince"
    assert told("try", "--rules", own, said="one quince\n")["action"] == "FLAG"
    assert told("try", "one quince", "--rules", own, "--answer")["rules"] == []
    assert "⟦quince⟧" in earthflow("try", "one quince", "--rules", own).stdout
    assert "-o csv goes with --cases" in str(
        earthflow("try", "x", "-o", "csv").exception
    )


def test_a_call_is_explained_from_what_was_read_to_what_follows(
    own: Path, tmp_path: Path
) -> None:
    turns = [
        ("user", "hello"),
        ("assistant", "hi"),
        ("user", f"a quince and {AWS_KEY}"),
    ]
    body = {
        "model": "m",
        "messages": [{"role": role, "content": text} for role, text in turns],
    }
    (tmp_path / "call.json").write_text(json.dumps(body))
    done = earthflow("explain", tmp_path / "call.json", "--rules", own)
    assert done.exit_code == 0, done.stdout
    lines = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    assert lines["history"].startswith("the first ")
    assert lines["verdict"].startswith("REDACT")
    assert "[REDACTED:credentials_aws_access_key_" in lines["edit"]
    assert {
        one["id"]
        for one in told("explain", "-", "--rules", own, said=json.dumps(body))["rules"]
    } == {
        "own.quince",
        "credentials.aws-access-key",
    }


def test_an_explained_call_says_which_of_two_rules_wins(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text(
        "earthflow: 1\nrules:\n  - {id: own.key, action: redact, match: {regex: 'AKIA[A-Z0-9]{16}'}}\n"
    )
    body = json.dumps(
        {"model": "m", "messages": [{"role": "user", "content": AWS_KEY}]}
    )
    done = told("explain", "-", "--rules", own, said=body)
    assert done["overlaps"] == [{"winner": "credentials.aws-access-key", "loser": "own.key"}]  # fmt: skip


def test_two_rulebooks_are_compared_over_recorded_calls(
    own: Path, tmp_path: Path
) -> None:
    sterner = tmp_path / "sterner.yaml"
    sterner.write_text(OWN.format(action="block"))
    calls = '"a quince"\n"an apple"\n{"messages": [{"role": "user", "content": "quince"}]}\n'
    changed = told("diff", own, sterner, "-", said=calls)["changed"]
    assert [
        (one["line"], one["before"]["action"], one["after"]["action"])
        for one in changed
    ] == [
        (1, "FLAG", "BLOCK"),
        (3, "FLAG", "BLOCK"),
    ]
    done = earthflow("diff", own, sterner, "-", said=calls)
    assert (done.exit_code, "2 of 3 exchanges judged otherwise" in done.stdout) == (
        1,
        True,
    )
    assert earthflow("diff", "default", "default", "-", said=calls).exit_code == 0
    assert "Line 1 of the exchanges is not JSON" in str(
        earthflow("diff", own, own, "-", said="{").exception
    )


def test_rules_are_shown_as_written_and_as_they_take_effect(own: Path) -> None:
    own.write_text(own.read_text() + "overrides: {own.quince: {action: block}}\n")
    assert told("show", "--rules", own, "--only", "own.*") == [
        {
            "id": "own.quince",
            "action": "flag",
            "severity": "low",
            "mode": "enforce",
            "from": str(own),
        }
    ]
    (shown,) = told("show", "--rules", own, "--only", "own.*", "--effective")
    assert (shown["action"], shown["overrides"]) == ("block", f"{own}:9")
    assert (
        "Later replaces earlier"
        in earthflow("show", "--rules", own, "--only", "own.*", "--effective").stdout
    )


def test_the_schema_is_printed_for_editors() -> None:
    assert json.loads(earthflow("schema").stdout)["title"]


@pytest.mark.parametrize(
    ("text", "status", "sentence"),
    [
        (None, 1, "There is no "),
        (
            "earthflow: 1\nrules:\n  - {id: x, action: blok}\n",
            3,
            "`blok` is not a valid action",
        ),
        (b"\xff", 1, "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_used_is_said_to_be_so(
    tmp_path: Path, text: Any, status: int, sentence: str
) -> None:
    file = tmp_path / "bad.yaml"
    if text is not None:
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
    done = earthflow("test", file)
    assert (done.exit_code, sentence in done.output + str(done.exception)) == (
        status,
        True,
    ), done.output
