"""What the documents say is tried: variables, files, rules and commands."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic_settings import BaseSettings
from typer.testing import CliRunner

from addons.settings import ProxySettings
from bench.proxy import tables
from cli.__main__ import app
from cli.providers import row
from cli.settings import UpSettings, environment
from contract.providers import ai_hosts, providers
from control.settings import ControlSettings
from rules.schema import schema
from rules.sources import shipped
from rules.testing import run
from tests.support.shared import library

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
GUIDE_VARIABLES = [
    "EARTHFLOW_MASTER_KEY",
    "EARTHFLOW_ADMIN_API_KEY",
    "EARTHFLOW_ENV",
    "EARTHFLOW_LOG_LEVEL",
    "EARTHFLOW_PORT",
    "POSTGRES_HOST",
    "POSTGRES_PORT",
    "POSTGRES_DB",
    "POSTGRES_USER",
    "POSTGRES_PASSWORD",
    "REDIS_HOST",
    "REDIS_PORT",
    "REDIS_PASSWORD",
    "REDIS_TLS",
    "RATE_LIMIT_DEFAULT_RPM",
    "RATE_LIMIT_BURST_FACTOR",
    "RATE_LIMIT_WINDOW_SECONDS",
    "TLS_CERT_PATH",
    "TLS_KEY_PATH",
    "TLS_CA_PATH",
    "WEBHOOK_MAX_RETRIES",
    "WEBHOOK_TIMEOUT_SECONDS",
    "WEBHOOK_RETRY_BACKOFF_MS",
    "AUDIT_RETENTION_DAYS",
    "AUDIT_HASH_PROMPTS",
]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def example() -> dict[str, str]:
    lines = (ROOT / ".env.example").read_text().splitlines()
    return dict(
        line.split("=", 1) for line in lines if line and not line.startswith("#")
    )


def variables(settings: type[BaseSettings]) -> set[str]:
    return {str(field.validation_alias) for field in settings.model_fields.values()}


def test_env_example_names_exactly_the_variables_that_are_read() -> None:
    assert set(example()) == variables(ProxySettings) | variables(
        ControlSettings
    ) | variables(UpSettings)


def test_env_example_has_every_variable_of_the_guide() -> None:
    assert set(GUIDE_VARIABLES) <= set(example())


@pytest.mark.parametrize("settings", [ProxySettings, ControlSettings])
def test_env_example_shows_the_defaults_that_the_programs_have(
    settings: type[BaseSettings],
) -> None:
    # the compose network's name for what is loopback by default
    differing = {"EARTHFLOW_CONTROL_URL"}
    for field in settings.model_fields.values():
        name = str(field.validation_alias)
        if not field.is_required() and name not in differing:
            shown = example()[name]
            assert shown == (
                ""
                if field.default in (None, {}, frozenset(), ())
                else str(field.default).lower()
                if isinstance(field.default, bool)
                else str(field.default)
            ), name


def test_env_example_filled_in_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    from cryptography.fernet import Fernet

    for name, value in example().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("EARTHFLOW_MASTER_KEY", Fernet.generate_key().decode())
    monkeypatch.setenv("EARTHFLOW_ADMIN_API_KEY", "x" * 32)
    monkeypatch.setenv("POSTGRES_PASSWORD", "hunter22")
    assert ProxySettings().port == 8443
    assert "hunter22" in ControlSettings().database


def test_settings_print_their_secrets_as_stars(monkeypatch: pytest.MonkeyPatch) -> None:
    from cryptography.fernet import Fernet

    key = Fernet.generate_key().decode()
    for name, value in {
        "EARTHFLOW_MASTER_KEY": key,
        "EARTHFLOW_ADMIN_API_KEY": "a" * 40,
        "POSTGRES_PASSWORD": "hunter22",
        "REDIS_PASSWORD": "hunter33",
    }.items():
        monkeypatch.setenv(name, value)
    shown = repr(ControlSettings()) + repr(ProxySettings())
    assert [
        secret for secret in (key, "a" * 40, "hunter22", "hunter33") if secret in shown
    ] == []


def test_the_rule_in_the_readme_loads_and_its_tests_pass() -> None:
    (text,) = blocks("yaml")
    sources = {**shipped(), "acme.yaml": text}
    results = list(run(library(sources), "default", only="acme.*"))
    assert [result.why for result in results] == [""] * 4


def test_the_prompt_tried_in_the_readme_shows_what_the_readme_says() -> None:
    shown = next(block for block in blocks("text") if "REDACT under default" in block)
    command = next(
        line
        for block in blocks("sh")
        for line in block.splitlines()
        if line.startswith("earthflow rules try")
    )
    said = CliRunner().invoke(app, shlex.split(command)[1:]).stdout
    assert re.sub(r"rules [0-9a-f]{12}", "rules VERSION", said) == shown


def test_the_rules_in_the_rule_document_load_and_their_tests_pass() -> None:
    texts = re.findall(
        r"```yaml\n(.*?)```", (ROOT / "docs" / "rules.md").read_text(), re.DOTALL
    )
    counts = []
    for text in texts:
        rules = library({**shipped(), "acme.yaml": text}, portable=True)
        results = list(run(rules, "default", files={"acme.yaml"}))
        assert [result.why for result in results if result.why] == []
        counts.append(len(results))
    assert counts == [7, 4, 2]


def test_the_published_schema_is_the_readers() -> None:
    assert json.loads((ROOT / "docs" / "rules.schema.json").read_text()) == schema()


def test_every_command_of_the_rule_document_is_there() -> None:
    named = set(
        re.findall(
            r"^    earthflow rules (\w+)",
            (ROOT / "docs" / "rules.md").read_text(),
            re.MULTILINE,
        )
    )
    said = CliRunner().invoke(app, ["rules", "--help"]).stdout
    assert named == {"lint", "test", "try", "explain", "diff", "bench", "show"}
    assert all(name in said for name in named)


DOCUMENTS = (
    "README.md",
    "SECURITY.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    *(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").glob("*.md")),
)


def headings(name: str) -> list[str]:
    """The headings of a document, without those in blocks of code."""
    text = re.sub(r"```.*?```", "", (ROOT / name).read_text(), flags=re.DOTALL)
    return [
        heading.replace("`", "")
        for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    ]


def anchor(heading: str) -> str:
    """What a heading is called in a link."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_link_of_a_document_leads_somewhere(name: str) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", (ROOT / name).read_text()):
        path, _, section = target.partition("#")
        file = ((ROOT / name).parent / path).resolve() if path else ROOT / name
        assert file.exists(), f"{name}: {target}"
        if section:
            assert section in map(
                anchor, headings(file.relative_to(ROOT).as_posix())
            ), f"{name}: {target}"


def sources() -> list[Path]:
    """What speaks of documents: programs, settings, other documents."""
    folders = ("addons", "control", "cli", "rules", "contract", "deploy", "docs")
    found = [
        path
        for folder in folders
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".py", ".md", ".yaml", ".sh")
    ]
    # packs hold texts that rules are tried on
    written = [path for path in found if "packs" not in path.parts]
    return [
        *written,
        *(
            ROOT / name
            for name in (
                "README.md",
                "CONTRIBUTING.md",
                ".env.example",
                "Makefile",
                "compose.yaml",
            )
        ),
    ]


def test_every_document_and_section_that_is_named_anywhere_is_there() -> None:
    named = re.compile(r"\b((?:docs/)?[A-Za-z][\w-]*\.md)(?:, \\?\"([^\"\\]+)\\?\")?")
    wrong = []
    for path in sources():
        for name, section in named.findall(path.read_text()):
            file = next(
                (
                    place
                    for place in (
                        ROOT / name,
                        ROOT / "docs" / name,
                        ROOT / "deploy" / name,
                    )
                    if place.exists()
                ),
                None,
            )
            if file is None or (
                section and section not in headings(file.relative_to(ROOT).as_posix())
            ):
                wrong.append(f"{path.relative_to(ROOT)}: {name} {section}")
    assert wrong == []


def test_every_test_that_a_document_names_is_there() -> None:
    for name in DOCUMENTS:
        for test in re.findall(
            r"`(tests/[\w./-]+?)(?:::(\w+))?`", (ROOT / name).read_text()
        ):
            assert (ROOT / test[0]).exists(), f"{name}: {test[0]}"
            assert not test[1] or f"def {test[1]}(" in (ROOT / test[0]).read_text(), (
                f"{name}: {test[1]}"
            )


def test_every_file_the_readme_names_is_there() -> None:
    for name in re.findall(r"`((?:[\w.-]+/)+[\w.-]*|\w+\.(?:md|yaml|conf))`", README):
        assert (
            (ROOT / name).exists()
            or name == "secrets.env"
            or name.startswith((".venv", "~", "tenants/"))
        ), name


def test_make_has_the_targets_the_readme_names() -> None:
    for target in re.findall(r"\bmake ([\w-]+)", README):
        done = subprocess.run(
            ["make", "-n", target],
            cwd=ROOT,
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr


def test_a_wrong_python_is_told_what_to_install(tmp_path: Path) -> None:
    for name in ("python3", "python3.12", "python3.13", "uv"):
        (tmp_path / name).write_text("#!/bin/sh\necho Python 3.9.2\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    told = environment({"PATH": f"{tmp_path}:/usr/bin:/bin", "PYTHON": "python3"})
    done = subprocess.run(
        ["bash", ROOT / "deploy/install.sh", tmp_path / "venv"],
        env=told,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 78
    assert (
        "Earthflow needs Python 3.12 or newer (not 3.13.0 to 3.13.2); here is Python 3.9.2"
        in done.stderr
    )
    assert "apt install python3" in done.stderr


def test_the_providers_in_the_docs_are_those_that_are_opened() -> None:
    text = (ROOT / "docs" / "providers.md").read_text()
    rows = [f"| {' | '.join(row(entry))} |" for entry in providers()]
    table = "\n".join(["| provider | hosts | formats |", "|---|---|---|", *rows])
    assert (
        text.split("<!-- providers -->\n")[1].split("\n<!-- end providers -->")[0]
        == table
    )


def test_the_example_of_ones_own_providers_is_one(tmp_path: Path) -> None:
    written = (
        (ROOT / "docs" / "providers.md")
        .read_text()
        .split("```yaml\n")[1]
        .split("```")[0]
    )
    (tmp_path / "mine.yaml").write_text(written)
    assert "llm.house.example" in ai_hosts(providers(tmp_path / "mine.yaml"))


def test_providers_are_listed_as_a_table_and_as_json() -> None:
    shown = CliRunner().invoke(app, ["providers"])
    assert shown.exit_code == 0
    assert "api.anthropic.com" in shown.output
    listed = json.loads(CliRunner().invoke(app, ["providers", "-o", "json"]).output)
    assert {one["name"] for one in listed} == {entry.name for entry in providers()}
    assert listed[0]["paths"]["/v1/chat/completions"] == "openai-chat"


def test_figures_are_those_that_were_measured() -> None:
    """The table of docs/performance.md, and what the README quotes of it."""
    kept = json.loads((ROOT / "docs" / "performance.json").read_text())
    document = (ROOT / "docs" / "performance.md").read_text()
    for columns, rows in tables(kept["rows"]):
        assert f"| {' | '.join(columns)} |" in document
        for cells in rows:
            assert f"| {' | '.join(cells)} |" in document
    assert f"load {kept['load']} before" in document
    assert f"Measured {kept['measured']}." in document
    small = kept["rows"]["1 KB, the same text"]
    ours, stock = small["default"][1], small["stock mitmdump"][1]
    assert f"takes {ours:g} times the CPU of bare mitmproxy" in README
    assert f"stock mitmdump takes {stock:g} times" in README


def test_a_contest_of_two_runs_as_the_document_says() -> None:
    assert "python -m bench.beside " in (ROOT / "docs" / "performance.md").read_text()
    words = ["-m", "bench.beside", "--rounds", "1", "1 KB, the same"]
    done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=True)  # fmt: skip
    heading, *rows = [line for line in done.stdout.splitlines() if not line.startswith("    ")][1:]  # fmt: skip
    assert (heading, rows) == ("1 KB, the same text", [])
    shown = [line.split("   ×")[0].strip() for line in done.stdout.splitlines() if line.startswith("    ")]  # fmt: skip
    assert shown[0].startswith("bare mitmproxy ") and len(shown) == 2
    assert all(float(line.split(" / ")[-1]) > 0 for line in shown)
