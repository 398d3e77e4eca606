"""nginx and HAProxy in front of the proxy, by the files in deploy/: streams and WebSockets pass as they come."""

import asyncio
import json
import re
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from cli.processes import wait_until
from contract.authority import issue, make_root
from tests.support.house import AWS_KEY, PATIENCE, House, Tenant, curl, message
from tests.support.websocket import WebSocket

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
MODULE = "/usr/local/lib/nginx/ngx_stream_module.so"  # where .ci/run puts it
URL = "https://api.openai.com/v1/chat/completions"
REALTIME = "wss://api.openai.com/v1/realtime?model=gpt-realtime"


class Ports(NamedTuple):
    """Where a load balancer listens: for clients of the proxy, and for the API by TLS."""

    proxy: int
    api: int


class Behind(Tenant):
    """A tenant whose clients reach the proxy through a load balancer."""

    port: int

    def proxy(self, scheme: str = "http") -> str:
        own = f":{self.house.stack.port}"
        return super().proxy(scheme).replace(own, f":{self.port}")


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def put(text: str, changes: dict[str, str]) -> str:
    """The file with a test's hosts and ports. Each of them must be in it."""
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new)
    return text


def nginx(house: House, folder: Path, ports: Ports) -> list[str]:
    root = make_root("front", days=2)
    chain, key = issue(root, ["localhost"], days=2)
    (folder / "fullchain.pem").write_bytes(chain)
    (folder / "privkey.pem").write_bytes(key)
    (folder / "ca.pem").write_bytes(root.pem)
    text = put(
        (DEPLOY / "nginx.conf").read_text(),
        {
            "modules/ngx_stream_module.so": MODULE,
            "/run/nginx.pid": str(folder / "nginx.pid"),
            "earthflow-proxy-1:8443": f"127.0.0.1:{house.stack.port}",
            "        server earthflow-proxy-2:8443;\n": "",
            "listen 8443": f"listen 127.0.0.1:{ports.proxy}",
            "listen 443": f"listen 127.0.0.1:{ports.api}",
            "your-domain.com;": "localhost;",
            "/etc/letsencrypt/live/your-domain.com": str(folder),
            "http://127.0.0.1:8080": house.stack.control.url,
        },
    )
    # An unprivileged nginx may not write where Debian's does.
    bodies = "".join(
        f"    {kind}_temp_path {folder}/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(text.replace("http {\n", f"http {{\n{bodies}"))
    return ["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", "stderr", "-g", "daemon off;"]  # fmt: skip


def haproxy(house: House, folder: Path, ports: Ports) -> list[str]:
    text = put(
        (DEPLOY / "haproxy.cfg").read_text(),
        {
            "bind :8443": f"bind 127.0.0.1:{ports.proxy}",
            "earthflow-proxy-1:8443": f"127.0.0.1:{house.stack.port}",
            # Nobody is there, so it must get no client.
            "earthflow-proxy-2:8443": f"127.0.0.1:{free_port()}",
        },
    )
    (folder / "haproxy.cfg").write_text(text)
    return ["haproxy", "-db", "-f", str(folder / "haproxy.cfg")]


FRONTS: dict[str, Callable[[House, Path, Ports], list[str]]] = {
    "nginx": nginx,
    "haproxy": haproxy,
}


@pytest.fixture(scope="module", params=FRONTS)
def front(
    request: pytest.FixtureRequest,
    house: House,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[str, Ports, Path]]:
    """A load balancer's name, its ports, and its folder."""
    name: str = request.param
    folder, ports = tmp_path_factory.mktemp(name), Ports(free_port(), free_port())
    command = FRONTS[name](house, folder, ports)
    check = [*command[:-2], "-t"] if name == "nginx" else [*command, "-c"]
    assert shutil.which(name), f"CI installs {name}"
    checked = subprocess.run(check, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    assert not re.search(r"\[(warn|WARNING|alert|ALERT)", checked.stderr), checked.stderr  # fmt: skip
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            ready = f"http://localhost:{ports.proxy}/health/ready"
            assert wait_until(lambda: curl("-sf", ready).returncode == 0, PATIENCE)
            yield name, ports, folder
        finally:
            process.terminate()


@pytest.fixture
def behind(front: tuple[str, Ports, Path], house: House) -> Behind:
    tenant = house.tenant()
    there = Behind(house, tenant.id, tenant.key)
    there.port = front[1].proxy
    return there


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_stream_arrives_while_it_is_made(
    behind: Behind, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    go = threading.Event()

    async def wait(token: int) -> None:
        while token and not go.is_set():
            await asyncio.sleep(0.02)

    monkeypatch.setattr(behind.house.providers, "wait", wait)
    bundle = str(behind.house.bundle)
    command = [
        "curl", "-sSN", "--max-time", f"{PATIENCE:g}", "-x", behind.proxy(scheme), "--proxy-cacert", bundle,
        "--cacert", bundle, "-H", "content-type: application/json", "-d", message(f"Count {AWS_KEY}", stream=True).decode(), URL,
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE) as client:
        assert client.stdout is not None
        try:
            assert client.stdout.readline().startswith(b"data: ")
            go.set()
            rest = client.stdout.read()
        finally:
            go.set()
            client.kill()
    assert rest.count(b"[DONE]") == 1
    assert AWS_KEY not in str(behind.house.providers.heard[-1].json)
    assert behind.audit(1)[0]["status"] == "REDACT"


def test_a_websocket_passes(behind: Behind, monkeypatch: pytest.MonkeyPatch) -> None:
    said = json.dumps({"type": "response.done", "response": {"id": "r"}})
    monkeypatch.setattr(behind.house.providers, "reply", lambda _: [said])
    with WebSocket(behind, REALTIME) as client:
        client.send(json.dumps({"type": "response.create", "response": {}}))
        assert json.loads(client.recv())["type"] == "response.done"
        assert client.ping(b"still there") < PATIENCE


@pytest.mark.parametrize("front", ["nginx"], indirect=True)
def test_nginx_serves_the_api_by_tls(
    front: tuple[str, Ports, Path], house: House
) -> None:
    _, ports, folder = front
    admin = house.stack.secrets["EARTHFLOW_ADMIN_API_KEY"]
    done = curl(
        "-sS", "--cacert", str(folder / "ca.pem"), "-H", f"X-API-Key: {admin}", f"https://localhost:{ports.api}/v1/tenants"
    )  # fmt: skip
    assert "tenants" in json.loads(done.stdout), done.stderr
