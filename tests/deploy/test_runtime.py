"""What the image runs, run as the image runs it: from the runtime lock alone, as uid 1000, on a read-only file system,
in the order of the compose file's first start.
"""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from cryptography.fernet import Fernet

from cli.client import Control
from cli.engines import Engines
from cli.pretend import Providers
from cli.settings import environment
from cli.stack import port_said
from contract.decision import new_id
from tests.support.house import PATIENCE, curl, message, wait_until

ROOT = Path(__file__).resolve().parents[2]
CONFINED = Path(__file__).with_name("confined.sh")
LARGEST = 300  # MB, of all that is installed
ADMIN = "an-admin-key-of-the-tests-0123456789"
pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or "EARTHFLOW_NETNS" not in os.environ,
    reason="needs root and namespaces, which CI has",
)


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A folder that everybody may enter, with the volumes in it."""
    made = Path(tempfile.mkdtemp(prefix="ef-image-", dir="/var/tmp"))
    made.chmod(0o755)
    for name in ("proxy-state", "ca", "control-state"):
        (made / name).mkdir(mode=0o700)
        os.chown(made / name, 1000, 1000)
    yield made
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def installed(place: Path) -> Path:
    """The environment that the Dockerfile makes: the runtime lock and the wheel; its `bin`."""
    uv = str(Path(sys.executable).with_name("uv"))
    venv = place / "venv"
    precompiled = place / "precompiled"
    told = environment({"UV_LINK_MODE": "copy", "PRECOMPILED": str(precompiled)})
    python = ("--python", str(venv / "bin" / "python"))
    for command in (
        (uv, "venv", "-q", "--python", sys.executable, str(venv)),
        (uv, "pip", "install", "-q", *python, "--require-hashes", "-r", "requirements.txt"),
        (sys.executable, "-m", "rules.precompile", str(precompiled)),
        (sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(place / "dist")),
    ):  # fmt: skip
        subprocess.run(command, cwd=ROOT, env=told, check=True, capture_output=True)
    (wheel,) = (place / "dist").glob("*.whl")
    install = (uv, "pip", "install", "-q", *python, "--no-deps", str(wheel))
    subprocess.run(install, env=told, check=True, capture_output=True)
    return venv / "bin"


def test_what_is_installed_is_small_and_has_no_engines(installed: Path) -> None:
    size = sum(p.stat().st_size for p in installed.parent.rglob("*") if p.is_file() and not p.is_symlink())  # fmt: skip
    print(f"\ninstalled: {size / 1e6:.0f} MB")
    assert size <= LARGEST * 1e6
    names = {path.name for path in (installed.parent / "lib").glob("python*/site-packages/*")}  # fmt: skip
    assert not {name for name in names if name.startswith(("pixeltable", "valkey", "pytest", "pip", "hatch"))}  # fmt: skip


@pytest.fixture(scope="module")
def providers(place: Path) -> Iterator[Providers]:
    with Providers(place) as started:
        yield started


@pytest.fixture(scope="module")
def told(engines: Engines, place: Path, providers: Providers) -> Iterator[dict[str, str]]:  # fmt: skip
    """What compose tells the services; PostgreSQL and Valkey are the tests' own."""
    sockets = engines._sockets
    before = sockets.stat().st_mode
    sockets.chmod(0o755)
    (sockets / "valkey.sock").chmod(0o777)
    name = f"image_{new_id().replace('-', '')}"
    with psycopg.connect(engines.database_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
        yield {
            "PATH": os.defpath,
            "EARTHFLOW_MASTER_KEY": Fernet.generate_key().decode(),
            "EARTHFLOW_ENV": "development",  # for the map of pretend providers
            "EARTHFLOW_UPSTREAM_MAP": providers.upstream_map,
            "EARTHFLOW_UPSTREAM_CA": str(providers.ca_file),
            "EARTHFLOW_DATABASE_URL": f"postgresql://earthflow@/{name}?host={quote(str(sockets), safe='')}",
            "EARTHFLOW_REDIS_URL": f"unix://{sockets}/valkey.sock",
            "EARTHFLOW_ADMIN_API_KEY": ADMIN,
            "EARTHFLOW_PORT": "0",
            "EARTHFLOW_DASHBOARD_PORT": "0",
        }
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
    sockets.chmod(before)


def confined(
    place: Path, installed: Path, told: Mapping[str, str], volume: str, *words: str
) -> list[str]:
    """A command of the image, with its volumes and no other place to write to."""
    volumes = ":".join(str(place / name) for name in volume.split())
    given = [f"{name}={value}" for name, value in told.items()]
    return ["bash", str(CONFINED), volumes, sys.base_prefix, "env", "-i", *given, str(installed / "earthflow"), *words]  # fmt: skip


@pytest.fixture(scope="module")
def served(
    place: Path, installed: Path, told: dict[str, str]
) -> Iterator[dict[str, Any]]:
    """Control, then the CA, then the proxy, as `docker compose up -d` starts them from nothing."""
    running: list[subprocess.Popen[bytes]] = []

    def start(volume: str, *words: str, **more: str) -> int:
        command = confined(place, installed, told | more, volume, *words)
        process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd="/")
        running.append(process)
        port = port_said(process)
        assert port is not None
        return port

    try:
        control = start("control-state", "control", EARTHFLOW_STATE_DIR=str(place / "control-state"))  # fmt: skip
        url = f"http://127.0.0.1:{control}"
        (place / "proxy-state" / "ca").mkdir()
        os.chown(place / "proxy-state" / "ca", 1000, 1000)
        state = str(place / "proxy-state")
        for _ in range(2):  # at each start; the second time it stays
            one_shot = confined(place, installed, told | {"EARTHFLOW_URL": url, "EARTHFLOW_STATE_DIR": state}, "proxy-state", "ca", "init", "--keep", "-o", "json")  # fmt: skip
            made = subprocess.run(one_shot, capture_output=True, check=True, cwd="/")
        (place / "proxy-state" / "ca").chmod(0o500)  # a volume that is read-only
        proxy = start("proxy-state", "proxy", EARTHFLOW_CONTROL_URL=url, EARTHFLOW_STATE_DIR=state)  # fmt: skip
        yield {
            "control": Control(url, ADMIN),
            "proxy": proxy,
            "process": running[-1],
            "ca": json.loads(made.stdout),
        }
    finally:
        for process in reversed(running):
            process.terminate()
            process.wait(PATIENCE)


def processes_of(process: "subprocess.Popen[bytes]") -> dict[str, str]:
    text = Path(f"/proc/{process.pid}/status").read_text()
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


def test_it_comes_up_at_the_first_try_judges_a_call_and_drains_at_the_end(
    place: Path, served: dict[str, Any], providers: Providers
) -> None:
    port, control = served["proxy"], served["control"]
    status = processes_of(served["process"])
    assert status["Uid"].split() == ["1000"] * 4
    assert (status["NoNewPrivs"], int(status["CapBnd"], 16)) == ("1", 0)
    health = curl("-s", f"http://127.0.0.1:{port}/health/ready").stdout
    assert json.loads(health)["status"] == "OK", health
    assert len(served["ca"]["roots"]) == 1

    tenant = control.post("/v1/tenants", {"name": "T", "rules_preset": "default"})
    trust = str(place / "proxy-state" / "ca" / "earthflow-ca.pem")
    call = [
        "-sS", "--cacert", trust, "-x", f"http://key:{tenant['api_key']}@127.0.0.1:{port}",
        "-H", "content-type: application/json", "https://api.openai.com/v1/chat/completions", "-d",
    ]  # fmt: skip
    assert wait_until(lambda: "chat.completion" in curl(*call, message("hello").decode()).stdout, PATIENCE)  # fmt: skip
    find = f"/v1/audit?tenant={tenant['id']}&status=ALLOW"
    assert wait_until(lambda: control.get(find)["audit"] != [], PATIENCE)

    go = threading.Event()

    async def wait(token: int) -> None:
        while not go.is_set():
            await asyncio.sleep(0.02)

    providers.wait = wait
    heard = len(providers.heard)
    stream = subprocess.Popen(["curl", "-N", "--max-time", "60", *call, message("Count", stream=True).decode()], stdout=subprocess.PIPE)  # fmt: skip
    assert wait_until(lambda: len(providers.heard) > heard, PATIENCE)
    served["process"].send_signal(signal.SIGTERM)
    assert wait_until(lambda: curl("-s", f"http://127.0.0.1:{port}/health").returncode != 0, PATIENCE)  # fmt: skip
    go.set()
    out, _ = stream.communicate(timeout=PATIENCE)
    assert (stream.returncode, out.count(b"[DONE]")) == (0, 1)
    assert served["process"].wait(PATIENCE) == 0


def test_nothing_was_written_outside_of_the_volumes(
    place: Path, installed: Path, told: dict[str, str]
) -> None:
    code = "import os\nfor p in ('/x', '/var/tmp/x', '/tmp/x', '/etc/x'):\n  try: open(p, 'w')\n  except OSError as e: print(e.errno)\nopen('%s/x', 'w')"
    command = confined(place, installed, told, "control-state")
    command[-1:] = [str(installed / "python"), "-c", code % (place / "control-state")]
    done = subprocess.run(command, capture_output=True, text=True, cwd="/")
    assert (done.returncode, done.stdout.split()) == (0, ["30"] * 4), done.stderr
