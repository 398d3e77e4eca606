"""The image: its base is one that cannot change, it holds no tools, and its health check tells the truth."""

import http.server
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.version import VERSION

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def test_both_stages_stand_on_one_base_that_is_named_by_its_digest() -> None:
    bases = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert len(bases) == 2
    assert len(set(bases)) == 1
    assert re.fullmatch(r"python:3\.12-slim-trixie@sha256:[0-9a-f]{64}", bases[0])


def test_hadolint_finds_nothing() -> None:
    tool = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([tool, ROOT / "Dockerfile"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_final_stage_installs_nothing_and_is_nobody_special() -> None:
    final = DOCKERFILE.split("\nFROM ")[2]
    assert "pip" not in final
    assert "apt" not in final.replace("capt", "")
    assert "USER 1000:1000" in final
    assert f'image.version="{VERSION}"' in final
    for stage in DOCKERFILE.split("\nFROM "):
        for line in stage.splitlines():
            if "pip" in line and "install" in line:
                assert "--no-cache-dir" in line
                assert "--require-hashes" in line or "--no-deps" in line


class Answer(http.server.BaseHTTPRequestHandler):
    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status if self.path == "/health/ready" else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Silent."""


@pytest.fixture
def port() -> Iterator[int]:
    server = http.server.HTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("status", "ports", "expected"),
    [
        (200, ("{}",), 0),
        (200, ("1", "{}"), 0),
        (503, ("{}",), 1),
        (200, ("1",), 1),
        (200, ("tcp://10.0.0.1:8443", ""), 1),
    ],
)
def test_the_health_check_tells_what_the_port_says(
    port: int,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    ports: tuple[str, ...],
    expected: int,
) -> None:
    monkeypatch.setattr(Answer, "status", status)
    words = [one.format(port) for one in ports]
    done = subprocess.run([sys.executable, "-m", "cli.alive", *words], cwd=ROOT)
    assert done.returncode == expected
