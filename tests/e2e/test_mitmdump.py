"""The addon under stock mitmdump: judged, recorded, fail closed, shut until ready."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.ca_folder import write_local
from cli.processes import start, stop, wait_until
from tests.support.house import (
    PATIENCE,
    RESTRICTED,
    House,
    Tenant,
    connect_status,
    curl,
    message,
)

MITMDUMP = Path(sys.executable).with_name("mitmdump")
SCRIPT = Path("addons/earthflow.py")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def dump(house: House) -> Iterator[int]:
    """A stock mitmdump with our script, beside the house's own proxy; its port."""
    port = free_port()
    told = house.stack.environment(
        EARTHFLOW_CONTROL_URL=house.stack.control.url, HOME=str(house.folder)
    )
    command = [
        MITMDUMP,
        "-q",
        "-s",
        SCRIPT,
        "--listen-host",
        "127.0.0.1",
        "-p",
        str(port),
    ]
    process = start([str(word) for word in command], told)
    try:
        key = house.tenant().key
        assert wait_until(lambda: _answers(port, key), PATIENCE)
        yield port
    finally:
        stop(process)


def _answers(port: int, key: str) -> bool:
    try:
        return connect_status(port, "api.openai.com:443", key) == 200
    except (OSError, IndexError):
        return False


def through(tenant: Tenant, port: int, text: str) -> subprocess.CompletedProcess[str]:
    proxy = f"http://key:{tenant.key}@127.0.0.1:{port}"
    url = "https://api.openai.com/v1/chat/completions"
    return curl(
        "-sS",
        "-x",
        proxy,
        "--cacert",
        str(tenant.house.bundle),
        "-d",
        message(text).decode(),
        url,
    )


def test_calls_are_judged_and_recorded(house: House, tenant: Tenant, dump: int) -> None:
    assert wait_until(lambda: _answers(dump, tenant.key), PATIENCE)
    before = len(house.providers.heard)
    assert "chat.completion" in through(tenant, dump, "hello").stdout
    assert "earthflow_blocked" in through(tenant, dump, RESTRICTED).stdout
    assert [row["status"] for row in tenant.audit(2)] == ["BLOCK", "ALLOW"]
    assert len(house.providers.heard) == before + 1


def test_without_a_key_connect_is_answered_407(dump: int) -> None:
    assert connect_status(dump, "api.openai.com:443", None) == 407


@pytest.mark.parametrize(
    "spoiled",
    [{"EARTHFLOW_MASTER_KEY": "x"}, {"EARTHFLOW_CONTROL_URL": "http://127.0.0.1:1"}],
    ids=["key", "control"],
)
def test_what_cannot_become_ready_ends_with_a_status_and_never_serves(
    house: House, tmp_path: Path, spoiled: dict[str, str]
) -> None:
    write_local(tmp_path / "ca")
    told = (
        house.stack.environment(EARTHFLOW_START_TIMEOUT="0", HOME=str(tmp_path))
        | {"EARTHFLOW_STATE_DIR": str(tmp_path)}
        | spoiled
    )
    command = [
        str(MITMDUMP),
        "-q",
        "-s",
        str(SCRIPT),
        "--listen-host",
        "127.0.0.1",
        "-p",
        str(free_port()),
    ]
    done = subprocess.run(
        command, env=told, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode != 0
    assert "earthflow under mitmdump:" in done.stderr
