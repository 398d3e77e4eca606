"""Several Earthflows by name, and which one a command speaks to: --context, else the environment, else the one in use, else this machine."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from cli.settings import environment
from tests.support.house import EARTHFLOW, House


@pytest.fixture
def earthflow(tmp_path: Path) -> Any:
    """Run a command of earthflow's on a machine that knows nothing."""

    def run(
        *words: str, said: str = "", **told: str
    ) -> subprocess.CompletedProcess[str]:
        own = {
            "HOME": str(tmp_path),
            "EARTHFLOW_STATE_DIR": str(tmp_path / "state"),
            "EARTHFLOW_CONFIG_DIR": str(tmp_path / "config"),
            **told,
        }
        return subprocess.run(
            [EARTHFLOW, *words],
            env=environment(own),
            input=said,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_a_context_is_added_used_and_removed(
    earthflow: Any, house: House, tmp_path: Path
) -> None:
    admin, url = house.stack.secrets["EARTHFLOW_ADMIN_API_KEY"], house.stack.control.url
    assert earthflow("tenants", "list").returncode == 4
    assert (
        earthflow(
            "context", "add", "test", "--url", url, "--key", "-", said=admin
        ).returncode
        == 0
    )
    assert (
        earthflow("context", "add", "other", "--url", "http://127.0.0.1:1").returncode
        == 0
    )
    assert earthflow("tenants", "list", "-o", "json").returncode == 0
    assert (
        admin
        not in earthflow("context", "list", "-o", "json").stdout
        + (tmp_path / "config" / "config.toml").read_text()
    )
    assert (tmp_path / "config" / "keys" / "test").stat().st_mode & 0o777 == 0o600
    assert earthflow("--context", "other", "tenants", "list").returncode == 4
    earthflow("context", "use", "other")
    assert [
        row["name"]
        for row in json.loads(earthflow("context", "list", "-o", "json").stdout)
        if row["in_use"]
    ] == ["other"]
    assert earthflow("--context", "test", "tenants", "list").returncode == 0
    assert earthflow("tenants", "list", EARTHFLOW_CONTEXT="test").returncode == 0
    assert (
        earthflow(
            "tenants", "list", EARTHFLOW_URL=url, EARTHFLOW_ADMIN_API_KEY=admin
        ).returncode
        == 0
    )
    assert earthflow("context", "remove", "test").returncode == 0
    assert "no context test" in earthflow("--context", "test", "tenants", "list").stderr
    assert not (tmp_path / "config" / "keys" / "test").exists()


def test_a_key_is_on_no_command_line_and_what_is_broken_is_said(
    earthflow: Any, tmp_path: Path
) -> None:
    assert (
        "standard input"
        in earthflow(
            "context", "add", "x", "--url", "http://h", "--key", "secret"
        ).stderr
    )
    assert (
        "like https://" in earthflow("context", "add", "x", "--url", "ftp://h").stderr
    )
    (tmp_path / "config").mkdir(exist_ok=True)
    (tmp_path / "config" / "config.toml").write_text("[")
    assert "cannot be read" in earthflow("context", "list").stderr


def test_a_wrong_key_has_a_status_of_its_own(earthflow: Any, house: House) -> None:
    done = earthflow(
        "tenants",
        "list",
        EARTHFLOW_URL=house.stack.control.url,
        EARTHFLOW_ADMIN_API_KEY="x" * 40,
    )
    assert (done.returncode, "request" in done.stderr) == (4, True)


def test_status_is_one_screen(earthflow: Any, house: House) -> None:
    told = {
        "EARTHFLOW_URL": house.stack.control.url,
        "EARTHFLOW_ADMIN_API_KEY": house.stack.secrets["EARTHFLOW_ADMIN_API_KEY"],
    }
    done = earthflow("status", "-o", "json", **told)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (
        said["health"]["status"],
        said["master_key"]["state"],
        said["tenants"] >= 1,
    ) == (
        "OK",
        "steady",
        True,
    )
    assert said["certificates"]["root_days"] > 300
    port = told | {"EARTHFLOW_URL": house.url("")}
    asked = json.loads(earthflow("status", "-o", "json", **port).stdout)
    assert asked["certificates"]["ca_days"] > 0
    assert "last_hour" in earthflow("status", **told).stdout
    assert (
        earthflow(
            "status", EARTHFLOW_URL="http://127.0.0.1:1", EARTHFLOW_ADMIN_API_KEY="x"
        ).returncode
        == 1
    )


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_offered(earthflow: Any, shell: str) -> None:
    done = earthflow(
        "--show-completion", shell, _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1"
    )
    assert (done.returncode, "earthflow" in done.stdout) == (0, True), done.stderr


def test_a_key_goes_to_its_own_place_and_no_other(earthflow: Any, house: House) -> None:
    admin, url = house.stack.secrets["EARTHFLOW_ADMIN_API_KEY"], house.stack.control.url
    earthflow("context", "add", "a", "--url", url, "--key", "-", said=admin)
    # a URL of its own, and no key with it
    assert earthflow("tenants", "list", EARTHFLOW_URL=url).returncode == 4
    # the context's own
    assert (
        earthflow(
            "tenants", "list", EARTHFLOW_CONTEXT="a", EARTHFLOW_ADMIN_API_KEY="x" * 40
        ).returncode
        == 0
    )
    earthflow("context", "add", "a", "--url", "http://127.0.0.1:1")
    # another place: the key of the one before is gone
    assert earthflow("--context", "a", "tenants", "list").returncode == 4
