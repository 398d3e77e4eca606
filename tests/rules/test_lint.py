"""`earthflow rules lint` on broken files: one precise complaint each. The golden text beside the files is the contract."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.__main__ import app
from rules.lint import ends_early
from rules.model import single_matches
from rules.sources import shipped
from tests.support.shared import library

FOLDER = Path(__file__).parent / "broken"
GOLDEN = (FOLDER / "expected.txt").read_text()
FILES = sorted(FOLDER.glob("*.yaml"))
SEPARATOR = "-" * 80 + "\n"


def lint(*words: str) -> tuple[int, str]:
    """Exit status and output of the command."""
    done = CliRunner().invoke(app, ["rules", "lint", *words])
    return done.exit_code, done.stdout


def expected() -> dict[str, str]:
    """The golden text by file."""
    return dict(part.split("\n", 1) for part in GOLDEN.split(SEPARATOR) if part)


def test_there_are_sixty_broken_files_and_each_has_its_golden_text() -> None:
    assert len(FILES) >= 60
    assert set(expected()) == {path.name for path in FILES}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_broken_file_gets_its_complaint(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(FOLDER)
    status, said = lint(path.name)
    assert said == expected()[path.name]
    assert status == (0 if path.stem.startswith("w-") else 3)


def test_the_same_as_json_has_places_a_script_can_use(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(FOLDER)
    status, said = lint("bad-action.yaml", "-o", "json")
    (complaint,) = json.loads(said)
    assert status == 3
    assert (
        complaint["file"],
        complaint["line"],
        complaint["column"],
        complaint["help"],
    ) == (
        "bad-action.yaml",
        4,
        13,
        "did you mean `block`?",
    )


def test_a_good_file_has_nothing_to_complain_of(tmp_path: Path) -> None:
    good = tmp_path / "good.yaml"
    good.write_text(
        "earthflow: 1\nrules:\n  - id: acme.project\n    message: A project name\n    action: redact\n    match: {regex: '\\bPROJECT-[0-9]{3}\\b'}\n"
        "    tests:\n      - match: see PROJECT-123\n      - ok: PROJECT-1\n"
    )
    assert lint(str(good)) == (0, "1 file: 0 errors, 0 warnings\n")


@pytest.mark.parametrize(
    ("regex", "early"),
    [
        (r"\bacme_[0-9A-Za-z]{20,200}", True),
        (r"\b(?P<secret>acme_[\w-]{20,64}={0,2})", True),
        (r"x|acme_[a-z]{10,40}", True),
        (r"\bacme_[0-9A-Za-z]{20,}", False),
        (r"\bacme_[0-9A-Za-z]{32}", False),
        (r"\bacme_[0-9A-Za-z]{20,200}\b", False),
        (r"(?P<secret>[0-9A-Za-z]{20,100})@[\w.-]{3,60}", False),
        (r"acme [^\n]{0,60}", False),
        (r"acme_[0-9]{4,40}", False),
    ],
)
def test_a_token_that_can_end_early_is_named(regex: str, early: bool) -> None:
    assert ends_early(regex) == early


def test_no_credential_that_is_shipped_can_end_early() -> None:
    rules = library(shipped()).written.assemble("default").rules
    early = {
        rule.id
        for rule in rules.values()
        if rule.id.startswith("credentials.") and rule.match is not None
        for match in single_matches(rule.match)
        if match.regex and ends_early(match.regex)
    }
    assert early == set()
