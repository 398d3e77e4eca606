"""Every command is there, and imports only what it uses."""

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from cli.__main__ import app
from cli.command_tree import PLACES

LOADED = "import sys; sys.argv[1:] = {words!r}\ntry: import runpy; runpy.run_module('cli', run_name='__main__')\nfinally: print('\\n' + ' '.join(sys.modules), file=sys.stderr)"


@pytest.mark.parametrize("name", PLACES)
def test_a_command_has_its_help(name: str) -> None:
    said = CliRunner().invoke(app, [name, "--help"])
    assert (said.exit_code, f"earthflow {name}" in said.output) == (0, True)


def test_all_commands_are_in_the_help() -> None:
    said = CliRunner().invoke(app, ["--help"]).output
    listed = said.split("Commands:")[1].split("\n")
    assert [line.split()[0] for line in listed if line.strip()] == list(PLACES)


def test_one_that_is_none_is_said() -> None:
    said = CliRunner().invoke(app, ["tenant", "list"])
    assert (said.exit_code, "No such command 'tenant'" in said.output) == (2, True)


def test_a_command_imports_what_it_uses() -> None:
    code = LOADED.format(words=["keys", "--help"])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # fmt: skip
    loaded = {name.split(".")[0] for name in done.stderr.split()}
    assert "cli.keys" in done.stderr.split()
    assert not loaded & {"rules", "hyperscan", "mitmproxy", "psycopg", "aiohttp"}
