"""`earthflow rules try --cases`, as it is typed."""

import csv
import json
import re
import subprocess
from pathlib import Path

import pytest

from cli.rules.cases import COLUMNS
from cli.settings import environment
from tests.support.house import EARTHFLOW

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "rules.md"
WRITTEN = (
    DOCUMENT.read_text()
    .split("<!-- cases -->\n```jsonl\n")[1]
    .split("```\n<!-- end cases -->")[0]
)


def tried(
    *words: str, cases: str = WRITTEN, **more: str
) -> subprocess.CompletedProcess[str]:
    command = [EARTHFLOW, "rules", "try", "--cases", "-", *words]
    return subprocess.run(
        command,
        input=cases,
        env=environment(more),
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_cases_of_the_document_come_out_as_they_say() -> None:
    done = tried()
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[-1] == "4 of 4 right"
    assert [line.split()[0] for line in lines[:-1]] == ["ok"] * 4
    assert re.fullmatch(
        r"ok +a whole call +REDACT  credentials.aws-access-key:redact", lines[2]
    )


def test_programs_get_json_whole_or_by_line_and_csv() -> None:
    whole = json.loads(tried("-o", "json").stdout)
    assert [one["action"] for one in whole] == ["REDACT", "ALLOW", "REDACT", "BLOCK"]
    assert [
        json.loads(line) for line in tried("-o", "jsonl").stdout.splitlines()
    ] == whole
    head, first, *_ = csv.DictReader(
        tried("-o", "csv").stdout.splitlines(), fieldnames=COLUMNS
    )
    assert list(head.values()) == list(COLUMNS)
    assert (first["id"], first["rules"]) == (
        "a key in a file",
        "credentials.aws-access-key:redact",
    )


def test_a_case_that_is_not_right_gives_status_1_and_is_counted() -> None:
    done = tried(cases='{"text": "hello", "min": "BLOCK"}\n\n{"text": "hello"}\n')
    assert (done.returncode, done.stdout.splitlines()[-1]) == (
        1,
        "1 of 2 right: MISS 1",
    )
    assert done.stdout.startswith("MISS  ") and " line 1 " in done.stdout


def test_rules_and_providers_of_ones_own_count(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(
        "earthflow: 1\nrules:\n  - {id: own.word, action: block, match: {keywords: quince}}\n"
    )
    (tmp_path / "providers").write_text(
        "providers: {house: {hosts: [llm.house.example], paths: {/v1: openai}}}\n"
    )
    case = {
        "url": "https://llm.house.example/v1/embeddings",
        "body": {"model": "m", "input": "a quince"},
        "min": "BLOCK",
    }
    done = tried(
        "--rules",
        str(tmp_path / "own.yaml"),
        cases=json.dumps(case),
        EARTHFLOW_PROVIDERS=str(tmp_path / "providers"),
    )
    assert (done.returncode, "own.word:block" in done.stdout) == (0, True), done.stderr


def test_a_misspelt_expectation_is_named() -> None:
    done = tried(cases='{"text": "hello", "mni": "BLOCK", "note": "for people"}\n')
    assert (done.returncode, done.stderr) == (0, "unknown fields, ignored: mni\n")


def test_outcomes_before_a_line_that_is_no_case_are_shown() -> None:
    done = tried(cases='{"text": "hello"}\n[]\n')
    assert (done.returncode, done.stdout.split()) == (2, ["ok", "line", "1", "ALLOW"])


def test_many_complaints_do_not_hold_it_up_and_nothing_in_the_users_folder_is_run(
    tmp_path: Path,
) -> None:
    rules = "".join(f"  - {{id: x{number}, action: blok}}\n" for number in range(1500))
    (tmp_path / "bad.yaml").write_text(f"earthflow: 1\nrules:\n{rules}")
    (tmp_path / "json.py").write_text("raise SystemExit(9)")
    (tmp_path / "addons").mkdir()
    (tmp_path / "addons" / "__init__.py").touch()
    command = [EARTHFLOW, "rules", "try", "--cases", "-"]
    for words, status in ((["--rules", "bad.yaml"], 3), ([], 0)):
        done = subprocess.run(
            [*command, *words],
            cwd=tmp_path,
            input=WRITTEN,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == status, done.stderr[:500]


@pytest.mark.parametrize(
    ("cases", "status"),
    [
        (b'{"text": "\xff"}', 2),
        (b"\0\0", 2),
        (b'\xef\xbb\xbf{"text": "a"}\r\n', 0),
        (b'{"text": "\xe2\x82\xac"}', 0),
    ],
)
def test_odd_bytes_are_a_case_or_a_sentence(cases: bytes, status: int) -> None:
    told = environment({"PYTHONIOENCODING": "latin-1"})
    command = [EARTHFLOW, "rules", "try", "--cases", "-", "-o", "json"]
    done = subprocess.run(
        command, input=cases, env=told, capture_output=True, check=False
    )
    assert (done.returncode, b"Traceback" in done.stderr) == (status, False), (
        done.stderr
    )


def test_what_cannot_be_tried_is_said_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(
        "earthflow: 1\nrules:\n  - {id: x, action: blok}\n"
    )
    for done, status, sentence in (
        (
            tried(cases='{"text": "a"}\n{"text": 1}\n'),
            2,
            "standard input, line 2: Expected `str | null`, got `int`",
        ),
        (tried(cases=""), 2, "There is no case in standard input."),
        (tried("a text"), 2, "--cases goes without a text"),
        (
            tried("--rules", str(tmp_path / "bad.yaml")),
            3,
            "bad.yaml:3:21: error: `blok` is not a valid action",
        ),
        (
            tried("--cases", str(tmp_path / "none.jsonl")),
            2,
            "none.jsonl cannot be read: No such file or directory.",
        ),
    ):
        assert (done.returncode, sentence in done.stderr) == (status, True), done.stderr
        assert "Traceback" not in done.stderr
